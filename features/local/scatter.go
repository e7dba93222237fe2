package local

import (
	"slices"
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

	// Of the run:
	keep   []int32 // the rows that have a key and lie in a window
	region []uint8 // of each, where it goes
	places []int   // of each, where its record stands in the slab
}

// A region holds regionWords at most: as many as possible while all regions together stay in the processor's last cache. It begins with few, and
// stays so in a small build, or if the build's budget is small.
const (
	regionWords = 2048
	fewWords    = 128
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
	if len(s.keep) == 0 {
		return nil
	}
	g := s.group
	key := w.read.lane(g.idents[0]).words
	if len(g.keys) == 1 {
		for _, row := range s.keep {
			s.region = append(s.region, uint8(hashKey(key[row:row+1])>>(64-partitionBits)))
		}
	} else {
		second := w.read.lane(g.idents[1]).words
		for _, row := range s.keep {
			s.region = append(s.region, uint8(hashKey([]uint64{key[row], second[row]})>>(64-partitionBits)))
		}
	}
	if big := g.regionRows(regionWords); s.full > partitions && s.rows < big && !w.budget.small(partitions*big*g.words*8) {
		if err := s.flushAll(w); err != nil {
			return err
		}
		s.resize(big)
	}
	for lo := 0; lo < len(s.keep); {
		hi, full := s.reserve(lo)
		s.copy(w, s.keep[lo:hi])
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

// choose lists the rows that have a key and lie in a window, and counts those of a window that have none.
func (s *scatter) choose(w *worker) {
	s.keep, s.region = s.keep[:0], s.region[:0]
	keyed := func(int) bool { return true }
	first := w.read.lane(s.group.idents[0]).bad
	var second []state
	if len(s.group.keys) > 1 {
		second = w.read.lane(s.group.idents[1]).bad
	}
	if first != nil || second != nil {
		keyed = func(i int) bool {
			return (first == nil || first[i] == usable) && (second == nil || second[i] == usable)
		}
	} else if !w.byTime {
		for i := range w.move {
			s.keep = append(s.keep, int32(i))
		}
		return
	}
	for i, m := range w.move {
		if m == outside {
			continue
		}
		if keyed(i) {
			s.keep = append(s.keep, int32(i))
			continue
		}
		for _, v := range s.group.views {
			if w.moves.of[s.prog.views[v].class.number].moves(int(m)) {
				w.keyless[v]++
			}
		}
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
			for _, row := range s.keep {
				if bad[row] == refused && w.moves.of[view.class.number].moves(int(w.move[row])) && has(s.masker.named[int(row)*s.group.mask:], f.pred) {
					w.refused[v][j]++
				}
			}
		}
	}
}

// reserve gives rows from lo on their places, until a region is full; that is returned, or −1.
func (s *scatter) reserve(lo int) (hi, full int) {
	s.places = s.places[:0]
	k := s.group.words
	for hi = lo; hi < len(s.keep); hi++ {
		p := int(s.region[hi])
		at := s.fill[p]
		if at == s.rows {
			return hi, p
		}
		s.fill[p] = at + 1
		s.places = append(s.places, (p*s.rows+at)*k)
	}
	return hi, -1
}

// copy writes the records of some rows to their places.
func (s *scatter) copy(w *worker, rows []int32) {
	g := s.group
	slab, places := s.slab, s.places[:len(rows)]
	for i, lane := range g.idents {
		words := w.read.lane(lane).words
		for j, row := range rows {
			slab[places[j]+i] = words[row]
		}
	}
	at := len(g.keys)
	masks := s.masker.masks
	for j, row := range rows {
		slab[places[j]+at] = masks[int(row)*g.mask] | uint64(w.move[row])<<maskBits
	}
	for i := 1; i < g.mask; i++ {
		for j, row := range rows {
			slab[places[j]+at+i] = masks[int(row)*g.mask+i]
		}
	}
	at += g.mask
	for i, lane := range g.lanes {
		words := w.read.lane(lane).words
		for j, row := range rows {
			slab[places[j]+at+i] = words[row]
		}
	}
	text := 0
	for i, c := range g.keys {
		if !g.isText(i) {
			continue
		}
		col := &w.read.cols[c]
		for j, row := range rows {
			to := places[j]/g.words*g.texts + text
			if col.Code != nil {
				s.texts[to] = col.Dict[col.Code[w.read.lo+int(row)]]
			} else {
				s.texts[to] = col.Str[w.read.lo+int(row)]
			}
		}
		text++
	}
}

// flush adds a region to its partition.
func (s *scatter) flush(w *worker, p int) error {
	n := s.fill[p]
	s.fill[p] = 0
	k, t := s.group.words, s.group.texts
	r := records{n: n, words: s.slab[p*s.rows*k:][:n*k], texts: s.texts[p*s.rows*t:][:n*t]}
	err := s.parts[p].add(w.moves, &r, w.scratch, w.budget)
	clear(r.texts)
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
