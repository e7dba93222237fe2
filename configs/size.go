package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizes are the units of sizes, the longer names first.
var sizes = []struct {
	name string
	of   float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
}

// parseSize reads a number of bytes with a unit, as 8GiB or 500MB.
func parseSize(s string) (int64, error) {
	for _, u := range sizes {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if n := v * u.of; err == nil && n >= 1 && n < math.MaxInt64/2 {
			return int64(n), nil
		}
	}
	return 0, fmt.Errorf("%.40q is no size: a number and KiB, MiB, GiB, kB, MB or GB, as 8GiB", s)
}

// MemoryBytes is the project's memory in bytes; 0: it does not say.
func (p *Project) MemoryBytes() int64 {
	n, _ := parseSize(p.Memory) // checked when it was loaded
	return n
}

// leastMemory is what a build needs to be of use.
const leastMemory = 64 << 20

func (p *Project) checkMemory() {
	if p.Memory == "" {
		return
	}
	n, err := parseSize(p.Memory)
	switch {
	case err != nil:
		p.dec.at("memory", "as memory: 8GiB", "%v", err)
	case n < leastMemory:
		p.dec.at("memory", "leave it out for half of the machine's", "%s is too little: 64MiB at least", p.Memory)
	}
}
