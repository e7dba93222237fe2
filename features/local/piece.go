package local

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/local/internal/words"
	"github.com/rapport-ml/rapport/storage/table"
)

// A row of a table of states, or of tiles, of a group is a piece: some entities of one partition, in the order of their hashes.
//
//	part   the partition << 56 | the number of the piece among those of the partition, from 0
//	state  how many entities all pieces of the partition have; how many this one has
//	       of each word of the keys a column (internal/words); then the texts of keys that words don't hold, behind their lengths
//	       for each class how many bytes it has, in 4 bytes, and these (state.go)
//	       8 bytes: a hash of all of this, the part, and what seedOf hashes
//
// Each partition has a piece, if only one of no entities, so that a table that lacks one is found out.
const (
	pieceRows  = 1024 // entities of a piece, at most
	checkBytes = 8
	pieceBytes = 4 << 20 // beyond which a piece of several entities is made in two
	partShift  = 64 - partitionBits
)

// check returns the check of a piece.
func check(seed uint64, part int64, body []byte) uint64 {
	return aggregate.HashBits(xxh3.Hash(body)+seed) ^ aggregate.HashBits(uint64(part))
}

// open returns a piece without its check, if it is what was written.
func open(piece []byte, seed uint64, part int64) ([]byte, error) {
	n := len(piece) - checkBytes
	if n < 0 || binary.LittleEndian.Uint64(piece[n:]) != check(seed, part, piece[:n]) {
		return nil, aggregate.ErrDamaged
	}
	return piece[:n], nil
}

// pieces is what a goroutine needs to write pieces.
type pieces struct {
	slots    []uint32
	hashes   []uint64
	wrapped  []uint32
	col, low []uint64
	body     []byte
	members  [][]gathered // by class
}

// put writes the pieces of a partition of the entities in b.slots. section appends what one class says of some of them.
func (b *pieces) put(pt *partition, number int, seed uint64, section func(dst []byte, class int, slots []uint32) []byte, out func(part int64, piece string) error) error {
	if b.col == nil {
		b.col, b.low = make([]uint64, pieceRows), make([]uint64, pieceRows)
	}
	total, left, most := len(b.slots), b.slots, pieceRows
	for i := 0; i == 0 || len(left) > 0; i++ {
		n := min(len(left), most)
		for {
			if b.encode(pt, total, left[:n], section); len(b.body) <= pieceBytes || n <= 1 {
				break
			}
			most = (n + 1) / 2
			n = most
		}
		part := int64(uint64(number)<<partShift | uint64(i))
		b.body = binary.LittleEndian.AppendUint64(b.body, check(seed, part, b.body))
		if err := out(part, unsafe.String(unsafe.SliceData(b.body), len(b.body))); err != nil { // valid only during the call
			return err
		}
		left = left[n:]
	}
	return nil
}

// encode makes b.body the piece of some slots, without its check.
func (b *pieces) encode(pt *partition, total int, slots []uint32, section func(dst []byte, class int, slots []uint32) []byte) {
	e := &pt.entities
	dst := aggregate.AppendUint(aggregate.AppendUint(b.body[:0], uint64(total)), uint64(len(slots)))
	col := b.col[:len(slots)]
	for w := range e.words {
		for i, slot := range slots {
			col[i] = e.keys[int(slot)*e.words+w]
		}
		dst = words.Append(dst, col)
	}
	for j := range e.texts {
		for _, slot := range slots {
			if isLong(e.keys[int(slot)*e.words+e.long[j]]) {
				text := e.textOf(slot, j)
				dst = append(aggregate.AppendUint(dst, uint64(len(text))), text...)
			}
		}
	}
	for i := range pt.classes {
		at := len(dst)
		dst = section(append(dst, 0, 0, 0, 0), i, slots)
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	b.body = dst
}

// order sets b.slots to the slots of which keep is not 0, by their hashes and, where these are equal, their keys: the same for the same entities,
// in whatever order they came. Those of a prior state came in that order, but for few. Else the places of the table are all but in it.
func (b *pieces) order(e *entities, keep []uint64) {
	if late := e.n - e.ordered; late <= e.ordered/4 {
		b.merge(e, keep)
		return
	}
	b.slots, b.wrapped = slices.Grow(b.slots[:0], e.n+1)[:e.n+1], b.wrapped[:0]
	n, from := 0, 0
	for ; from < len(e.index) && e.index[from] != 0; from++ {
		slot := e.slotOf(e.index[from])
		if place(e.hashOf(slot), len(e.index)-1) > from { // it found no place before the table's end
			b.wrapped = append(b.wrapped, slot)
			continue
		}
		b.slots[n] = slot
		n++
	}
	for _, x := range e.index[from:] { // without a branch that depends on which places are free
		b.slots[n] = e.slotOf(x)
		n += int((x | -x) >> 31)
	}
	all := append(b.slots[:n], b.wrapped...)
	b.slots, b.hashes = all[:0], slices.Grow(b.hashes[:0], len(all))
	for _, slot := range all {
		if keep[slot] != 0 {
			b.insert(e, slot, e.hashOf(slot)<<partitionBits)
		}
	}
}

// merge is order where most slots came in order.
func (b *pieces) merge(e *entities, keep []uint64) {
	b.slots = slices.Grow(b.slots[:0], e.n+1)[:e.n+1]
	n := 0
	for slot, x := range keep[:e.ordered] { // without a branch that depends on what is kept
		b.slots[n] = uint32(slot)
		n += int((x | -x) >> 63)
	}
	b.slots, b.wrapped = b.slots[:n], b.wrapped[:0]
	for slot := e.ordered; slot < e.n; slot++ {
		if keep[slot] != 0 {
			b.wrapped = append(b.wrapped, uint32(slot))
		}
	}
	late := b.wrapped
	slices.SortFunc(late, e.before)
	b.slots = b.slots[:n+len(late)]
	for i := len(late) - 1; i >= 0; i-- {
		at, _ := slices.BinarySearchFunc(b.slots[:n], late[i], e.before)
		copy(b.slots[at+i+1:], b.slots[at:n])
		b.slots[at+i], n = late[i], at
	}
}

// before orders two slots of a partition by their hashes and keys.
func (e *entities) before(a, b uint32) int {
	return cmp.Or(cmp.Compare(e.hashOf(a)<<partitionBits, e.hashOf(b)<<partitionBits), e.compare(a, b))
}

// hashOf returns the hash of a slot's key.
func (e *entities) hashOf(slot uint32) uint64 { return hashKey(e.keys[int(slot)*e.words:][:e.words]) }

// insert puts a slot where it belongs, which is near the end.
func (b *pieces) insert(e *entities, slot uint32, h uint64) {
	at := len(b.slots)
	for at > 0 && (b.hashes[at-1] > h || b.hashes[at-1] == h && e.compare(b.slots[at-1], slot) > 0) {
		at--
	}
	if at == len(b.slots) {
		b.slots, b.hashes = append(b.slots, slot), append(b.hashes, h)
		return
	}
	b.slots, b.hashes = slices.Insert(b.slots, at, slot), slices.Insert(b.hashes, at, h)
}

// fill adds the keys of a piece, all of which are new: they come in the order of their places. False if one is not new.
func (e *entities) fill(p *piece, hashes []uint64) (bool, error) {
	n := p.rows
	e.reserve(n)
	if e.n+n > maxSlot {
		return false, errFull
	}
	for i := range n {
		hashes[i] = hashKey(p.keys[i*e.words:][:e.words])
	}
	for i, h := range hashes[:n] {
		key := p.keys[i*e.words:][:e.words]
		at, slot := e.seek(h, key, p.texts, i)
		if slot != noSlot {
			return false, nil
		}
		if within := h << partitionBits; e.ordered == e.n && (e.n == 0 || within > e.last) {
			e.ordered, e.last = e.n+1, within
		}
		if err := e.insert(at, h, key, p.texts, i); err != nil {
			return false, err
		}
	}
	return true, nil
}

// walk sets slots to those of keys that come in the order of their hashes, as the first slots did: it looks through these once. False if it has not found one.
func (e *entities) walk(keys []uint64, slots []uint32) bool {
	if len(slots) == 0 || e.ends != nil { // words alone don't tell keys
		return len(slots) == 0
	}
	k := e.words
	first := hashKey(keys[:k]) << partitionBits
	at := sort.Search(e.ordered, func(slot int) bool { return e.hashOf(uint32(slot))<<partitionBits >= first })
	if k == 1 {
		own := e.keys[:e.ordered]
		for i, key := range keys[:len(slots)] {
			for at < len(own) && own[at] != key {
				at++
			}
			slots[i] = uint32(at)
			at++
		}
		return at <= len(own)
	}
	for i := range slots {
		key := keys[i*k:][:k]
		for at < e.ordered && !slices.Equal(e.keys[at*k:][:k], key) {
			at++
		}
		slots[i] = uint32(at)
		at++
	}
	return at <= e.ordered
}

// compare orders two slots by their keys.
func (e *entities) compare(a, b uint32) int {
	if c := slices.Compare(e.keys[int(a)*e.words:][:e.words], e.keys[int(b)*e.words:][:e.words]); c != 0 {
		return c
	}
	for j := range e.texts {
		if isLong(e.keys[int(a)*e.words+e.long[j]]) {
			if c := slices.Compare(e.textOf(a, j), e.textOf(b, j)); c != 0 {
				return c
			}
		}
	}
	return 0
}

// piece is one that was read.
type piece struct {
	partition int
	total     int // entities of the partition
	rows      int
	keys      []uint64 // the key's words a row
	texts     []string
	sections  [][]byte // by class
}

// headBytes is how many bytes the head of a piece takes at most.
const headBytes = 20

// pieceHead returns how many entities a partition has, how many of them a piece has, and the bytes behind that.
func pieceHead(body []byte) (total, rows int, rest []byte, err error) {
	var n [2]uint64
	for i := range n {
		if n[i], body, err = aggregate.DecodeUint(body); err != nil {
			return 0, 0, nil, err
		}
	}
	if n[0] > maxSlot || n[1] > pieceRows || n[1] > n[0] {
		return 0, 0, nil, fmt.Errorf("a piece of %d of %d entities: %w", n[1], n[0], aggregate.ErrDamaged)
	}
	return int(n[0]), int(n[1]), body, nil
}

// read takes a piece apart; body is what open returned.
func (b *piece) read(g *group, part int64, body []byte, col []uint64) (err error) {
	b.partition = int(uint64(part) >> partShift)
	if b.total, b.rows, body, err = pieceHead(body); err != nil {
		return err
	}
	k := len(g.key)
	b.keys, b.texts, b.sections = slices.Grow(b.keys[:0], b.rows*k)[:b.rows*k], slices.Grow(b.texts[:0], b.rows*g.texts)[:b.rows*g.texts], b.sections[:0]
	for w := range k {
		if _, body, err = words.Read(col[:b.rows], body); err != nil {
			return err
		}
		for i, x := range col[:b.rows] {
			b.keys[i*k+w] = x
		}
	}
	for j, at := range g.longWords() {
		for i := range b.rows {
			text := &b.texts[i*g.texts+j]
			if *text = ""; !isLong(b.keys[i*k+at]) {
				continue
			}
			var n uint64
			if n, body, err = aggregate.DecodeUint(body); err != nil || n > uint64(len(body)) {
				return aggregate.ErrDamaged
			}
			*text, body = string(body[:n]), body[n:]
			if packText(*text) != (packed{b.keys[i*k+at-1], b.keys[i*k+at]}) {
				return aggregate.ErrDamaged
			}
		}
	}
	for i := range b.rows {
		if int(hashKey(b.keys[i*k:][:k])>>partShift) != b.partition {
			return aggregate.ErrDamaged
		}
	}
	for range g.classes {
		if len(body) < 4 {
			return aggregate.ErrDamaged
		}
		n, rest := binary.LittleEndian.Uint32(body), body[4:]
		if uint64(n) > uint64(len(rest)) {
			return aggregate.ErrDamaged
		}
		b.sections, body = append(b.sections, rest[:n]), rest[n:]
	}
	if len(body) > 0 {
		return aggregate.ErrDamaged
	}
	return nil
}

// whole is how many pieces of one table have been read: a table that lacks one, or has one twice, is damaged.
type whole struct {
	seen map[int64]bool // by part
	rows [partitions]int
	all  [partitions]int // as the pieces say; −1: there was none yet
}

func newWhole() *whole {
	w := &whole{seen: map[int64]bool{}}
	for i := range w.all {
		w.all[i] = -1
	}
	return w
}

// add counts a piece of a partition, with some of all its rows; false if it does not belong to those that came before.
func (w *whole) add(part int64, partition, total, rows int) bool {
	if w.seen[part] || w.all[partition] >= 0 && w.all[partition] != total || w.rows[partition]+rows > total {
		return false
	}
	w.seen[part], w.all[partition] = true, total
	w.rows[partition] += rows
	return true
}

// entities is how many all pieces have.
func (w *whole) entities() (n int64) {
	for _, rows := range w.rows {
		n += int64(rows)
	}
	return n
}

// complete reports whether all pieces have come.
func (w *whole) complete() bool {
	return w.rows == w.all
}

// pieceColumns returns the two columns of a batch of pieces.
func pieceColumns(b *table.Batch, schema table.Schema) (part, state *table.Column, err error) {
	cols := [2]*table.Column{}
	for i, f := range schema {
		at := b.Schema.Index(f.Name)
		if at < 0 || at >= len(b.Cols) || b.Schema[at].Type != f.Type || b.Cols[at].Valid != nil && slices.Contains(b.Cols[at].Valid, false) {
			return nil, nil, fmt.Errorf("column %q: %w", f.Name, aggregate.ErrDamaged)
		}
		cols[i] = &b.Cols[at]
		if n := max(len(cols[i].Int), len(cols[i].Str), len(cols[i].Code)); n != b.N {
			return nil, nil, fmt.Errorf("column %q: %w", f.Name, aggregate.ErrDamaged)
		}
	}
	return cols[0], cols[1], nil
}
