package aggregate

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// A decayed sum agrees with its formula to 1e-12 of the magnitudes, and is the same to the bit whichever base its state was kept for, however far it was
// moved, and whatever left it on the way.
func TestDecayMovesExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		d := Decay{HalfLife: 1 + rng.Int64N(1<<41)}
		window := d.HalfLife * (1 + rng.Int64N(500))
		end := rng.Int64N(1<<51) - 1<<50
		moved := end + rng.Int64N(window)
		type event struct {
			t int64
			w float64
		}
		var events []event
		for range 1 + rng.IntN(30) {
			w := math.Ldexp(1+rng.Float64(), rng.IntN(798)-399)
			if rng.IntN(3) > 0 {
				w = float64(1 + rng.IntN(5))
			}
			events = append(events, event{end - window + rng.Int64N(window), w})
		}
		base := d.Base(end - window)
		var state Exact
		want, size := new(big.Float).SetPrec(200), 0.0
		for _, e := range events {
			state.Add(d.Term(e.w, e.t, base))
		}
		next := d.Base(moved - window)
		for _, e := range events { // those that leave the window
			if e.t < moved-window {
				state.Add(-d.Term(e.w, e.t, base))
			}
		}
		state.Scale(int(base - next))
		var fresh Exact
		for _, e := range events {
			if e.t < moved-window {
				continue
			}
			fresh.Add(d.Term(e.w, e.t, next))
			x := e.w * math.Exp2(-float64(moved-e.t)/float64(d.HalfLife))
			want.Add(want, big.NewFloat(x))
			size += math.Abs(x)
		}
		got, full := d.Result(state.Result(), next, moved), d.Result(fresh.Result(), next, moved)
		if got != full {
			t.Fatalf("moved from %d to %d, half-life %d: %g, from all events %g", end, moved, d.HalfLife, got, full)
		}
		if f, _ := want.Float64(); math.Abs(got-f) > 1e-12*size {
			t.Fatalf("half-life %d, end %d: %g, want %g", d.HalfLife, moved, got, f)
		}
	}
}

// By hand: at the end 3 h after 1970, of a half-life of 2 h, an event of weight 8 an hour ago is 8·2^−½, one of 3 h ago 8·2^−1½.
func TestDecayByHand(t *testing.T) {
	d := Decay{HalfLife: 2 * Hour}
	base := d.Base(-10 * Hour)
	if base != -5 {
		t.Fatalf("base %d", base)
	}
	var s Exact
	s.Add(d.Term(8, 2*Hour, base))
	s.Add(d.Term(8, 0, base))
	if got, want := d.Result(s.Result(), base, 3*Hour), 8/math.Sqrt2+4/math.Sqrt2; math.Abs(got-want) > 1e-15*want {
		t.Errorf("%v, want %v", got, want)
	}
	if got := d.Result(0, base, 3*Hour); got != 0 || math.Signbit(got) {
		t.Errorf("nothing decays to %v", got)
	}
}

func TestDecayable(t *testing.T) {
	for w, want := range map[float64]bool{
		0: true, 1: true, -0x1p400: true, 0x1p-400: true, math.Nextafter(0x1p400, 1e200): false, 0x1p-401: false, math.Inf(1): false, math.NaN(): false, 5e-324: false,
	} {
		if Decayable(w) != want {
			t.Errorf("%g: %v", w, !want)
		}
	}
}
