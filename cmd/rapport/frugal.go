package main

import (
	"context"
	"os"
	"runtime/debug"
	"sync"

	"github.com/rapport-ml/rapport/features"
)

// frugal is an engine that collects garbage often while it works: its states are large and hold no pointers, so that a collection costs next to nothing,
// and what lies between two is a tenth of them and not three times as much (make bench-features measures the same).
type frugal struct{ features.Engine }

const frugalPercent = 10

func (f frugal) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	defer frugally()()
	return f.Engine.Build(ctx, p)
}

func (f frugal) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	defer frugally()()
	return f.Engine.Join(ctx, p)
}

// frugality counts the engines at work: the percentage is the process's, and the last one gives it back.
var frugality struct {
	sync.Mutex
	at, before int
}

func frugally() (end func()) {
	if os.Getenv("GOGC") != "" { // said by whoever runs the program
		return func() {}
	}
	g := &frugality
	g.Lock()
	defer g.Unlock()
	if g.at++; g.at == 1 {
		g.before = debug.SetGCPercent(frugalPercent)
	}
	return func() {
		g.Lock()
		defer g.Unlock()
		if g.at--; g.at == 0 {
			debug.SetGCPercent(g.before)
		}
	}
}
