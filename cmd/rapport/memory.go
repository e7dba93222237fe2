package main

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// buildMemory is how many bytes a build may take for its state: as the project says, else half of what this process may have. 0: nobody knows how much that
// is, and nothing limits it.
func buildMemory(said int64) int64 {
	if said > 0 {
		return said
	}
	return memoryLimit("/", debug.SetMemoryLimit(-1)) / 2
}

// memoryLimit is the least of the machine's memory, the limits of the control groups that this process is in, and a limit of its own (GOMEMLIMIT). Where
// the system (its files stand under root) does not say, only the last counts. 0: there is none.
func memoryLimit(root string, own int64) int64 {
	least := own
	at := func(n int64, ok bool) {
		if ok && n > 0 {
			least = min(least, n)
		}
	}
	text := func(file string) string {
		body, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "" // there is no such limit on this system
		}
		return string(body)
	}
	for line := range strings.Lines(text("proc/meminfo")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kB, err := strconv.ParseInt(f[1], 10, 53)
			at(kB<<10, err == nil)
		}
	}
	for line := range strings.Lines(text("proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path; of version 2, 0::path
		if len(f) != 3 {
			continue
		}
		var folder, file string
		switch {
		case f[1] == "":
			folder, file = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+f[1]+",", ",memory,"):
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// A group is limited by each that it is in. In a container the path may not be there, and its own group stands at the top.
		for group := path.Clean("/" + f[2]); ; group = path.Dir(group) {
			n, err := strconv.ParseInt(strings.TrimSpace(text(path.Join(folder, group, file))), 10, 64) // "max": no number
			at(n, err == nil)
			if group == "/" {
				break
			}
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}
