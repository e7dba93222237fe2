package local

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/rapport-ml/rapport/features"
)

// shared is a set of pairs of two keys that two groups count, each the other's entities, under the same conditions and windows: which items a subject had, and which
// subjects an item. One group holds it, and the other's entities are numbered. When all events are in, the pairs are counted for both.
type shared struct {
	numbers *numbering
	windows int
	text    bool // the other group's key is text, of which the numbering knows a hash

	counts []uint32 // of the other group's entities: by number and bucket
	taken  []uint64 // a bit a number: an entity of this number has been seen
}

// errAlike says that two texts have the same hash, so that shared pairs can't tell them apart: the build begins again without sharing.
var errAlike = errors.New("two texts of one column have the same hash")

// errCrowded says that numbers of entities, which can't be spilled, take much of the budget: the build begins again without sharing.
var errCrowded = errors.New("the numbers of shared entities take more than a quarter of the budget")

// share finds the members of two groups that are the same pairs, before records are laid out.
func (p *program) share() {
	if p.use.kept() || p.use.unshared {
		return
	}
	for i, g := range p.groups {
		for _, h := range p.groups[i+1:] {
			if len(g.keys) != 1 || len(h.keys) != 1 {
				continue
			}
			if holds, other := g, h; p.holderRank(g) <= p.holderRank(h) {
				p.shareOf(holds, other)
			} else {
				p.shareOf(other, holds)
			}
		}
	}
}

// byRank returns the positions of groups: those that hold pairs before those that share them.
func (p *program) byRank() []int {
	order := make([]int, len(p.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p.holderRank(p.groups[i]), p.holderRank(p.groups[j])) })
	return order
}

// holderRank orders groups by who had better hold pairs: there are more subjects than items, and more items than anything else.
func (p *program) holderRank(g *group) int {
	return len(holders) - 1 - slices.Index(holders, p.columns[g.keys[0]].name) // none of them: last
}

var holders = []string{features.KeyItem, features.KeySubject}

func (p *program) shareOf(holder, other *group) {
	for _, c := range holder.classes {
		for i := range c.members {
			x := &c.members[i]
			if x.value != other.idents[0] || x.shared != nil {
				continue
			}
			y := other.mirror(c.windows, holder.idents[0], holder.preds[x.pred].tests)
			if y == nil {
				continue
			}
			column := &p.columns[other.keys[0]]
			if column.numbering == nil {
				column.numbering = &numbering{}
			}
			s := &shared{numbers: column.numbering, windows: len(c.windows), text: other.isText(0)}
			x.shared, y.shared, x.holds = s, s, true
			x.value = p.lane(lane{form: ordinal, column: other.keys[0], of: x.value})
		}
	}
}

// mirror returns the members that are counted by some windows, of a lane, under the same conditions; nil if there are none.
func (g *group) mirror(windows []int64, value int, tests []test) *members {
	for _, c := range g.classes {
		if !slices.Equal(c.windows, windows) {
			continue
		}
		for i := range c.members {
			if y := &c.members[i]; y.value == value && y.shared == nil && fmt.Sprint(g.preds[y.pred].tests) == fmt.Sprint(tests) {
				return y
			}
		}
	}
	return nil
}

// countPairs counts the pairs of all partitions that are complete, side by side, and gives their memory back. Nothing is added to these partitions afterwards.
func (s *scan) countPairs() error {
	if s.prog.use.timed {
		return nil // a later build goes on from the pairs
	}
	for _, g := range s.prog.groups {
		for _, c := range g.classes {
			for i := range c.members {
				if x := &c.members[i]; x.holds {
					if err := x.shared.begin(s.budget); err != nil {
						return err
					}
				}
			}
		}
	}
	return s.eachPartition(func(pt *partition) error {
		if len(pt.chunks) > 0 {
			return nil
		}
		return pt.complete(s.budget)
	})
}

// begin makes room for the counts, now that all values are numbered.
func (s *shared) begin(bg *budget) error {
	n := int(s.numbers.next.Load())
	if n > math.MaxUint32 {
		return errFull
	}
	s.counts = make([]uint32, n*s.windows)
	if s.text {
		s.taken = make([]uint64, (n+63)/64)
	}
	bg.held.Add(int64(4*len(s.counts) + 8*len(s.taken)))
	return nil
}

// complete turns the pairs of a partition to which nothing more is added into counts by slot and bucket.
func (pt *partition) complete(bg *budget) error {
	for i := range pt.classes {
		c := &pt.classes[i]
		c.counts = make([][]uint32, len(c.members))
		for j := range c.members {
			x := &c.class.members[j]
			if x.shared != nil && !x.holds {
				if err := pt.claim(x.shared); err != nil {
					return err
				}
				continue
			}
			c.counts[j] = c.members[j].count(pt.n, len(c.windows), x.shared)
			c.members[j] = pairs{}
		}
	}
	bg.grown(pt)
	return nil
}

// count counts the pairs of slots by bucket, and of a shared set those of the other side's values too.
func (t *pairs) count(slots, windows int, s *shared) []uint32 {
	bySlot := make([]uint32, slots*windows)
	t.each(func(slot uint32, id uint64, bucket uint8, _ int64) {
		bySlot[int(slot)*windows+int(bucket)]++
		if s != nil {
			atomic.AddUint32(&s.counts[int(id)*windows+int(bucket)], 1)
		}
	})
	return bySlot
}

// claim checks that no two entities of the partition, whose pairs another group holds, have one number.
func (pt *partition) claim(s *shared) error {
	if !s.text {
		return nil // numbers are their own words
	}
	var text []byte
	for slot := range pt.n {
		n, ok := s.number(pt, uint32(slot), &text)
		if !ok {
			continue
		}
		if bit := uint64(1) << (n % 64); atomic.OrUint64(&s.taken[n/64], bit)&bit != 0 {
			return errAlike
		}
	}
	return nil
}

// number returns the number of the entity of a slot of the group whose pairs another one holds; ok is false if it never met any.
func (s *shared) number(pt *partition, slot uint32, text *[]byte) (n uint32, ok bool) {
	word := pt.keys[int(slot)*pt.entities.words]
	if s.text {
		*text = pt.appendText((*text)[:0], slot, 0)
		word = xxh3.Hash(*text) // as a lane of the form identity has it (aggregate.HashString)
	}
	return s.numbers.known(word)
}

// countsOf returns the counts of a partition's slots by bucket, from those by number.
func (s *shared) countsOf(pt *partition) []uint32 {
	out := make([]uint32, pt.n*s.windows)
	var text []byte
	for slot := range pt.n {
		if n, ok := s.number(pt, uint32(slot), &text); ok {
			copy(out[slot*s.windows:][:s.windows], s.counts[int(n)*s.windows:])
		}
	}
	return out
}
