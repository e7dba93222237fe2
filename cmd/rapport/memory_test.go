package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestMemoryLimit: the least limit of the machine, of the control groups and of the process counts.
func TestMemoryLimit(t *testing.T) {
	const meminfo = "MemTotal:       24684096 kB\nMemFree:        17890108 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		own   int64
		want  int64
	}{
		"no such files":      {nil, math.MaxInt64, 0},
		"the process's own":  {nil, 1 << 30, 1 << 30},
		"the machine":        {map[string]string{"proc/meminfo": meminfo}, math.MaxInt64, 24684096 << 10},
		"version 2, above":   {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/kubepods/pod1\n", "sys/fs/cgroup/kubepods/memory.max": "2147483648\n", "sys/fs/cgroup/kubepods/pod1/memory.max": "max\n"}, math.MaxInt64, 2 << 30},
		"version 2, at top":  {map[string]string{"proc/self/cgroup": "0::/not/here\n", "sys/fs/cgroup/memory.max": "1073741824"}, math.MaxInt64, 1 << 30},
		"version 1":          {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "536870912"}, math.MaxInt64, 512 << 20},
		"version 1, without": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, math.MaxInt64, 24684096 << 10},
		"nonsense":           {map[string]string{"proc/meminfo": "MemTotal: much kB", "proc/self/cgroup": "x\n0::/\n", "sys/fs/cgroup/memory.max": "-5"}, math.MaxInt64, 0},
	} {
		root := t.TempDir()
		for file, body := range c.files {
			file = filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryLimit(root, c.own); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := buildMemory(7); got != 7 {
		t.Errorf("the project says 7, and %d is taken", got)
	}
}
