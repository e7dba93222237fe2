package event

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"sort"

	"github.com/rapport-ml/rapport/features/policy"
)

// identity is one row of the table. key indexes the table's key ids; mac is the HMAC of the canonical id under that key's store key and
// online the one under its serving key.
// floor is how many floors (keyRegister.floors) there were when the subject was numbered.
type identity struct {
	key, floor  uint8
	mac, online mac
}

// macUnder is an HMAC and the key it was made with.
type macUnder struct {
	key uint8
	mac mac
}

func (r identity) under() macUnder { return macUnder{r.key, r.mac} }

// numberOf is the number that an HMAC gives a new subject, if it is free.
func numberOf(m mac) policy.Subject { return policy.Subject(binary.BigEndian.Uint64(m[:8])) }

// shardRows are the rows of a shard as its object has them: 41 or 42 bytes a subject and half a byte of an index. The zero shardRows has none.
type shardRows struct {
	body  []byte
	row   int     // bytes of one
	keys  []uint8 // the table's index of each key of the object
	index []int32 // of each value of the bits below those of the shard: how many rows stand before
	shift uint8
}

// inPlace is about how many rows of a shard one value of its index stands for.
const inPlace = 8

// indexed makes the rows quick to find.
func (r *shardRows) indexed() {
	n := r.len()
	width := bits.Len(uint(n / inPlace))
	r.shift = uint8(64 - shardBits - width)
	r.index = make([]int32, 1<<width+1)
	next := 0
	for i := range n {
		for at := r.place(r.subject(i)); next <= at; next++ {
			r.index[next] = int32(i)
		}
	}
	for ; next < len(r.index); next++ {
		r.index[next] = int32(n)
	}
}

// place is which value of the index a subject of the shard has.
func (r *shardRows) place(s policy.Subject) int {
	return int(uint64(s) << shardBits >> shardBits >> r.shift)
}

func (r *shardRows) len() int {
	if r.row == 0 {
		return 0
	}
	return len(r.body) / r.row
}

func (r *shardRows) subject(i int) policy.Subject {
	return policy.Subject(binary.LittleEndian.Uint64(r.body[i*r.row:]))
}

func (r *shardRows) at(i int) identity {
	b := r.body[i*r.row:][:r.row]
	out := identity{key: r.keys[b[8]], mac: mac(b[9:25]), online: mac(b[25:41])}
	if r.row > shardRow {
		out.floor = b[shardRow]
	}
	return out
}

// find returns where a subject of the shard stands, and false if it does not.
func (r *shardRows) find(s policy.Subject) (int, bool) {
	if r.row == 0 {
		return 0, false
	}
	at := r.place(s)
	lo, hi := int(r.index[at]), int(r.index[at+1])
	i := lo + sort.Search(hi-lo, func(i int) bool { return r.subject(lo+i) >= s })
	return i, i < hi && r.subject(i) == s
}

// people are the rows of the identity table in memory: those of each shard as they stand in its object, and beside them who is new. Nearly every number is the beginning of its row's
// HMAC, so that a row is found by its number; of the others, who were wrapped anew since or whose number was taken, a map tells. It is for one goroutine at a time.
type people struct {
	stored [identityShards]shardRows
	fresh  [identityShards]map[policy.Subject]identity // not stored yet
	gone   map[policy.Subject]struct{}                 // of those stored
	moved  map[macUnder]policy.Subject                 // whose number their HMAC does not give
	n      int
}

func newPeople() *people {
	p := &people{gone: map[policy.Subject]struct{}{}, moved: map[macUnder]policy.Subject{}}
	for i := range p.fresh {
		p.fresh[i] = map[policy.Subject]identity{}
	}
	return p
}

// of returns the row of a subject.
func (p *people) of(s policy.Subject) (identity, bool) {
	shard := identityShard(s)
	if r, ok := p.fresh[shard][s]; ok {
		return r, true
	}
	i, ok := p.stored[shard].find(s)
	if !ok {
		return identity{}, false
	}
	if _, left := p.gone[s]; left {
		return identity{}, false
	}
	return p.stored[shard].at(i), true
}

// find returns the subject whose HMAC under a key it is.
func (p *people) find(m macUnder) (policy.Subject, bool) {
	s := numberOf(m.mac)
	if r, ok := p.of(s); ok && r.under() == m {
		return s, true
	}
	s, ok := p.moved[m]
	return s, ok
}

// add takes in somebody whose number nobody has.
func (p *people) add(s policy.Subject, r identity) {
	p.fresh[identityShard(s)][s] = r
	p.note(s, r)
	p.n++
}

func (p *people) note(s policy.Subject, r identity) {
	if numberOf(r.mac) != s {
		p.moved[r.under()] = s
	}
}

// remove takes a subject out.
func (p *people) remove(s policy.Subject) {
	r, ok := p.of(s)
	if !ok {
		return
	}
	shard := identityShard(s)
	if _, fresh := p.fresh[shard][s]; fresh {
		delete(p.fresh[shard], s)
	} else {
		p.gone[s] = struct{}{}
	}
	p.forget(s, r)
	p.n--
}

func (p *people) forget(s policy.Subject, r identity) {
	if numberOf(r.mac) != s {
		delete(p.moved, r.under())
	}
}

// replace takes what a shard's object holds now in place of what it held, and of those who were fresh lets the ones go that stand in it.
func (p *people) replace(shard int, rows shardRows) {
	for s, r := range p.inShard(shard) {
		p.forget(s, r)
		p.n--
	}
	for s := range p.gone {
		if identityShard(s) == shard {
			delete(p.gone, s)
		}
	}
	p.stored[shard] = rows
	left := map[policy.Subject]identity{} // a map that has been large keeps its memory
	for s, r := range p.fresh[shard] {
		if i, ok := rows.find(s); !ok || rows.at(i).under() != r.under() {
			left[s] = r
		}
	}
	p.fresh[shard] = left
	for s, r := range p.inShard(shard) {
		p.note(s, r)
		p.n++
	}
}

// inShard yields the rows of a shard, in no order.
func (p *people) inShard(shard int) iter.Seq2[policy.Subject, identity] {
	return func(yield func(policy.Subject, identity) bool) {
		for s, r := range p.fresh[shard] {
			if !yield(s, r) {
				return
			}
		}
		rows := &p.stored[shard]
		for i := range rows.len() {
			if s := rows.subject(i); p.stands(shard, s) && !yield(s, rows.at(i)) {
				return
			}
		}
	}
}

// stands reports whether a stored row of a shard is its subject's.
func (p *people) stands(shard int, s policy.Subject) bool {
	if len(p.gone) > 0 {
		if _, left := p.gone[s]; left {
			return false
		}
	}
	if len(p.fresh[shard]) == 0 {
		return true
	}
	_, other := p.fresh[shard][s]
	return !other
}

// all yields every row, in no order.
func (p *people) all() iter.Seq2[policy.Subject, identity] {
	return func(yield func(policy.Subject, identity) bool) {
		for shard := range p.stored {
			for s, r := range p.inShard(shard) {
				if !yield(s, r) {
					return
				}
			}
		}
	}
}
