package table

import "sync"

// Reads are many and short: an engine reads the parts of a year one after another, each a Read of its own. What they need for a row group and give up again
// is lent from one to the next: bytes as they are fetched, and memory of decoding.
var (
	lentBytes sync.Pool // of *[]byte
	lentSpare sync.Pool // of *spare
	lentChunk sync.Pool // of *chunkEncoder: a table of some shards is some files, each of which needs it for a moment
)

// borrowEncoder returns an encoder of chunks, without a codec.
func borrowEncoder() *chunkEncoder {
	e, _ := lentChunk.Get().(*chunkEncoder)
	if e == nil {
		e = new(chunkEncoder)
	}
	e.codec, e.number, e.choosy, e.coded = nil, 0, false, false
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
	mu   sync.Mutex
	lent []*[]byte
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

// giveBack ends the loan of everything: nothing may stand in it any more.
func (l *lender) giveBack() {
	for _, b := range l.lent {
		lentBytes.Put(b)
	}
	l.lent = nil
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
