package local

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// windowStates is the states of one window that slides over the events of one entity. The values of a feature are numbered densely for it, so that
// a state is flat: counts by number.
type windowStates struct {
	best   aggregate.Extreme
	events []aggregate.Event[int64]
	text   []byte

	keys []int64 // the values of the series, each once, in the order of their numbers
	ids  []int32 // by event: the number of its value
	held []int32 // by number: how many events of the window have it
	tree []int32 // of topTree, or of a Fenwick tree
	heap []topNode
}

// number numbers the values of the series, in an order.
func (s *sweep) number(of func(word uint64) int64, order func(a, b int64) int) {
	s.keys = s.keys[:0]
	for _, w := range s.x.word {
		s.keys = append(s.keys, of(w))
	}
	slices.SortFunc(s.keys, order)
	s.keys = slices.Compact(s.keys)
	s.ids = s.ids[:0]
	for _, w := range s.x.word {
		at, _ := slices.BinarySearchFunc(s.keys, of(w), order)
		s.ids = append(s.ids, int32(at))
	}
}

// empty sets the counts of all values to zero.
func (s *sweep) empty() {
	s.held = slices.Grow(s.held[:0], len(s.keys))[:len(s.keys)]
	clear(s.held)
}

func (s *sweep) distinct(window int64, dst *table.Column, first bool) {
	if first {
		s.number(func(word uint64) int64 { return int64(word) }, cmp.Compare[int64])
	}
	s.empty()
	distinct := int64(0)
	s.slide(window, func(e int) {
		n := &s.held[s.ids[e]]
		if *n++; *n == 1 {
			distinct++
		}
	}, func(e int) {
		n := &s.held[s.ids[e]]
		if *n--; *n == 0 {
			distinct--
		}
	}, func(k int) { putInt(dst, s.rows[k], distinct) })
}

// approx counts the events of each register and rank: their numbers ascend by register, then by rank, so that a register's largest rank in the window is
// the last of its numbers that has events.
func (s *sweep) approx(f *joinFeature, window int64, dst *table.Column, first bool) {
	const rankBits = 8
	if first {
		s.number(func(word uint64) int64 {
			if f.kind != table.String {
				word = aggregate.HashBits(word)
			}
			register, rank := aggregate.Register(word)
			return int64(register)<<rankBits | int64(rank)
		}, cmp.Compare[int64])
	}
	s.empty()
	ranks := aggregate.Ranks{0: aggregate.RegisterNum}
	rank := func(id int32) int64 { return s.keys[id] & (1<<rankBits - 1) }
	sameRegister := func(a, b int32) bool { return s.keys[a]>>rankBits == s.keys[b]>>rankBits }
	// below returns the rank that the register has from smaller ranks than that of id.
	below := func(id int32) int64 {
		for i := id - 1; i >= 0 && sameRegister(i, id); i-- {
			if s.held[i] > 0 {
				return rank(i)
			}
		}
		return 0
	}
	topped := func(id int32) bool {
		for i := id + 1; int(i) < len(s.keys) && sameRegister(i, id); i++ {
			if s.held[i] > 0 {
				return true
			}
		}
		return false
	}
	estimate, known := int64(0), false
	s.slide(window, func(e int) {
		id := s.ids[e]
		if s.held[id]++; s.held[id] == 1 && !topped(id) {
			ranks[below(id)]--
			ranks[rank(id)]++
			known = false
		}
	}, func(e int) {
		id := s.ids[e]
		if s.held[id]--; s.held[id] == 0 && !topped(id) {
			ranks[rank(id)]--
			ranks[below(id)]++
			known = false
		}
	}, func(k int) {
		if !known {
			estimate, known = ranks.Estimate(), true
		}
		putInt(dst, s.rows[k], estimate)
	})
}

// quantile keeps the counts of bins in a Fenwick tree (Fenwick, "A new data structure for cumulative frequency tables", 1994): O(log bins) an event
// and a result.
func (s *sweep) quantile(f *joinFeature, window int64, dst *table.Column, first bool) {
	if first {
		s.number(func(word uint64) int64 { return int64(aggregate.Bin(math.Float64frombits(word))) }, cmp.Compare[int64])
	}
	tree := slices.Grow(s.tree[:0], len(s.keys)+1)[:len(s.keys)+1] // tree[i] counts the i&−i bins before i
	clear(tree)
	s.tree = tree
	add := func(id int32, n int32) {
		for i := int(id) + 1; i < len(tree); i += i & -i {
			tree[i] += n
		}
	}
	events := int64(0)
	s.slide(window, func(e int) {
		events++
		add(s.ids[e], 1)
	}, func(e int) {
		events--
		add(s.ids[e], -1)
	}, func(k int) {
		if events == 0 {
			return
		}
		rank, at := aggregate.Rank(f.Quantile, events), 0
		for step := 1 << bits.Len(uint(len(tree))); step > 0; step /= 2 {
			if next := at + step; next < len(tree) && int64(tree[next]) <= rank {
				at = next
				rank -= int64(tree[at])
			}
		}
		putFloat(dst, s.rows[k], aggregate.BinValue(int32(s.keys[at])))
	})
}

// top keeps the counts of values in a tree of matches: each node holds the better of its two children, by count and then by text. O(log values) an
// event, O(n log values) a result that has changed.
func (s *sweep) top(f *joinFeature, window int64, dst *table.Column, first bool) {
	element := s.element(f)
	if first {
		order := cmp.Compare[int64] // texts are numbered by rank
		if f.kind != table.String {
			var x, y []byte
			order = func(a, b int64) int {
				x, y = element(x[:0], a), element(y[:0], b)
				return bytes.Compare(x, y)
			}
		}
		s.number(f.ordered, order)
	}
	s.empty()
	leaves := 1 << bits.Len(uint(max(0, len(s.keys)-1)))
	tree := slices.Grow(s.tree[:0], 2*leaves)[:2*leaves] // the winner below each node; node 1 is the root, leaf i is node leaves + i
	s.tree = tree
	for i := range leaves {
		tree[leaves+i] = int32(i)
	}
	for i := leaves - 1; i > 0; i-- {
		tree[i] = tree[2*i]
	}
	count := func(id int32) int32 {
		if int(id) < len(s.held) {
			return s.held[id]
		}
		return 0
	}
	add := func(id, n int32) {
		s.held[id] += n
		for i := (leaves + int(id)) / 2; i > 0; i /= 2 {
			l, r := tree[2*i], tree[2*i+1]
			if tree[i] = l; count(r) > count(l) {
				tree[i] = r
			}
		}
	}
	result, known := "", false
	s.slide(window, func(e int) {
		add(s.ids[e], 1)
		known = false
	}, func(e int) {
		add(s.ids[e], -1)
		known = false
	}, func(k int) {
		if len(s.keys) == 0 || count(tree[1]) == 0 {
			return
		}
		if !known {
			result, known = s.winners(f, tree, leaves, element), true
		}
		putText(dst, s.rows[k], result)
	})
}

// topNode is a node of the tree whose winner has not been put out, with what it is compared by.
type topNode struct {
	node, id, n int32
}

func (a topNode) before(b topNode) bool { return a.n > b.n || a.n == b.n && a.id < b.id }

// winners writes the f.N best values of the tree. The values that nodes win which lie off the paths to those put out are kept in a heap.
func (s *sweep) winners(f *joinFeature, tree []int32, leaves int, element func([]byte, int64) []byte) string {
	push := func(node int) {
		id := tree[node]
		if int(id) >= len(s.held) || s.held[id] == 0 {
			return
		}
		s.heap = append(s.heap, topNode{int32(node), id, s.held[id]})
		for i := len(s.heap) - 1; i > 0 && s.heap[i].before(s.heap[(i-1)/2]); i = (i - 1) / 2 {
			s.heap[i], s.heap[(i-1)/2] = s.heap[(i-1)/2], s.heap[i]
		}
	}
	pop := func() topNode {
		top, last := s.heap[0], len(s.heap)-1
		s.heap[0] = s.heap[last]
		s.heap = s.heap[:last]
		for i := 0; ; {
			child := 2*i + 1
			if child >= last {
				break
			}
			if child+1 < last && s.heap[child+1].before(s.heap[child]) {
				child++
			}
			if !s.heap[child].before(s.heap[i]) {
				break
			}
			s.heap[i], s.heap[child] = s.heap[child], s.heap[i]
			i = child
		}
		return top
	}
	s.heap = s.heap[:0]
	push(1)
	s.text = append(s.text[:0], '[')
	for i := 0; i < f.N && len(s.heap) > 0; i++ {
		if i > 0 {
			s.text = append(s.text, ',')
		}
		won := pop()
		s.text = element(s.text, s.keys[won.id])
		for node := leaves + int(won.id); node > int(won.node); node /= 2 {
			push(node ^ 1)
		}
	}
	return string(append(s.text, ']'))
}
