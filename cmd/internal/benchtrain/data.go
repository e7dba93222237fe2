package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// world is the shape of synthetic pairs: who chose what, once each. Equal worlds hold equal pairs, on any machine.
type world struct {
	Subjects int    `json:"subjects"`
	Items    int    `json:"items"`
	Pairs    int    `json:"pairs"`
	Seed     uint64 `json:"seed"`
}

// movielens20M is the shape of MovieLens-20M, small a world that takes a moment.
var (
	movielens20M = world{Subjects: 138_493, Items: 26_744, Pairs: 20_000_263, Seed: 1}
	small        = world{Subjects: 2_000, Items: 1_200, Pairs: 120_000, Seed: 1}
)

// matrix holds a world's pairs by subject: subject s chose item[off[s]:off[s+1]], in this order.
type matrix struct {
	world
	off  []int
	item []int32
}

// Constants of MovieLens: half of the subjects have at most 68 films, the mean is 144 and the least 20; the film that most have seen has 0.34 %
// of all pairs.
const (
	leastPairs  = 20
	spread      = 1.22 // of the logarithm of a subject's pairs: √(2·ln(mean/median))
	popularHead = 200. // the weight of the item at place i is (i + popularHead)^−popularFall
	popularFall = 1.6
	tastes      = 128 // groups of items
	ownTaste    = .75 // of a subject's pairs that lie in the groups it prefers
)

// generate draws the pairs. Subjects are drawn independently, on all cores.
func (w world) generate() (*matrix, error) {
	if w.Subjects < 1 || w.Items < 3*leastPairs || w.Pairs < w.Subjects*leastPairs || w.Pairs > w.Subjects*(w.Items/3) {
		return nil, fmt.Errorf("world %+v: want at least %d items, and %d pairs to a third of the items for each subject", w, 3*leastPairs, leastPairs)
	}
	m := &matrix{world: w, off: w.lengths(), item: make([]int32, w.Pairs)}
	weights, byTaste := make([]float64, w.Items), make([][]int32, tastes)
	r := rand.New(rand.NewPCG(w.Seed, 1))
	place := r.Perm(w.Items)
	for i := range weights {
		weights[i] = math.Pow(float64(place[i])+popularHead, -popularFall)
		t := int(float64(tastes) * math.Pow(r.Float64(), 1.5)) // large groups and small ones
		byTaste[t] = append(byTaste[t], int32(i))
	}
	all := newAlias(weights, nil)
	groups := make([]*alias, tastes)
	for t, items := range byTaste {
		groups[t] = all
		if len(items) > 0 {
			groups[t] = newAlias(weights, items)
		}
	}
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		wg.Go(func() {
			seen := make([]int32, w.Items) // 1 + the last subject that chose the item
			for s := k; s < w.Subjects; s += workers {
				w.subject(s, m.item[m.off[s]:m.off[s+1]], seen, all, groups)
			}
		})
	}
	wg.Wait()
	return m, nil
}

// lengths draws how many pairs each subject has, as offsets. They add up to Pairs.
func (w world) lengths() []int {
	r := rand.New(rand.NewPCG(w.Seed, 2))
	raw, sum := make([]float64, w.Subjects), 0.
	for s := range raw {
		raw[s] = math.Exp(spread * r.NormFloat64())
		sum += raw[s]
	}
	n, total := make([]int, w.Subjects), 0
	for s, x := range raw {
		n[s] = min(max(int(x/sum*float64(w.Pairs)), leastPairs), w.Items/3)
		total += n[s]
	}
	for s := 0; total != w.Pairs; s = (s + 1) % w.Subjects { // what rounding and bounds took or gave
		switch {
		case total < w.Pairs && n[s] < w.Items/3:
			n[s]++
			total++
		case total > w.Pairs && n[s] > leastPairs:
			n[s]--
			total--
		}
	}
	off := make([]int, w.Subjects+1)
	for s, k := range n {
		off[s+1] = off[s] + k
	}
	return off
}

// subject draws the items of one subject: from a few groups it prefers, and from everywhere.
func (w world) subject(s int, dst, seen []int32, all *alias, groups []*alias) {
	r := rand.New(rand.NewPCG(w.Seed, 3+uint64(s)))
	var own [4]int
	for k := range own {
		own[k] = r.IntN(len(groups))
	}
	const tries = 64 // a group may have fewer items than the subject wants
	repeats := 0
	for n := 0; n < len(dst); {
		from := all
		if repeats < tries && r.Float64() < ownTaste {
			from = groups[own[min(r.IntN(4), r.IntN(4))]] // the first is preferred
		}
		i := from.draw(r)
		if repeats > 2*tries {
			i = int32(r.IntN(w.Items))
		}
		if seen[i] == int32(s)+1 {
			repeats++
			continue
		}
		seen[i] = int32(s) + 1
		dst[n] = i
		repeats = 0
		n++
	}
}

// alias draws from a discrete distribution in constant time (Vose, 1991).
type alias struct {
	items, other []int32
	share        []float64
}

// newAlias is the distribution over items (nil: all) in proportion to their weights.
func newAlias(weights []float64, items []int32) *alias {
	if items == nil {
		for i := range weights {
			items = append(items, int32(i))
		}
	}
	n, sum := len(items), 0.
	for _, i := range items {
		sum += weights[i]
	}
	a := &alias{items: items, other: make([]int32, n), share: make([]float64, n)}
	var below, above []int
	for k, i := range items {
		a.share[k], a.other[k] = weights[i]/sum*float64(n), i
		if a.share[k] < 1 {
			below = append(below, k)
		} else {
			above = append(above, k)
		}
	}
	for len(below) > 0 && len(above) > 0 {
		b, t := below[len(below)-1], above[len(above)-1]
		below = below[:len(below)-1]
		a.other[b] = items[t]
		if a.share[t] -= 1 - a.share[b]; a.share[t] < 1 {
			above = above[:len(above)-1]
			below = append(below, t)
		}
	}
	for _, k := range slices.Concat(below, above) {
		a.share[k] = 1
	}
	return a
}

func (a *alias) draw(r *rand.Rand) int32 {
	k := r.IntN(len(a.items))
	if r.Float64() < a.share[k] {
		return a.items[k]
	}
	return a.other[k]
}

// path is where a kept world stands under dir: the number of pairs of each subject, then the items, as little-endian int32.
func (w world) path(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("pairs-%d-%d-%d-%d.bin", w.Subjects, w.Items, w.Pairs, w.Seed))
}

// ensure returns the file of w under b's data folder, and writes it if it is not there.
func (b *bench) ensure(w world) (string, error) {
	path := w.path(b.data)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	m, err := w.generate()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(b.data, 0o777); err != nil {
		return "", err
	}
	part := path + ".part"
	f, err := os.Create(part)
	if err != nil {
		return "", err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	n := make([]int32, w.Subjects)
	for s := range n {
		n[s] = int32(m.off[s+1] - m.off[s])
	}
	if err := errors.Join(binary.Write(out, binary.LittleEndian, n), writeItems(out, m.item), out.Flush(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", part, err), os.Remove(part))
	}
	return path, os.Rename(part, path)
}

func writeItems(w io.Writer, items []int32) error {
	for part := range slices.Chunk(items, 1<<16) {
		if err := binary.Write(w, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	return nil
}

// read reads what ensure wrote. Beside its result it needs a few hundred kilobytes.
func (w world) read(path string) (*matrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<18)
	n, m := make([]int32, w.Subjects), &matrix{world: w, off: make([]int, w.Subjects+1), item: make([]int32, w.Pairs)}
	if err := binary.Read(in, binary.LittleEndian, n); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for s, k := range n {
		m.off[s+1] = m.off[s] + int(k)
	}
	if m.off[w.Subjects] != w.Pairs {
		return nil, fmt.Errorf("%s holds %d pairs, want %d: remove it", path, m.off[w.Subjects], w.Pairs)
	}
	for part := range slices.Chunk(m.item, 1<<15) {
		if err := binary.Read(in, binary.LittleEndian, part); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	for _, i := range m.item {
		if i < 0 || int(i) >= w.Items {
			return nil, fmt.Errorf("%s names item %d of %d: remove it", path, i, w.Items)
		}
	}
	return m, nil
}

// dataset returns the pairs as events of weight 1, one a microsecond, and shares the items with m.
func (m *matrix) dataset() *models.Dataset {
	d := &models.Dataset{Catalog: &models.Catalog{IDs: make([]string, m.Items)}, Kinds: []string{"choose"}}
	for i := range d.Catalog.IDs {
		d.Catalog.IDs[i] = fmt.Sprintf("i%06d", i)
	}
	l := &d.Events
	l.Off, l.Item = m.off, m.item
	l.Subjects, l.Kind = make([]uint64, m.Subjects), make([]uint8, m.Pairs)
	l.Time, l.Weight = make([]int64, m.Pairs), make([]float32, m.Pairs)
	longest := 0
	for s := range l.Subjects {
		l.Subjects[s] = uint64(s) + 1
		for e := m.off[s]; e < m.off[s+1]; e++ {
			l.Time[e], l.Weight[e] = int64(e-m.off[s]), 1
		}
		longest = max(longest, m.off[s+1]-m.off[s])
	}
	end := int64(longest)
	d.Cuts = models.Cuts{Rerank: end, Validation: end, Test: end, End: end}
	return d
}
