package configs

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"8GiB": 8 << 30, "500MB": 500e6, "1.5 GiB": 3 << 29, "64MiB": 64 << 20, "1KB": 1000, "1TiB": 1 << 40} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "8", "GiB", "-1GiB", "0MB", "1e30GB", "8gib", "NaNGB", "InfGB"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q is taken for %d", s, got)
		}
	}
	for memory, fault := range map[string]string{"8GiB": "", "much": "is no size", "1MB": "too little"} {
		p := &Project{Memory: memory, dec: &decoder{lines: map[string]int{}, broken: map[string]bool{}}}
		p.checkMemory()
		if fault == "" && len(p.dec.faults) > 0 || fault != "" && (len(p.dec.faults) != 1 || !strings.Contains(fmt.Sprint(p.dec.faults[0]), fault)) {
			t.Errorf("memory: %s: %v, want %q", memory, p.dec.faults, fault)
		}
	}
}
