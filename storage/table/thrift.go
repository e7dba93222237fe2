package table

import "encoding/binary"

// thriftWriter writes structs in Thrift's compact protocol, which the headers of pages and footers are in. Fields are written in ascending order.
type thriftWriter struct {
	b    []byte
	last []uint8 // the number of the field before, of each struct that is open
}

// begin opens a struct that is no field of another: an element of a list, or the whole.
func (w *thriftWriter) begin() { w.last = append(w.last, 0) }

// end closes a struct.
func (w *thriftWriter) end() {
	w.b = append(w.b, 0)
	w.last = w.last[:len(w.last)-1]
}

// Types of fields that thriftWalk does not tell from each other.
const (
	thriftI16 = 4
	thriftI32 = 5
)

func (w *thriftWriter) field(id uint8, typ byte) {
	top := &w.last[len(w.last)-1]
	w.b = append(w.b, (id-*top)<<4|typ) // no struct that we write leaves out more than 15
	*top = id
}

func (w *thriftWriter) i16(id uint8, v int) {
	w.field(id, thriftI16)
	w.b = binary.AppendVarint(w.b, int64(v))
}

func (w *thriftWriter) i32(id uint8, v int) {
	w.field(id, thriftI32)
	w.b = binary.AppendVarint(w.b, int64(v))
}

func (w *thriftWriter) i64(id uint8, v int64) {
	w.field(id, thriftI64)
	w.b = binary.AppendVarint(w.b, v)
}

func (w *thriftWriter) text(id uint8, s string) {
	w.field(id, thriftBinary)
	w.string(s)
}

// string writes a text that is no field: an element of a list.
func (w *thriftWriter) string(s string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

// structure opens a struct that is a field.
func (w *thriftWriter) structure(id uint8) {
	w.field(id, thriftStruct)
	w.begin()
}

// empty writes a struct without fields.
func (w *thriftWriter) empty(id uint8) {
	w.structure(id)
	w.end()
}

// list announces a list of n elements, which follow.
func (w *thriftWriter) list(id uint8, typ byte, n int) {
	w.field(id, thriftList)
	if n < 15 {
		w.b = append(w.b, byte(n)<<4|typ)
		return
	}
	w.b = append(w.b, 0xf0|typ)
	w.b = binary.AppendUvarint(w.b, uint64(n))
}
