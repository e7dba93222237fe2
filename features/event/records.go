package event

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Records are many records of consent, 48 bytes each and a text that recurs once. They stand in piles by the top bits of their subjects, so that no sort and no shard of a snapshot
// needs much beside them. The zero Records hold none, and so do nil ones. They are for one goroutine until they are sorted, and for any number then.
type Records struct {
	piles                  [recordPiles]pile
	purposes, sources, ids texts
	unsorted               bool
}

// recordPiles is how many there are: a power of two.
const recordPiles = 256

// pile is records in blocks, all but the last of which are full: one that grows leaves nothing behind, and has no room for a quarter more.
type pile struct {
	blocks [][]packed
	n      int
}

// pileBlock is how many records a block has: 24 KiB, which is a size that memory is given out in.
const pileBlock = 512

func (s *pile) add(p packed) {
	if s.n%pileBlock == 0 {
		var block []packed
		if s.n > 0 { // there are many
			block = make([]packed, 0, pileBlock)
		}
		s.blocks = append(s.blocks, block)
	}
	last := &s.blocks[len(s.blocks)-1]
	*last = append(*last, p)
	s.n++
}

// set makes the pile hold what some of its records are: no more than it had.
func (s *pile) set(records []packed) {
	s.n = len(records)
	for i := range s.blocks {
		n := copy(s.blocks[i], records)
		s.blocks[i], records = s.blocks[i][:n], records[n:]
	}
	s.blocks = s.blocks[:(s.n+pileBlock-1)/pileBlock]
}

// in yields the records of some piles in their order.
func (r *Records) in(piles []pile) iter.Seq[*packed] {
	return func(yield func(*packed) bool) {
		for i := range piles {
			for _, block := range piles[i].blocks {
				for j := range block {
					if !yield(&block[j]) {
						return
					}
				}
			}
		}
	}
}

// packed is one record.
type packed struct {
	subject                      policy.Subject
	effective, recorded, expires int64  // µs; forever: it does not expire
	id                           uint64 // as form says
	source                       uint32
	purpose                      uint16
	state                        uint8 // in policy.States
	form                         uint8
}

const forever = math.MaxInt64

// Forms of a record's id. What begins a form sorts as its text does, where neither is an uncommon one.
const (
	noID   = iota
	hexID  // a number, written as 16 digits: those that readConsent makes
	textID // uncommon: a code of ids
)

// texts gives texts that recur a code each.
type texts struct {
	code map[string]uint32
	text []string
}

func (t *texts) of(s string) uint32 {
	c, ok := t.code[s]
	if !ok {
		if t.code == nil {
			t.code = map[string]uint32{}
		}
		s = strings.Clone(s) // it may be a piece of a file
		c = uint32(len(t.text))
		t.code[s], t.text = c, append(t.text, s)
	}
	return c
}

// ranks are the places of texts, by code, among all of them in order.
func ranks(text []string) []uint32 {
	order := make([]uint32, len(text))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(text[a], text[b]) })
	out := make([]uint32, len(order))
	for rank, c := range order {
		out[c] = uint32(rank)
	}
	return out
}

// Len is how many there are.
func (r *Records) Len() (n int) {
	if r == nil {
		return 0
	}
	for i := range r.piles {
		n += r.piles[i].n
	}
	return n
}

// People is how many subjects sorted records have.
func (r *Records) People() (n int) {
	var last policy.Subject
	for p := range r.in(r.piles[:]) {
		if n == 0 || p.subject != last {
			n, last = n+1, p.subject
		}
	}
	return n
}

// Keep takes out the records that are not wanted.
func (r *Records) Keep(wanted func(policy.Record) bool) {
	var left []packed // of one pile
	for i := range r.piles {
		left = left[:0]
		for p := range r.in(r.piles[i : i+1]) {
			if wanted(r.record(p)) {
				left = append(left, *p)
			}
		}
		r.piles[i].set(left)
	}
}

// Add takes a record in, which Sort then brings to its place. A state that is not known is taken for policy.Unknown. It fails only for the 65,537th purpose.
func (r *Records) Add(x policy.Record) error {
	p := packed{
		subject: x.Subject, effective: table.Micros(x.Effective), recorded: table.Micros(x.Recorded), expires: forever,
		source: r.sources.of(x.Source), state: stateOf(x.State),
	}
	if !x.Expires.IsZero() {
		p.expires = table.Micros(x.Expires)
	}
	purpose := r.purposes.of(x.Purpose)
	if purpose > math.MaxUint16 {
		return fmt.Errorf("more than %d purposes are named: is the purpose read from another column?", math.MaxUint16+1)
	}
	p.purpose = uint16(purpose)
	switch n, ok := numbered(x.ID); {
	case ok:
		p.form, p.id = hexID, n
	case x.ID != "":
		p.form, p.id = textID, uint64(r.ids.of(x.ID))
	}
	r.piles[table.ShardOf(uint64(x.Subject), recordPiles)].add(p)
	r.unsorted = true
	return nil
}

// numbered reads a number of 16 lower-case hexadecimal digits.
func numbered(id string) (uint64, bool) {
	var b [8]byte
	if len(id) != hex.EncodedLen(len(b)) || strings.ContainsAny(id, "ABCDEF") {
		return 0, false
	}
	_, err := hex.Decode(b[:], []byte(id))
	return binary.BigEndian.Uint64(b[:]), err == nil
}

func stateOf(s policy.State) uint8 {
	if i := slices.Index(policy.States, s); i >= 0 {
		return uint8(i)
	}
	return uint8(slices.Index(policy.States, policy.Unknown))
}

// record is one as it was added.
func (r *Records) record(p *packed) policy.Record {
	x := policy.Record{
		Subject: p.subject, Purpose: r.purposes.text[p.purpose], State: policy.States[p.state],
		Effective: time.UnixMicro(p.effective).UTC(), Recorded: time.UnixMicro(p.recorded).UTC(), Source: r.sources.text[p.source], ID: r.id(p),
	}
	if p.expires != forever {
		x.Expires = time.UnixMicro(p.expires).UTC()
	}
	return x
}

func (r *Records) id(p *packed) string {
	switch p.form {
	case hexID:
		return fmt.Sprintf("%016x", p.id)
	case textID:
		return r.ids.text[p.id]
	}
	return ""
}

// Sort brings the records into the order of policy.Record.Compare, each once: of those that it takes for one the source that comes first stays. It returns how many went.
// O(n log n), on all processors, each of which takes the memory of a pile.
func (r *Records) Sort() (again int) {
	if !r.unsorted {
		return 0
	}
	before := r.Len()
	purposes, sources := ranks(r.purposes.text), ranks(r.sources.text)
	var states []uint32
	{
		var text []string
		for _, s := range policy.States {
			text = append(text, string(s))
		}
		states = ranks(text)
	}
	compare := func(a, b *packed) int {
		if a.subject != b.subject {
			return cmp.Compare(a.subject, b.subject)
		}
		if a.purpose != b.purpose {
			return cmp.Compare(purposes[a.purpose], purposes[b.purpose])
		}
		if d := cmp.Or(cmp.Compare(a.effective, b.effective), cmp.Compare(a.recorded, b.recorded)); d != 0 {
			return d
		}
		if x, y := policy.States[a.state].Valid(), policy.States[b.state].Valid(); x != y {
			if x { // grants come before denials
				return -1
			}
			return 1
		}
		if a.form == textID || b.form == textID {
			if d := strings.Compare(r.id(a), r.id(b)); d != 0 {
				return d
			}
		} else if d := cmp.Or(cmp.Compare(a.form, b.form), cmp.Compare(a.id, b.id)); d != 0 {
			return d
		}
		return cmp.Or(cmp.Compare(states[a.state], states[b.state]), cmp.Compare(b.expires, a.expires))
	}
	var work errgroup.Group
	next, workers := make(chan *pile, recordPiles), runtime.GOMAXPROCS(0)
	for i := range r.piles {
		next <- &r.piles[i]
	}
	close(next)
	for range workers {
		work.Go(func() error {
			var s []packed
			for pile := range next {
				s = slices.Grow(s[:0], pile.n)
				for _, block := range pile.blocks {
					s = append(s, block...)
				}
				slices.SortFunc(s, func(a, b packed) int {
					return cmp.Or(compare(&a, &b), cmp.Compare(sources[a.source], sources[b.source]))
				})
				pile.set(slices.CompactFunc(s, func(a, b packed) bool { return compare(&a, &b) == 0 }))
			}
			return nil
		})
	}
	_ = work.Wait() // nothing fails
	r.unsorted = false
	return before - r.Len()
}

// All yields the records, once they are sorted in the order of policy.Record.Compare.
func (r *Records) All() iter.Seq[policy.Record] { return r.inShard(0, 1) }

// among yields rows, which come subject by subject, ascending, and among them the records of one of so many shards.
func (r *Records) among(rows iter.Seq2[policy.Record, error], shard, shards int) iter.Seq2[policy.Record, error] {
	if r.Len() == 0 {
		return rows
	}
	return func(yield func(policy.Record, error) bool) {
		next, stop := iter.Pull(r.inShard(shard, shards))
		defer stop()
		mine, left := next()
		for x, err := range rows {
			for ; err == nil && left && mine.Subject <= x.Subject; mine, left = next() {
				if !yield(mine, nil) {
					return
				}
			}
			if !yield(x, err) {
				return
			}
		}
		for ; left; mine, left = next() {
			if !yield(mine, nil) {
				return
			}
		}
	}
}

// pilesOf returns the piles that hold one of so many shards: with others' records, if there are more shards than piles.
func (r *Records) pilesOf(shard, shards int) []pile {
	return r.piles[shard*recordPiles/shards:][:max(1, recordPiles/shards)]
}

// inShard yields the records of one of so many shards, sorted.
func (r *Records) inShard(shard, shards int) iter.Seq[policy.Record] {
	return func(yield func(policy.Record) bool) {
		if r == nil {
			return
		}
		for p := range r.in(r.pilesOf(shard, shards)) {
			if shards > recordPiles && table.ShardOf(uint64(p.subject), shards) != shard {
				continue
			}
			if !yield(r.record(p)) {
				return
			}
		}
	}
}

// Decide makes the decisions of purposes by the records, which are sorted, those beside them, and others, sorted too (nil: none), as policy.Decide does from all of them
// together. It holds what is decided.
func (r *Records) Decide(beside []policy.Record, others *Records, now time.Time, erasures []policy.Erasure, purposes ...policy.Purpose) ([]*policy.Decisions, error) {
	if r == nil {
		r = &Records{}
	}
	return decideBy(snapshotShards, beside, others, now, erasures, purposes, func(shard int) iter.Seq2[policy.Record, error] {
		return func(yield func(policy.Record, error) bool) {
			for p := range r.in(r.pilesOf(shard, snapshotShards)) {
				name := r.purposes.text[p.purpose]
				if slices.ContainsFunc(purposes, func(p policy.Purpose) bool { return p.Name == name }) && !yield(r.record(p), nil) {
					return
				}
			}
		}
	})
}

// Store writes the records, which are sorted, as StoreConsent does, but where they are many in more shards: its memory is that of one of them.
func (r *Records) Store(ctx context.Context, b storage.Bucket, prefix string) (table.Manifest, error) {
	return r.store(ctx, b, prefix, shardsOf(r.Len()))
}

func (r *Records) store(ctx context.Context, b storage.Bucket, prefix string, shards int) (table.Manifest, error) {
	fail := func(err error) (table.Manifest, error) { return table.Manifest{}, fmt.Errorf("store consent: %w", err) }
	var out table.Manifest
	var digest *table.Digester
	for shard := range shards {
		w := newSnapshot(b, prefix, consentSchema, consentOrder, shards)
		cols, n := make([]table.Column, len(consentSchema)), 0
		flush := func() error {
			err := w.Append(&table.Batch{Schema: consentSchema, N: n, Cols: cols})
			cols, n = make([]table.Column, len(consentSchema)), 0
			return err
		}
		for p := range r.in(r.pilesOf(shard, shards)) {
			addConsent(cols, r.record(p))
			if n++; n == snapshotChunk {
				if err := flush(); err != nil {
					return fail(err)
				}
			}
		}
		if n > 0 {
			if err := flush(); err != nil {
				return fail(err)
			}
		}
		m, err := w.Finish(ctx)
		if err != nil {
			return fail(err)
		}
		d, whole := m.Digested()
		if !whole {
			return fail(fmt.Errorf("the manifest of a shard under %s does not say what its rows sum to", prefix))
		}
		if digest == nil {
			out, digest = m, d
			continue
		}
		out.Parts = append(out.Parts, m.Parts...)
		if err := digest.Merge(d); err != nil {
			return fail(err)
		}
	}
	digest.Describe(&out)
	return out, nil
}

// shardsOf is in how many shards so many records are stored.
func shardsOf(records int) int {
	shards := snapshotShards
	for shards < recordPiles && records > shards*recordsInShard {
		shards *= 2
	}
	return shards
}

// recordsInShard is how many records a shard has at most, as long as there are piles: to write one takes some 500 bytes a record.
const recordsInShard = 1 << 18
