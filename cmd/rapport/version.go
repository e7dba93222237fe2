package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/models"
)

// version is set by the linker in what make dist builds.
var version string

// revision is the code revision of this binary: recorded, never hashed.
func revision() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

// build is what version prints.
type build struct {
	Version     string `json:"version"`
	Go          string `json:"go"`
	Platform    string `json:"platform"`
	KernelClass string `json:"kernel_class"` // models of one class are byte-identical
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which build this is", Args: usage(noArgs),
		RunE: func(*cobra.Command, []string) error {
			b := build{revision(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, models.KernelClass()}
			return a.print(b, func(w io.Writer) {
				row(w, "version", b.Version)
				row(w, "go", b.Go)
				row(w, "platform", b.Platform)
				row(w, "kernel class", b.KernelClass)
			})
		},
	}
}
