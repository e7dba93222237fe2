package local

import (
	"runtime"
	"slices"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// scatter gathers the records of one group by partition, for one worker: a region of the slab for each. A region that is full is added to its
// partition at once, so that what an event costs in memory is paid for many events together.
type scatter struct {
	prog   *program
	group  *group
	parts  []*partition
	masker *masker
	rows   int // that a region holds
	full   int // the number of regions that were full
	fill   []int
	slab   []uint64
	texts  []string

	long bool // a text is in texts

	// Of the run:
	all    bool     // every row is kept; keep is not set then
	keep   []int32  // the rows that have a key and lie in a window
	hashes []uint64 // of each
	places []uint32 // of some, where its record stands in the slab
}

// A region holds regionWords: as many as possible while all regions together stay in the processor's last cache. It begins with few, and stays so in a small build, or if the
// build's budget is small. Where states are so large that no cache holds much of them, it comes to hold up to mostWords: the more records meet a partition at once, the
// more of them share what is fetched of it.
const (
	regionWords   = 2048
	mostWords     = 8192
	regionShare   = 16  // of what states hold, all regions of more than regionWords take this part at most
	gatheredWords = 256 // where records are gathered: what is copied is the less to be waited for, the closer regions stand together
	fewWords      = 128
)

func (g *group) regionRows(words int) int { return max(4, words/g.words) }

func newScatter(p *program, g *group, parts []*partition) scatter {
	s := scatter{prog: p, group: g, parts: parts, masker: newMasker(p, g), fill: make([]int, partitions)}
	s.resize(g.regionRows(fewWords))
	return s
}

// resize gives regions another size; they must be empty.
func (s *scatter) resize(rows int) {
	s.rows = rows
	s.slab, s.texts = make([]uint64, partitions*rows*s.group.words), make([]string, partitions*rows*s.group.texts)
}

// run scatters the rows of the worker's run.
func (s *scatter) run(w *worker) error {
	refused := s.masker.run(w.read)
	s.choose(w)
	if refused {
		s.countRefused(w)
	}
	s.hash(w)
	g := s.group
	if big := g.regionRows(s.bestWords(w)); s.full > partitions && s.rows < big && !w.budget.small(partitions*big*g.words*8) {
		if err := s.flushAll(w); err != nil {
			return err
		}
		s.resize(big)
	}
	for lo := 0; lo < len(s.hashes); {
		hi, full := s.reserve(lo)
		s.copy(w, lo, hi)
		if full >= 0 {
			s.full++
			if err := s.flush(w, full); err != nil {
				return err
			}
		}
		lo = hi
	}
	return nil
}

// bestWords is how many words regions should hold, by what states hold now.
func (s *scatter) bestWords(w *worker) int {
	if w.moves.leave {
		return gatheredWords
	}
	words, all := regionWords, int64(partitions*8*len(s.prog.groups)*runtime.GOMAXPROCS(0))
	for held := w.budget.held.Load(); words < mostWords && 2*int64(words)*all <= held/regionShare; {
		words *= 2
	}
	return words
}

// choose lists the rows that have a key and lie in a window, and counts those of a window that have none.
func (s *scatter) choose(w *worker) {
	s.keep, s.all = s.keep[:0], false
	var bad [2][]state
	for i, lane := range s.group.idents {
		if s.group.isText(i) {
			lane = s.group.headOf(i)
		}
		bad[i] = w.read.lane(lane).bad
	}
	if bad[0] == nil && bad[1] == nil && !w.byTime {
		s.all = true
		return
	}
	for i, m := range w.move {
		switch {
		case m == outside:
		case (bad[0] == nil || bad[0][i] == usable) && (bad[1] == nil || bad[1][i] == usable):
			s.keep = append(s.keep, int32(i))
		default:
			for _, v := range s.group.views {
				if w.moves.of[s.prog.views[v].class.number].moves(int(m)) {
					w.keyless[v]++
				}
			}
		}
	}
}

// row returns row i of those that are kept.
func (s *scatter) row(i int) int32 {
	if s.all {
		return int32(i)
	}
	return s.keep[i]
}

// hash computes the hashes of the keys of the kept rows.
func (s *scatter) hash(w *worker) {
	n := len(s.keep)
	if s.all {
		n = len(w.move)
	}
	s.hashes = slices.Grow(s.hashes[:0], n)[:n]
	for i, lane := range s.group.key {
		words := w.read.lane(lane).words
		switch {
		case s.all && i == 0:
			copy(s.hashes, words)
		case s.all:
			for j, k := range words {
				s.hashes[j] = hashMore(s.hashes[j], k)
			}
		case i == 0:
			for j, row := range s.keep {
				s.hashes[j] = words[row]
			}
		default:
			for j, row := range s.keep {
				s.hashes[j] = hashMore(s.hashes[j], words[row])
			}
		}
	}
	for j, h := range s.hashes {
		s.hashes[j] = aggregate.HashBits(h)
	}
}

// countRefused counts the values of the run that are refused, by view and feature.
func (s *scatter) countRefused(w *worker) {
	for _, v := range s.group.views {
		view := &s.prog.views[v]
		for j, f := range view.features {
			if f.lane < 0 || !w.read.lane(f.lane).refused {
				continue
			}
			bad := w.read.lane(f.lane).bad
			for i := range s.kept(w) {
				row := s.row(i)
				if bad[row] == refused && w.moves.of[view.class.number].moves(int(w.move[row])) && has(s.masker.named[int(row)*s.group.mask:], f.pred) {
					w.refused[v][j]++
				}
			}
		}
	}
}

// kept is how many rows are kept.
func (s *scatter) kept(w *worker) int {
	if s.all {
		return len(w.move)
	}
	return len(s.keep)
}

// reserve gives the kept rows from lo on their places, until a region is full; that is returned, or −1.
func (s *scatter) reserve(lo int) (hi, full int) {
	s.places = s.places[:0]
	k, rows, fill := s.group.words, s.rows, s.fill[:partitions]
	for i, h := range s.hashes[lo:] {
		p := int(h >> (64 - partitionBits))
		at := fill[p]
		if at == rows {
			return lo + i, p
		}
		fill[p] = at + 1
		s.places = append(s.places, uint32((p*rows+at)*k))
	}
	return len(s.hashes), -1
}

// copy writes the records of kept rows [lo, hi) to their places.
func (s *scatter) copy(w *worker, lo, hi int) {
	g := s.group
	for i, lane := range g.key {
		s.copyLane(i, w.read.lane(lane).words, lo, hi)
	}
	at := len(g.key)
	masks, slab := s.masker.masks, s.slab
	if s.all {
		move := uint64(w.oneMove) << maskBits
		for j, place := range s.places {
			slab[int(place)+at] = masks[(lo+j)*g.mask] | move
		}
	} else {
		for j, place := range s.places {
			row := s.keep[lo+j]
			slab[int(place)+at] = masks[int(row)*g.mask] | uint64(w.move[row])<<maskBits
		}
	}
	for i := 1; i < g.mask; i++ {
		for j, place := range s.places {
			slab[int(place)+at+i] = masks[int(s.row(lo+j))*g.mask+i]
		}
	}
	at += g.mask
	for i, lane := range g.lanes {
		s.copyLane(at+i, w.read.lane(lane).words, lo, hi)
	}
	text := 0
	for i := range g.keys {
		if g.isText(i) {
			s.copyLong(w, i, text, lo)
			text++
		}
	}
}

// copyLane writes a lane of kept rows [lo, hi) to a word of their records.
func (s *scatter) copyLane(word int, words []uint64, lo, hi int) {
	slab := s.slab[word:]
	if s.all {
		words = words[lo:hi]
		for j, place := range s.places {
			slab[place] = words[j]
		}
		return
	}
	for j, row := range s.keep[lo:hi] {
		slab[s.places[j]] = words[row]
	}
}

// copyLong writes the texts of key column i that its words don't hold: text number text of the kept rows from lo on.
func (s *scatter) copyLong(w *worker, i, text, lo int) {
	g := s.group
	col := &w.read.cols[g.keys[i]]
	tails := w.read.lane(w.prog.lanes[g.headOf(i)].of).words
	for j, place := range s.places {
		row := int(s.row(lo + j))
		if !isLong(tails[row]) {
			continue
		}
		s.long = true
		to := int(place)/g.words*g.texts + text
		if col.Code != nil {
			s.texts[to] = col.Dict[col.Code[w.read.lo+row]]
		} else {
			s.texts[to] = col.Str[w.read.lo+row]
		}
	}
}

// flush adds a region to its partition.
func (s *scatter) flush(w *worker, p int) error {
	n := s.fill[p]
	s.fill[p] = 0
	k, t := s.group.words, s.group.texts
	r := records{n: n, words: s.slab[p*s.rows*k:][:n*k], texts: s.texts[p*s.rows*t:][:n*t]}
	var err error
	if !w.handOver(s.parts[p], &r) {
		err = s.parts[p].add(w.moves, &r, w.scratch, w.budget)
	}
	if s.long {
		clear(r.texts)
	}
	return err
}

// flushAll adds what is left in all regions.
func (s *scatter) flushAll(w *worker) error {
	for p, n := range slices.All(s.fill) {
		if n > 0 {
			if err := s.flush(w, p); err != nil {
				return err
			}
		}
	}
	return nil
}
