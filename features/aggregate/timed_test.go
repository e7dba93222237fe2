package aggregate

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// happenings are n events with few distinct times and values, so that ties abound.
func happenings(rng *rand.Rand, n int) []Event[float64] {
	events := make([]Event[float64], n)
	span := int64(1 + rng.IntN(4*n+1))
	for i := range events {
		events[i] = Event[float64]{Time: rng.Int64N(span)*Hour/4 - Hour*10, Value: float64(rng.IntN(8) - 4)}
	}
	return events
}

func byTime(a, b Event[float64]) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Value, b.Value))
}

// timed is a timed state under test: fill makes the state of events in their order, in two parts that are merged after the first cut of them.
// Its bytes, and what it answers for every window, must be as the oracle says.
type timed struct {
	name string
	// state returns the encoded state of the events, and for a window's start its answer as a comparable value.
	fill    func(events []Event[float64], cut int) (encoded []byte, answer func(from int64) any)
	decode  func(src []byte) (again []byte, rest []byte, err error)
	oracle  func(window []Event[float64]) any // of the events in the window, sorted by time and value
	aligned int64                             // starts of windows are multiples of it
}

// crowded hashes the values of happenings so that several fall on one register, with different ranks.
func crowded(x float64) uint64 {
	v := int(x) + 4 // 0 to 7
	return uint64(v%2)<<52 | 1<<(v/2*9)
}

func timedStates() []timed {
	number := cmp.Compare[float64]
	var states []timed
	for _, unit := range []int64{1, Hour} {
		states = append(states, timed{
			name: "first", aligned: unit,
			fill: func(events []Event[float64], cut int) ([]byte, func(int64) any) {
				var a, b Firsts[float64]
				for _, e := range events[:cut] {
					a.Add(e, unit, number)
				}
				for _, e := range events[cut:] {
					b.Add(e, unit, number)
				}
				a.Merge(b, unit, number)
				return a.Append(nil), func(from int64) any {
					if e, ok := a.Result(from); ok {
						return e.Value
					}
					return nil
				}
			},
			decode: func(src []byte) ([]byte, []byte, error) {
				s, rest, err := DecodeFirsts(Firsts[float64](nil), src, unit)
				return s.Append(nil), rest, err
			},
			oracle: func(w []Event[float64]) any {
				if len(w) == 0 {
					return nil
				}
				return w[0].Value
			},
		})
	}
	for _, n := range []int{1, 3, 50} {
		states = append(states, timed{
			name: "recent", aligned: 1,
			fill: func(events []Event[float64], cut int) ([]byte, func(int64) any) {
				var a, b Recents[float64]
				for _, e := range events[:cut] {
					a.Add(e, n, number)
				}
				for _, e := range events[cut:] {
					b.Add(e, n, number)
				}
				a.Merge(b, n, number)
				return a.Append(nil), func(from int64) any { return string(a.Result(from).Append(nil)) }
			},
			decode: func(src []byte) ([]byte, []byte, error) {
				s, rest, err := DecodeRecents(Recents[float64](nil), src, n, number)
				return s.Append(nil), rest, err
			},
			oracle: func(w []Event[float64]) any {
				return string(Recents[float64](w[max(0, len(w)-n):]).Append(nil))
			},
		})
	}
	return append(states,
		timed{
			name: "approx_distinct", aligned: 1,
			fill: func(events []Event[float64], cut int) ([]byte, func(int64) any) {
				var a, b Registers
				for _, e := range events[:cut] {
					a.Add(crowded(e.Value), e.Time)
				}
				for _, e := range events[cut:] {
					register, rank := Register(crowded(e.Value))
					b = append(b, Ranked{Time: e.Time, Register: register, Rank: rank})
				}
				b.Normalize()
				a.Merge(b)
				return a.Append(nil), func(from int64) any { return a.Result(from) }
			},
			decode: func(src []byte) ([]byte, []byte, error) {
				s, rest, err := DecodeRegisters(nil, src)
				return s.Append(nil), rest, err
			},
			oracle: func(w []Event[float64]) any {
				largest := map[uint16]uint8{}
				for _, e := range w {
					register, rank := Register(crowded(e.Value))
					largest[register] = max(largest[register], rank)
				}
				c := Ranks{0: RegisterNum - int32(len(largest))}
				for _, rank := range largest {
					c[rank]++
				}
				return c.Estimate()
			},
		},
		timed{
			name: "min", aligned: 1,
			fill: func(events []Event[float64], cut int) ([]byte, func(int64) any) {
				var a, b Extreme
				for _, e := range events[:cut] {
					a.Add(e.Time, e.Value)
				}
				for _, e := range events[cut:] {
					b.Add(e.Time, e.Value)
				}
				a.Merge(b)
				return a.Append(nil), func(from int64) any {
					if x, ok := a.Result(from); ok {
						return x
					}
					return nil
				}
			},
			decode: func(src []byte) ([]byte, []byte, error) {
				s, rest, err := DecodeExtreme(nil, src)
				return s.Append(nil), rest, err
			},
			oracle: func(w []Event[float64]) any {
				if len(w) == 0 {
					return nil
				}
				return slices.MinFunc(w, func(a, b Event[float64]) int { return cmp.Compare(a.Value, b.Value) }).Value
			},
		},
		timed{
			name: "distinct", aligned: 1,
			fill: func(events []Event[float64], cut int) ([]byte, func(int64) any) {
				var a, b Members
				for _, e := range events[:cut] {
					a.Add(math.Float64bits(e.Value), e.Time)
				}
				for _, e := range events[cut:] {
					b = append(b, Member{math.Float64bits(e.Value), e.Time})
				}
				b.Normalize()
				a.Merge(b)
				return a.Append(nil), func(from int64) any { return a.Result(from) }
			},
			decode: func(src []byte) ([]byte, []byte, error) {
				s, rest, err := DecodeMembers(nil, src)
				return s.Append(nil), rest, err
			},
			oracle: func(w []Event[float64]) any {
				set := map[float64]bool{}
				for _, e := range w {
					set[e.Value] = true
				}
				return int64(len(set))
			},
		})
}

// Every window's answer is that of its events, the bytes of a state depend on its events alone, and come back from their encoding.
func TestTimedStates(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, s := range timedStates() {
		for range 300 {
			events := happenings(rng, rng.IntN(40))
			encoded, answer := s.fill(events, rng.IntN(len(events)+1))
			sorted := slices.SortedFunc(slices.Values(events), byTime)
			for _, from := range append(times(events), math.MinInt64/2, 0, math.MaxInt64/2) {
				from = floorDiv(from, s.aligned) * s.aligned
				at := slices.IndexFunc(sorted, func(e Event[float64]) bool { return e.Time >= from })
				if at < 0 {
					at = len(sorted)
				}
				if got, want := answer(from), s.oracle(sorted[at:]); got != want {
					t.Fatalf("%s since %d of %v: %v, want %v", s.name, from, sorted, got, want)
				}
			}
			rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			if again, _ := s.fill(events, rng.IntN(len(events)+1)); !bytes.Equal(again, encoded) {
				t.Fatalf("%s of %v: the order of events changes the state: %x and %x", s.name, events, encoded, again)
			}
			again, rest, err := s.decode(append(slices.Clone(encoded), "rest"...))
			if err != nil || string(rest) != "rest" || !bytes.Equal(again, encoded) {
				t.Fatalf("%s: %x decoded is %x, %q left, %v", s.name, encoded, again, rest, err)
			}
			for cut := range encoded {
				if _, rest, err := s.decode(encoded[:cut]); err == nil && len(rest) >= cut {
					t.Fatalf("%s: %d of %d bytes are taken for a state", s.name, cut, len(encoded))
				}
			}
		}
	}
}

func times(events []Event[float64]) []int64 {
	var ts []int64
	for _, e := range events {
		ts = append(ts, e.Time, e.Time+1)
	}
	return ts
}

// What a cut drops is no more than what no later window needs.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	number := cmp.Compare[float64]
	for range 300 {
		events := happenings(rng, 1+rng.IntN(40))
		var (
			x Extreme
			f Firsts[float64]
			r Recents[float64]
			m Members
		)
		for _, e := range events {
			x.Add(e.Time, e.Value)
			f.Add(e, 1, number)
			r.Add(e, 5, number)
			m.Add(math.Float64bits(e.Value), e.Time)
		}
		from := events[rng.IntN(len(events))].Time
		later := from + rng.Int64N(3*Hour)
		wantX, okX := x.Result(later)
		wantF, okF := f.Result(later)
		wantR := slices.Clone(r.Result(later))
		wantM := m.Result(later)
		x.Cut(from)
		f.Cut(from)
		r.Cut(from)
		m.Cut(from)
		gotX, stillX := x.Result(later)
		gotF, stillF := f.Result(later)
		if gotX != wantX || stillX != okX || gotF != wantF || stillF != okF || !slices.Equal(r.Result(later), wantR) || m.Result(later) != wantM {
			t.Fatalf("cut at %d, then from %d: another answer", from, later)
		}
		if len(x) > 0 && x[0].Time < from || len(f) > 0 && f[0].Time < from || len(r) > 0 && r[0].Time < from || m.Result(math.MinInt64) != int64(len(m)) {
			t.Fatalf("cut at %d left what is older", from)
		}
	}
}

// A long run in random order leaves about ln n entries in an Extreme.
func TestExtremeStaysShort(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	var x Extreme
	for i := range 100_000 {
		x.Add(int64(i), rng.Float64())
	}
	if len(x) > 40 { // ln 100,000 ≈ 11.5
		t.Errorf("%d entries", len(x))
	}
}

// An Extreme that is made at once is that of its events one by one.
func TestExtremeNormalize(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for range 300 {
		var one, all Extreme
		for _, e := range happenings(rng, rng.IntN(40)) {
			one.Add(e.Time, e.Value)
			all = append(all, e)
		}
		if all.Normalize(); !slices.Equal(one, all) {
			t.Fatalf("%v, want %v", all, one)
		}
	}
}

func TestText(t *testing.T) {
	compare := cmp.Compare[string]
	var a Recents[string]
	for _, e := range []Event[string]{{5, "b"}, {5, "a"}, {3, ""}, {9, "ä\xff"}} {
		a.Add(e, 3, compare)
	}
	if want := (Recents[string]{{5, "a"}, {5, "b"}, {9, "ä\xff"}}); !slices.Equal(a, want) {
		t.Fatalf("%v, want %v", a, want)
	}
	got, rest, err := DecodeRecents(Recents[string](nil), a.Append(nil), 3, compare)
	if err != nil || len(rest) != 0 || !slices.Equal(got, a) {
		t.Errorf("%v, %d bytes left, %v", got, len(rest), err)
	}
}

// Whatever the bytes, a decoder returns an error or a state that its own encoding gives again, of a size that the bytes bound.
func FuzzDecodeTimed(f *testing.F) {
	rng := rand.New(rand.NewPCG(8, 1))
	states := timedStates()
	for i, s := range states {
		encoded, _ := s.fill(happenings(rng, 12), 5)
		f.Add(uint8(i), encoded)
	}
	f.Add(uint8(0), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		s := states[int(which)%len(states)]
		encoded, rest, err := s.decode(src)
		if err != nil {
			return
		}
		again, left, err := s.decode(encoded)
		if err != nil || len(left) != 0 || !bytes.Equal(again, encoded) || len(encoded) > len(src)-len(rest) {
			t.Fatalf("%s: %x gives %x, then %x, %v", s.name, src, encoded, again, err)
		}
	})
}
