package cost

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// tick is a clock that moves a second each time it is read.
func tick() func() time.Time {
	t := time.Unix(0, 0)
	return func() time.Time { t = t.Add(time.Second); return t }
}

// A run's figures are those of its steps and of what lies between them: one listing here.
func TestAddsUp(t *testing.T) {
	m := NewMeter(tick())
	b := m.Bucket(storage.NewMemory(nil))
	run := m.Begin()
	step := m.Begin()
	if _, err := b.Put(t.Context(), "a", storage.Bytes(make([]byte, 100)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	one := step.End()
	for range b.List(t.Context(), "", storage.ListOpt{}) {
	}
	step = m.Begin()
	r, _, err := b.Get(t.Context(), "a", storage.Range{Off: 10, N: 30})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "a", storage.Bytes(nil), storage.Cond{IfAbsent: true}); err == nil {
		t.Fatal("written twice")
	}
	two := step.End()
	all := run.End()
	if one.Puts != 1 || one.BytesWritten != 100 || one.BytesRead != 0 || one.Gets != 0 || one.Seconds != 1 {
		t.Errorf("the first step: %+v", one)
	}
	if two.Gets != 2 || two.BytesRead != 30 || two.Puts != 1 || two.BytesWritten != 0 {
		t.Errorf("the second step: %+v", two)
	}
	if all.Gets != 2 || all.Puts != 2 || all.Lists != 1 || all.BytesRead != 30 || all.BytesWritten != 100 || all.Shared || all.Seconds != 5 {
		t.Errorf("the run: %+v", all)
	}
}

// The peak of a piece is its own: what another had before it does not count, and what was let go again does.
func TestPeak(t *testing.T) {
	m := NewMeter(time.Now)
	outer := m.Begin()
	inner := m.Begin()
	block := bytes.Repeat([]byte{1}, 64<<20)
	peak := inner.End()
	after := m.Begin()
	if len(block) == 0 {
		t.Fatal("unreachable")
	}
	after.End()
	whole := outer.End()
	if peak.PeakMemory < 64<<20 || whole.PeakMemory < peak.PeakMemory {
		t.Errorf("64 MiB were written to; the peak is %d, that of the whole %d", peak.PeakMemory, whole.PeakMemory)
	}
	if peak.CPUSeconds <= 0 || whole.CPUSeconds < peak.CPUSeconds {
		t.Errorf("processor time %v of %v", peak.CPUSeconds, whole.CPUSeconds)
	}
}

// Two meters at once know that processor time and memory are not theirs alone; one after the other does not.
func TestShared(t *testing.T) {
	a, b := NewMeter(time.Now), NewMeter(time.Now)
	x := a.Begin()
	y := b.Begin()
	inY := b.Begin()
	if !inY.End().Shared || !y.End().Shared || !x.End().Shared {
		t.Error("company was not noticed")
	}
	if a.Begin().End().Shared {
		t.Error("alone, and yet shared")
	}
}

// A counted bucket is a bucket, and keeps the optional power of the one below.
func TestConformance(t *testing.T) {
	storagetest.TestBucket(t, func(*testing.T) storage.Bucket { return NewMeter(time.Now).Bucket(storage.NewMemory(nil)) })
	if _, ok := NewMeter(time.Now).Bucket(storage.NewMemory(nil)).(storage.Versions); !ok {
		t.Error("versions are not passed on")
	}
}

// The mark of another system's status is none.
func TestKilobytes(t *testing.T) {
	for text, want := range map[string]int64{"a\nVmHWM:\t  12 kB\nb": 12 << 10, "VmHWM:\t12 kB": 0, "\nVmHWM:": 0, "\nVmHWM: x kB": 0, "": 0} {
		if got := kilobytes([]byte(text), "VmHWM:"); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
