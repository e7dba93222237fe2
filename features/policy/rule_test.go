package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRules: a walk over subjects, ascending or not, finds what Judge says of each, and Over says what Judge says of every moment of a span.
func TestRules(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	alike := 0
	for n := range 400 {
		records, erasures := genHistory(rng)
		p := Purpose{Name: "recommend", Basis: []Basis{Consent, LegitimateInterest}[n%2]}
		now, oldest := rng.IntN(horizon), rng.IntN(horizon)
		if n%5 == 0 {
			oldest = 0
		}
		d := Decide(p, day(now), records, erasures)
		walk := d.Rules(dayMicros(oldest))
		var order []Subject
		for range 12 {
			order = append(order, Subject(rng.IntN(6)))
		}
		if n%3 > 0 {
			slices.Sort(order)
		}
		for _, s := range order {
			rule := walk.Of(s)
			if rule != d.Rule(s, dayMicros(oldest)) {
				t.Fatalf("subject %d of %v: %+v, want %+v", s, order, rule, d.Rule(s, dayMicros(oldest)))
			}
			a, b := rng.IntN(horizon), rng.IntN(horizon)
			start, end := dayMicros(min(a, b)), dayMicros(max(a, b)+1)
			said := map[Reason]bool{}
			for tt := min(a, b); tt <= max(a, b); tt++ { // all turns are at days' starts
				said[rule.Judge(dayMicros(tt))] = true
				said[rule.Judge(dayMicros(tt+1)-1)] = true
			}
			why, ok := rule.Over(start, end)
			if ok != (len(said) == 1) || ok && !said[why] {
				t.Fatalf("over days %d to %d it says %v, %v; Judge says %v", min(a, b), max(a, b), why, ok, said)
			}
			if ok {
				alike++
				continue
			}
			turns := 0
			for who, at := range d.Turns {
				if who == s && at > start && at < end {
					turns++
				}
			}
			for _, at := range []int64{dayMicros(oldest), dayMicros(now)} {
				if at > start && at < end {
					turns++
				}
			}
			if turns == 0 {
				t.Fatalf("over days %d to %d it says %v, and no turn lies in between", min(a, b), max(a, b), said)
			}
		}
	}
	if alike < 100 {
		t.Errorf("only %d spans are judged alike", alike)
	}
}

func BenchmarkRules(b *testing.B) {
	const known, asked = 1_000_000, 100_000
	rng := rand.New(rand.NewPCG(1, 1))
	var records []Record
	for range known {
		records = append(records, Record{Subject: Subject(rng.Uint64()), Purpose: "recommend", State: ConsentGiven, Effective: day(1), Recorded: day(1)})
	}
	d := Decide(Purpose{Name: "recommend", Basis: Consent}, day(9), records, nil)
	d.Rules(0)
	var subjects []Subject
	for _, i := range rng.Perm(known)[:asked] {
		subjects = append(subjects, records[i].Subject)
	}
	slices.Sort(subjects)
	for _, c := range []struct {
		name string
		run  func() int
	}{
		{"map", func() (n int) {
			for _, s := range subjects {
				if d.Judge(s, dayMicros(2), math.MinInt64) == Kept {
					n++
				}
			}
			return n
		}},
		{"walk", func() (n int) {
			walk := d.Rules(math.MinInt64)
			for _, s := range subjects {
				if why, _ := walk.Of(s).Over(dayMicros(2), dayMicros(3)); why == Kept {
					n++
				}
			}
			return n
		}},
	} {
		b.Run(fmt.Sprintf("%s/%dk-of-%dk", c.name, asked/1000, known/1000), func(b *testing.B) {
			for b.Loop() {
				if c.run() != asked {
					b.Fatal("somebody is denied")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/asked, "ns/subject")
		})
	}
}
