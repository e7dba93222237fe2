package frugal

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/rapport-ml/rapport/features"
)

// wasteful allocates what nobody keeps.
type wasteful struct {
	features.Engine
	bytes int
}

var kept []byte

func (w wasteful) Build(context.Context, features.Plan) (features.Stats, error) {
	for range w.bytes >> 16 {
		kept = make([]byte, 1<<16)
	}
	return features.Stats{}, nil
}

func (w wasteful) Join(ctx context.Context, _ features.JoinPlan) (features.Stats, error) {
	return w.Build(ctx, features.Plan{})
}

// collections counts those during f.
func collections(f func()) uint32 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.NumGC - before.NumGC
}

func TestGarbageIsCollectedOften(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	e := Engine{wasteful{bytes: 256 << 20}}
	build := func(p features.Plan) func() {
		return func() {
			if _, err := e.Build(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
	}
	limit := debug.SetMemoryLimit(-1)
	often := collections(build(features.Plan{}))
	night := collections(build(features.Plan{Prior: &features.Prior{}}))
	if often < 20 {
		t.Errorf("a build of 256 MB of garbage is collected %d times, want one for each few MB", often)
	}
	if night < 2 || night > often/4 {
		t.Errorf("a build from a prior one is collected %d times in 256 MB, one from all events %d times", night, often)
	}
	if got := debug.SetGCPercent(300); got != 300 {
		t.Errorf("after builds the percentage is %d, want the 300 that it was", got)
	}
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("after builds the limit of memory is %d, want the %d that it was", got, limit)
	}
}

// The night of a process that has held little is not collected before the floor, at whatever its heap began.
func TestFloorOfAFreshProcess(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	if n := collections(func() {
		defer begin(nightFloor)()
		_, _ = wasteful{bytes: nightFloor / 2}.Build(t.Context(), features.Plan{})
	}); n > 0 {
		t.Errorf("half of the floor's garbage is collected %d times", n)
	}
}

// Two engines at work have the setting of the more frugal one, and the last one gives back what was.
func TestEnginesSideBySide(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	night := begin(nightFloor)
	full := begin(0)
	if often := collections(func() { _, _ = wasteful{bytes: 64 << 20}.Build(t.Context(), features.Plan{}) }); often < 5 {
		t.Errorf("64 MB of garbage beside a build from all events are collected %d times", often)
	}
	full()
	night()
	if got := debug.SetGCPercent(300); got != 300 {
		t.Errorf("afterwards the percentage is %d, want 300", got)
	}
}

// Of a night that comes to hold much, a tenth lies about, as of any other build: the collection that finds it says so to the next.
func TestFloorYields(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	end := begin(1 << 20)
	defer end()
	held := make([]byte, 32<<20)
	for range 1000 {
		runtime.GC()
		work.Lock()
		now := debug.SetGCPercent(percent)
		debug.SetGCPercent(now)
		work.Unlock()
		if now == percent {
			runtime.KeepAlive(held)
			return
		}
	}
	t.Errorf("with 32 MB held and a floor of 1 MB the percentage never came to %d", percent)
}

func TestUsersSettingStands(t *testing.T) {
	t.Setenv("GOGC", "77")
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	end := begin(0)
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("GOGC=77 became %d", got)
	}
	end()
}

// What is spared beside engines is given back whoever ends first.
func TestSparing(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	var got []int
	see := func() {
		now := debug.SetGCPercent(300)
		debug.SetGCPercent(now)
		got = append(got, now)
	}
	first, second := Sparing(), Sparing()
	see()
	build := begin(0)
	see()
	first()
	second()
	see()
	build()
	see()
	build = begin(0)
	ingest := Sparing()
	build()
	see()
	ingest()
	see()
	for i, want := range []int{sparingPercent, percent, percent, 300, sparingPercent, 300} {
		if got[i] != want {
			t.Fatalf("percentages %v, at %d want %d", got, i, want)
		}
	}
}
