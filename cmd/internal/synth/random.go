package synth

import (
	"math"
	"math/rand/v2"
	"sort"
)

// The random streams of a world. Each has numbers of its own, so that one more draw in one changes no other.
const (
	streamItem = iota + 1
	streamPerson
	streamStaple
	streamDay
	streamConsent
	streamMinority
)

// stream is one seeded source of randomness.
type stream struct {
	pcg rand.PCG
	*rand.Rand
}

func newStream() *stream {
	s := &stream{}
	s.Rand = rand.New(&s.pcg)
	return s
}

// reset sets the stream to the beginning of the numbers of (seed, kind, a, b).
func (s *stream) reset(seed, kind, a, b uint64) *stream {
	h := mix(mix(seed+kind) ^ a)
	s.pcg.Seed(h, mix(h^b))
	return s
}

// mix is the output function of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) after one step.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is true with probability p.
func (s *stream) chance(p float64) bool { return s.Float64() < p }

// poisson draws a Poisson number (Knuth's product method; O(mean), mean ≤ 500 a step).
func (s *stream) poisson(mean float64) int {
	n := 0
	for ; mean > 500; mean -= 500 { // exp(−500) is still above the smallest float64
		n += s.poisson(500)
	}
	limit := math.Exp(-mean)
	for p := s.Float64(); p > limit; p *= s.Float64() {
		n++
	}
	return n
}

// geometric draws how many times in a row an event of probability p happens, at most most.
func (s *stream) geometric(p float64, most int) int {
	n := 0
	for n < most && s.chance(p) {
		n++
	}
	return n
}

// weights is a discrete distribution: cumulative sums.
type weights []float64

func newWeights(n int, weight func(i int) float64) weights {
	w, sum := make(weights, n), 0.0
	for i := range w {
		sum += weight(i)
		w[i] = sum
	}
	return w
}

// draw returns i with probability proportional to its weight, O(log n).
func (w weights) draw(s *stream) int {
	x := s.Float64() * w[len(w)-1]
	return min(sort.Search(len(w), func(i int) bool { return w[i] > x }), len(w)-1)
}
