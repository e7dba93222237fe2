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

// Records are many records of consent, 48 bytes each and a text that recurs once. They stand in the shards of a snapshot. The zero Records hold none, and so do nil ones. They are for
// one goroutine until they are sorted, and for any number then.
type Records struct {
	shards                 [snapshotShards][]packed
	purposes, sources, ids texts
	unsorted               bool
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
	for _, s := range r.shards {
		n += len(s)
	}
	return n
}

// People is how many subjects sorted records have.
func (r *Records) People() (n int) {
	for _, s := range r.shards {
		for i := range s {
			if i == 0 || s[i].subject != s[i-1].subject {
				n++
			}
		}
	}
	return n
}

// Keep takes out the records that are not wanted.
func (r *Records) Keep(wanted func(policy.Record) bool) {
	for i := range r.shards {
		r.shards[i] = slices.DeleteFunc(r.shards[i], func(p packed) bool { return !wanted(r.record(&p)) })
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
	shard := table.ShardOf(uint64(x.Subject), snapshotShards)
	r.shards[shard], r.unsorted = append(r.shards[shard], p), true
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
// O(n log n), on all processors.
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
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i := range r.shards {
		work.Go(func() error {
			s := r.shards[i]
			slices.SortFunc(s, func(a, b packed) int {
				return cmp.Or(compare(&a, &b), cmp.Compare(sources[a.source], sources[b.source]))
			})
			r.shards[i] = slices.CompactFunc(s, func(a, b packed) bool { return compare(&a, &b) == 0 })
			return nil
		})
	}
	_ = work.Wait() // nothing fails
	r.unsorted = false
	return before - r.Len()
}

// All yields the records, once they are sorted in the order of policy.Record.Compare.
func (r *Records) All() iter.Seq[policy.Record] {
	return func(yield func(policy.Record) bool) {
		if r == nil {
			return
		}
		for _, s := range r.shards {
			for i := range s {
				if !yield(r.record(&s[i])) {
					return
				}
			}
		}
	}
}

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

// inShard yields the records of one of so many shards, sorted.
func (r *Records) inShard(shard, shards int) iter.Seq[policy.Record] {
	return func(yield func(policy.Record) bool) {
		for i, s := range r.shards {
			if shards == snapshotShards && i != shard {
				continue
			}
			for i := range s {
				if table.ShardOf(uint64(s[i].subject), shards) == shard && !yield(r.record(&s[i])) {
					return
				}
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
			s := r.shards[shard]
			for i := range s {
				name := r.purposes.text[s[i].purpose]
				if slices.ContainsFunc(purposes, func(p policy.Purpose) bool { return p.Name == name }) && !yield(r.record(&s[i]), nil) {
					return
				}
			}
		}
	})
}

// Store writes the records, which are sorted, as StoreConsent does, with the memory of one of a snapshot's shards.
func (r *Records) Store(ctx context.Context, b storage.Bucket, prefix string) (table.Manifest, error) {
	fail := func(err error) (table.Manifest, error) { return table.Manifest{}, fmt.Errorf("store consent: %w", err) }
	var out table.Manifest
	var digest *table.Digester
	for _, s := range r.shards {
		w := newSnapshot(b, prefix, consentSchema, consentOrder)
		for chunk := range slices.Chunk(s, snapshotChunk) {
			cols := make([]table.Column, len(consentSchema))
			for i := range chunk {
				addConsent(cols, r.record(&chunk[i]))
			}
			if err := w.Append(&table.Batch{Schema: consentSchema, N: len(chunk), Cols: cols}); err != nil {
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
