package aggregate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features"
)

// ErrDamaged says that bytes are not a state that this package wrote.
var ErrDamaged = errors.New("the state is cut off or damaged")

func damaged(what string) error { return fmt.Errorf("%s: %w", what, ErrDamaged) }

// Value is what an event's value can be in a state that hands it out again.
type Value interface{ int64 | float64 | string }

// AppendUint writes a count.
func AppendUint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

// DecodeUint reads what AppendUint wrote, and returns the bytes behind it.
func DecodeUint(src []byte) (uint64, []byte, error) {
	x, n := binary.Uvarint(src)
	if n <= 0 {
		return 0, nil, damaged("a count")
	}
	return x, src[n:], nil
}

// AppendInt writes a time or another number that may be negative.
func AppendInt(dst []byte, x int64) []byte { return binary.AppendVarint(dst, x) }

// DecodeInt reads what AppendInt wrote, and returns the bytes behind it.
func DecodeInt(src []byte) (int64, []byte, error) {
	x, n := binary.Varint(src)
	if n <= 0 {
		return 0, nil, damaged("a time")
	}
	return x, src[n:], nil
}

// decodeLen reads the number of entries of at least size bytes each, which are behind it: no more than the bytes can hold.
func decodeLen(src []byte, size int, what string) (int, []byte, error) {
	n, src, err := DecodeUint(src)
	if err != nil || n > uint64(len(src)/size) {
		return 0, nil, damaged(what)
	}
	return int(n), src, nil
}

func appendFloat(dst []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
}

// float reads the first 8 bytes of src.
func float(src []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(src)) }

func appendValue[V Value](dst []byte, v V) []byte {
	switch x := any(v).(type) {
	case int64:
		return AppendInt(dst, x)
	case float64:
		return appendFloat(dst, x)
	case string:
		return append(binary.AppendUvarint(dst, uint64(len(x))), x...)
	}
	panic("aggregate: a type that Value does not name")
}

// decodeValue reads a value; a text is copied.
func decodeValue[V Value](src []byte, what string) (v V, rest []byte, err error) {
	switch p := any(&v).(type) {
	case *int64:
		*p, src, err = DecodeInt(src)
		return v, src, err
	case *string:
		n, src, err := decodeLen(src, 1, what)
		if err != nil {
			return v, nil, err
		}
		*p = string(src[:n])
		return v, src[n:], nil
	case *float64:
		if len(src) < 8 || !features.Computable(float(src)) {
			return v, nil, damaged(what)
		}
		*p = float(src)
		return v, src[8:], nil
	}
	panic("aggregate: a type that Value does not name")
}

// appendEvents writes the number of events, the first time, and then the differences of the times, each before its value.
func appendEvents[V Value](dst []byte, events []Event[V]) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	for i, e := range events {
		if i == 0 {
			dst = binary.AppendVarint(dst, e.Time)
		} else {
			dst = binary.AppendUvarint(dst, uint64(e.Time-events[i-1].Time))
		}
		dst = appendValue(dst, e.Value)
	}
	return dst
}

// decodeEvents reads what appendEvents wrote into events, which it overwrites: times ascend, values are computable.
func decodeEvents[V Value](events []Event[V], src []byte, what string) ([]Event[V], []byte, error) {
	n, src, err := decodeLen(src, 2, what)
	if err != nil {
		return nil, nil, err
	}
	events = slices.Grow(events[:0], n)
	last := int64(0)
	for i := range n {
		var e Event[V]
		if i == 0 {
			e.Time, src, err = DecodeInt(src)
		} else {
			var d uint64
			d, src, err = DecodeUint(src)
			e.Time = last + int64(d)
			if d > math.MaxInt64 || e.Time < last {
				err = damaged(what)
			}
		}
		if err == nil {
			e.Value, src, err = decodeValue[V](src, what)
		}
		if err != nil {
			return nil, nil, err
		}
		last = e.Time
		events = append(events, e)
	}
	return events, src, nil
}
