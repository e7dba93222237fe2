package local

import (
	"sync"
	"sync/atomic"
)

// dictionary numbers the texts of one column whose values come out again: all workers know a text by one number. Numbers don't depend on
// anything but the order of coming, so no result may depend on them.
type dictionary struct {
	mu    sync.RWMutex
	codes map[string]uint32
	texts atomic.Pointer[[]string] // by number; what is written stays
	size  atomic.Int64             // bytes
}

// textBytes is what a text takes beside its bytes: its header, by number and as a key of the map, its number, and the room that both leave empty.
const textBytes = 72

func newDictionary() *dictionary {
	d := &dictionary{codes: map[string]uint32{}}
	d.texts.Store(&[]string{})
	return d
}

// code returns the number of a text. The text is copied.
func (d *dictionary) code(s string) uint32 {
	d.mu.RLock()
	code, ok := d.codes[s]
	d.mu.RUnlock()
	if ok {
		return code
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if code, ok := d.codes[s]; ok {
		return code
	}
	s = string([]byte(s)) // it may be a part of a whole page
	texts := append(*d.texts.Load(), s)
	code = uint32(len(texts) - 1)
	d.codes[s] = code
	d.texts.Store(&texts)
	d.size.Add(int64(len(s)) + textBytes)
	return code
}

// text returns the text of a number.
func (d *dictionary) text(code uint32) string { return (*d.texts.Load())[code] }
