// Package frugal sets the garbage collector for an engine at work, and for other work that holds much.
//
// # Design
//
// States are large and hold no pointers: a collection of them costs next to nothing, and with Go's usual setting as much as they are, or more, would lie about
// between two. So while an engine builds, a tenth of what is held may lie about. A build that goes on from a prior one never holds its states together: it
// ends at some 90 MB, and a collection at each tenth of so little was a sixth of its time. It may have a floor of garbage as well, from its
// beginning on: of a fresh process even two collections on the way there were a twentieth.
//
// An ingest holds the identity table and what is decided of everybody, and the reading of a feed of consent its records: what they hold is small beside states, and their garbage is many
// small pieces. At Usual what they hold would count four times in a peak; with a quarter of it as garbage the feed's reading peaks at three fifths of what it takes with as much as it
// holds, for a fourteenth of its processor time.
//
// make bench-features measures engines as the product runs them.
package frugal

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"github.com/rapport-ml/rapport/features"
)

// Usual is the percentage of programs whose work is a night's: a seventh less time than at Go's own 100, for memory that is far from short.
const Usual = 300

// SetUsual sets it, unless GOGC is set in the environment.
func SetUsual() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(Usual)
	}
}

// Engine is an engine during whose work garbage is collected often, unless GOGC is set in the environment.
type Engine struct{ features.Engine }

// Build is features.Engine's.
func (e Engine) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	floor := uint64(0)
	if p.Prior != nil {
		floor = nightFloor
	}
	defer begin(floor)()
	return e.Engine.Build(ctx, p)
}

// Join is features.Engine's.
func (e Engine) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	defer begin(0)()
	return e.Engine.Join(ctx, p)
}

const (
	percent    = 10       // of what is held may lie about
	nightFloor = 64 << 20 // bytes that may lie about in any case, while a build goes on from a prior one
)

// work is what the engines at work share that have begun: the percentage is the process's, and the last one gives it back.
var work struct {
	sync.Mutex
	engines, before int
	floor           uint64 // of those at work, the smallest
	limit           int64  // of the process's memory, before them
	turn            int    // counts settings that were given back

	sparing, usual int // others at work that hold much, and what the percentage was before them
}

// leastHeap is the heap that Go does not collect at a percentage of 100.
const leastHeap = 4 << 20

// leaves is the percentage of what the last collection has found to be held that the floor is.
func leaves() int {
	held := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(held)
	return int(work.floor * 100 / max(held[0].Value.Uint64(), leastHeap))
}

// sparingPercent is how much of what is held may lie about while such others are at work.
const sparingPercent = 25

// Sparing has garbage collected far more often than Usual until end is called, unless GOGC is set in the environment.
func Sparing() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	w := &work
	w.Lock()
	defer w.Unlock()
	if w.sparing++; w.sparing == 1 {
		if w.engines > 0 { // it is for when they have ended
			w.usual, w.before = w.before, min(w.before, sparingPercent)
		} else {
			w.usual = debug.SetGCPercent(sparingPercent)
		}
	}
	return func() {
		w.Lock()
		defer w.Unlock()
		if w.sparing--; w.sparing > 0 {
			return
		}
		if w.engines > 0 {
			w.before = w.usual
		} else {
			debug.SetGCPercent(w.usual)
		}
	}
}

// begin has garbage collected often until end is called.
func begin(floor uint64) (end func()) {
	if os.Getenv("GOGC") != "" { // said by whoever runs the program
		return func() {}
	}
	w := &work
	w.Lock()
	defer w.Unlock()
	if w.engines++; w.engines == 1 {
		w.before, w.limit, w.floor = debug.SetGCPercent(-1), debug.SetMemoryLimit(-1), floor
		if floor > 0 {
			open()
			watch(w.turn)
		} else {
			adjust()
		}
	} else if floor < w.floor {
		w.floor = floor
		adjust()
	}
	return func() {
		w.Lock()
		defer w.Unlock()
		if w.engines--; w.engines == 0 {
			w.turn++
			debug.SetGCPercent(w.before)
			debug.SetMemoryLimit(w.limit)
		}
	}
}

// adjust sets the percentage that leaves the floor, by what the last collection has found to be held; never more than it was before: what is held may grow
// before the next collection tells.
func adjust() {
	debug.SetGCPercent(max(percent, min(work.before, leaves())))
	debug.SetMemoryLimit(work.limit)
}

// open sets the percentage that leaves the floor until the first collection, whatever it was before: of the little that a process has held when its night begins it is
// large. Should what is held have grown far when that collection is over, another one comes before as much lies about, for as long as nobody has adjusted.
func open() {
	debug.SetGCPercent(max(percent, leaves()))
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(all)
	debug.SetMemoryLimit(min(work.limit, int64(all[0].Value.Uint64()+4*work.floor)))
}

// watch adjusts after each collection, as long as the turn lasts.
func watch(turn int) {
	sentinel := new([16]byte) // not of a class of tiny objects, which may be kept by their neighbours
	runtime.AddCleanup(sentinel, func(turn int) {
		work.Lock()
		defer work.Unlock()
		if work.turn == turn {
			adjust()
			watch(turn)
		}
	}, turn)
}
