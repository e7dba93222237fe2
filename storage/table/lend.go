package table

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Reads are many and short: an engine reads the parts of a year one after another, each a Read of its own. What they need for a row group and give up again
// is lent from one to the next: bytes as they are fetched, and memory of decoding.
var (
	lentBytes sync.Pool // of *[]byte
	lentSpare sync.Pool // of *spare
	lentChunk sync.Pool // of *chunkEncoder: a table of some shards is some files, each of which needs it for a moment
	lentRows  sync.Pool // of *canonicalRows: each shard has a digester
)

// Columns of numbers are lent too, by size: memory that is touched for the first time costs more than what rows are copied for. A table's rows wait in blocks,
// and each shard's stand in order for as long as it is encoded.
var lentWords [8 * 64]sync.Pool // of *[]uint64

// fewWords are those that are not worth lending.
const fewWords = 1 << 10

// wordsClass is in which of lentWords n words stand, and how many these are: up to a quarter more.
func wordsClass(n int) (class, size int) {
	shift := max(0, bits.Len(uint(n-1))-3)
	eighths := (n-1)>>shift + 1
	return 8*shift + eighths - 1, eighths << shift
}

// manyWords are so many that twice as much memory, which lies about, is better than new: what is not written to costs nothing.
const manyWords = 1 << 16

// borrowWords returns memory for n words, which hold anything.
func borrowWords(n int) []uint64 {
	octaves := 0
	if n >= manyWords {
		octaves = 1
	}
	return borrowWithin(n, octaves)
}

// borrowWithin is borrowWords, of memory that is up to so many times twice as large.
func borrowWithin(n, octaves int) []uint64 {
	if n < fewWords {
		return make([]uint64, n)
	}
	class, size := wordsClass(n)
	for at := class; at <= class+8*octaves; at++ {
		if w, _ := lentWords[at].Get().(*[]uint64); w != nil {
			return (*w)[:n]
		}
	}
	return make([]uint64, n, size)
}

// giveBackWords ends a loan. Memory that was not borrowed may be given as well.
func giveBackWords(w []uint64) {
	if cap(w) < fewWords {
		return
	}
	if class, size := wordsClass(cap(w)); size == cap(w) {
		lentWords[class].Put(&w)
	}
}

// borrowBytes returns memory for n bytes at least, which hold anything: that of words.
func borrowBytes(n int) []byte { return asBytes(borrowWords((n + 7) / 8)) }

// asBytes is all memory of words.
func asBytes(w []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), 8*cap(w))
}

// giveBackBytes ends a loan. Memory that was not borrowed may be given if it begins where a word may, as that of a large slice does.
func giveBackBytes(b []byte) {
	at := unsafe.Pointer(unsafe.SliceData(b))
	if cap(b) >= 8*fewWords && cap(b)%8 == 0 && uintptr(at)%8 == 0 {
		giveBackWords(unsafe.Slice((*uint64)(at), cap(b)/8))
	}
}

// asFloats and asInts are words as what a column holds.
func asFloats(w []uint64) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(w))), cap(w))[:len(w)]
}

func asInts(w []uint64) []int64 {
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(w))), cap(w))[:len(w)]
}

// asBools is memory of which each byte must be written, as what a column holds, before it is read.
func asBools(b []byte) []bool {
	return unsafe.Slice((*bool)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// giveBack ends the loan of a column's numbers, and of which of them are null.
func (c *Column) giveBack() {
	if f := c.Float; f != nil {
		giveBackWords(unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(f))), cap(f)))
	}
	if v := c.Int; v != nil {
		giveBackWords(unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(v))), cap(v)))
	}
	if v := c.Valid; v != nil {
		giveBackBytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), cap(v)))
	}
	*c = Column{}
}

// borrowEncoder returns an encoder of chunks, without a codec.
func borrowEncoder() *chunkEncoder {
	e, _ := lentChunk.Get().(*chunkEncoder)
	if e == nil {
		e = new(chunkEncoder)
	}
	e.codec, e.number, e.choosy, e.bare, e.coded = nil, 0, false, false, false
	return e
}

// giveBack ends the loan of an encoder. It keeps no text of the rows that it has encoded.
func (e *chunkEncoder) giveBack() {
	clear(e.some.text[:cap(e.some.text)])
	clear(e.texts.dict[:cap(e.texts.dict)])
	lentChunk.Put(e)
}

// lender lends memory for what one fetch brings. It is safe for concurrent use.
type lender struct {
	mu    sync.Mutex
	lent  []*[]byte
	parts [][]byte
}

// borrow returns memory for n bytes, which hold anything; of a nil lender it is new, and stays with who asked.
func (l *lender) borrow(n int64) []byte {
	if l == nil {
		return make([]byte, n)
	}
	b, _ := lentBytes.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	*b = resized(*b, int(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent = append(l.lent, b)
	return *b
}

// borrowPart is borrow, for all of a part: that of tables that are written, whose parts may stand in it next.
func (l *lender) borrowPart(n int64) []byte {
	b := borrowBytes(int(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts = append(l.parts, b)
	return b[:n]
}

// giveBack ends the loan of everything: nothing may stand in it any more.
func (l *lender) giveBack() {
	for _, b := range l.lent {
		lentBytes.Put(b)
	}
	for _, b := range l.parts {
		giveBackBytes(b)
	}
	l.lent, l.parts = nil, nil
}

// Loan is memory in which texts of batches stand, of one batch or of several that follow one another. Who keeps such texts, and knows when it has done with
// them, may say both, and whoever lent the memory has it back for what comes next. Where nobody does the garbage collector finds out. A nil Loan is nobody's.
type Loan struct {
	end  func()
	held atomic.Int64 // how often it is kept, and 1 until its last batch has been read
	kept bool
}

// NewLoan returns a loan at whose end, if anybody keeps it, a function is called. The lender calls Read when it has no more batches of it.
func NewLoan(end func()) *Loan {
	l := &Loan{end: end}
	l.held.Store(1)
	return l
}

// Keep says that texts are kept until a GiveBack more. It is for the one who is handed batches, before the next one; it answers for all texts of the loan that it keeps.
func (l *Loan) Keep() {
	if l != nil {
		l.kept = true
		l.held.Add(1)
	}
}

// GiveBack ends a Keep: of the texts nothing may be read any more.
func (l *Loan) GiveBack() {
	if l != nil && l.held.Add(-1) == 0 {
		l.end()
	}
}

// Read says that there are no more batches of the loan: memory that nobody said to keep stays with whoever has texts of it.
func (l *Loan) Read() {
	if l.kept {
		l.GiveBack()
	}
}

// copies are texts that were copied, into memory that is borrowed.
type copies struct {
	blocks [][]byte
	free   []byte // of the last one
}

// Texts are copied into blocks of so many bytes, or of whatever is lying about up to 32 times as large: all of it is used.
const (
	copiesBlock   = 256 << 10
	copiesOctaves = 5
)

// add returns a copy of a text.
func (c *copies) add(s string) string {
	if len(s) > len(c.free) {
		c.free = asBytes(borrowWithin((max(len(s), copiesBlock)+7)/8, copiesOctaves))
		c.blocks = append(c.blocks, c.free)
	}
	n := copy(c.free, s)
	s, c.free = unsafe.String(unsafe.SliceData(c.free), n), c.free[n:]
	return s
}

// giveBack ends the loan of all texts.
func (c *copies) giveBack() {
	for _, b := range c.blocks {
		giveBackBytes(b)
	}
	c.blocks, c.free = nil, nil
}

// borrowSpares returns memory of decoding for n columns. Of it nothing reaches the rows that are read.
func borrowSpares(n int) []*spare {
	out := make([]*spare, n)
	for i := range out {
		if out[i], _ = lentSpare.Get().(*spare); out[i] == nil {
			out[i] = new(spare)
		}
	}
	return out
}

// giveBackSpares ends the loan. What backs the last batch stays with it: who has broken off may still look at that.
func giveBackSpares(s []*spare) {
	for _, s := range s {
		s.valid, s.code, s.text = nil, nil, nil
		lentSpare.Put(s)
	}
}
