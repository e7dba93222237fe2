package cost

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// self is this process: what is measured of it as a whole.
var self process

type process struct {
	mu   sync.Mutex
	open map[*Reading]struct{}
}

// enter begins to keep the peak of r, and tells whether it has company.
func (p *process) enter(r *Reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.sampled = !p.fold()
	if p.open == nil {
		p.open = map[*Reading]struct{}{}
	}
	for o := range p.open {
		if o.m != r.m {
			o.shared, r.shared = true, true
		}
	}
	p.open[r] = struct{}{}
}

func (p *process) leave(r *Reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fold()
	delete(p.open, r)
}

// sample is fold where the system keeps no mark; elsewhere nothing is missed without it.
func (p *process) sample() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.open {
		if !r.sampled {
			return
		}
		break
	}
	p.fold()
}

// fold counts the memory used since the last fold for every open piece, and tells whether that is the exact peak.
func (p *process) fold() (exact bool) {
	peak, exact := peakMemory()
	for r := range p.open {
		r.peak, r.sampled = max(r.peak, peak), r.sampled || !exact
	}
	return exact
}

// peakMemory returns the most bytes that were resident since it was called last, or, if that is not known, those in use now.
func peakMemory() (n int64, exact bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased), false
	}
	if n = kilobytes(status, "VmHWM:"); n > 0 && os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil {
		return n, true
	}
	return kilobytes(status, "VmRSS:"), false
}

// kilobytes reads a line of /proc/PID/status, as "VmHWM:	  1234 kB", into bytes; 0 if there is none.
func kilobytes(status []byte, name string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(f[0]), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// cpuSeconds is the user and system time that the process has used.
func cpuSeconds() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
