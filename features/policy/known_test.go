package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestKnownFindsEverybody: of many subjects, however their numbers lie, each is found where it stands, others are not, in the order of a walk and in any other.
func TestKnownFindsEverybody(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	numbers := map[string]func(i int) Subject{
		"even":    func(int) Subject { return Subject(rng.Uint64()) },
		"small":   func(i int) Subject { return Subject(3 * i) },
		"crowded": func(i int) Subject { return 1<<63 + Subject(rng.Uint64N(1<<20))<<(8*uint(i%5)) },
		"ends":    func(i int) Subject { return Subject(i%2)*(1<<64-1) ^ Subject(i/2) },
	}
	for name, number := range numbers {
		for _, n := range []int{0, 1, 2, 5, blockRows, blockRows + 1, 5*blockRows + 7} {
			var all []Subject
			for i := range n {
				all = append(all, number(i))
			}
			all = ascending(all)
			x := NewDeciding(day(20), nil, recommend)
			for i, s := range all {
				if err := x.Add(s, []Record{given(s, 1+i%10, 30*(i%2))}); err != nil {
					t.Fatal(err)
				}
			}
			d := Join(x)[0]
			walk := d.Rules(ever)
			for i, s := range all {
				want := Decision{From: dayMicros(1 + i%10), To: dayMicros(20)}
				if i%2 == 1 {
					want.Expires = dayMicros(30)
				}
				if got := d.Of(s); got != want {
					t.Fatalf("%s, %d of %d: %+v, want %+v", name, i, n, got, want)
				}
				if got := walk.Of(s); got != d.Rule(s, ever) {
					t.Fatalf("%s, %d of %d: the walk says %+v", name, i, n, got)
				}
				for _, other := range []Subject{s - 1, s + 1} {
					if _, known := slices.BinarySearch(all, other); known {
						continue
					}
					if got := d.Of(other); got != d.Unseen() {
						t.Fatalf("%s: beside %d of %d: %+v", name, i, n, got)
					}
				}
			}
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, s := range all[:min(len(all), 500)] {
				if got := walk.Of(s); got != d.Rule(s, ever) {
					t.Fatalf("%s of %d, out of order: the walk says %+v", name, n, got)
				}
			}
			asked := append(all[:len(all):len(all)], 2, 1<<62+1)
			for i, got := range d.RulesOf(nil, asked, ever) {
				if got != d.Rule(asked[i], ever) {
					t.Fatalf("%s of %d: %s asked with others: %+v", name, n, asked[i], got)
				}
			}
			if admitted, refused := d.Admitted(); admitted != len(all) || refused != 0 {
				t.Errorf("%s: %d admitted and %d refused of %d", name, admitted, refused, len(all))
			}
		}
	}
}

func TestDecidingRefusesDisorder(t *testing.T) {
	x := NewDeciding(day(20), nil, recommend)
	if err := x.Add(5, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Subject{5, 4} {
		if err := x.Add(s, nil); err == nil {
			t.Errorf("%s is decided of after 5", s)
		}
	}
}

// BenchmarkLookup finds single subjects of two million, with what stands between a record and an event.
func BenchmarkLookup(b *testing.B) {
	const n = 2_000_000
	rng := rand.New(rand.NewPCG(1, 1))
	all := make([]Subject, n)
	for i := range all {
		all[i] = Subject(rng.Uint64())
	}
	all = ascending(all)
	x := NewDeciding(time.UnixMicro(dayMicros(20)), nil, recommend)
	for _, s := range all {
		if err := x.Add(s, []Record{given(s, 1, 0)}); err != nil {
			b.Fatal(err)
		}
	}
	d := Join(x)[0]
	rng.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if d.Judge(all[i%n], dayMicros(5), ever) != Kept {
				b.Fatal("a subject is not found")
			}
		}
	})
	b.Run("together", func(b *testing.B) {
		b.ReportAllocs()
		var rules []Rule
		for i := 0; b.Loop(); i++ {
			if i%together == 0 {
				rules = d.RulesOf(rules[:0], all[i%(n-together):][:together], ever)
			}
			if rules[i%together].Judge(dayMicros(5)) != Kept {
				b.Fatal("a subject is not found")
			}
		}
	})
}
