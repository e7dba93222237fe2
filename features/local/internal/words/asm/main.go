package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

// units are the files that are generated, by name.
var units = map[string]func(){"kernels": kernels}

func main() {
	if len(os.Args) < 2 || units[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: asm UNIT -out FILE.s -stubs FILE.go -pkg words (see generate.go)")
		os.Exit(2)
	}
	unit := units[os.Args[1]]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	ConstraintExpr("!purego")
	unit()
	Generate()
}
