package event

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Outline is what is kept of a hierarchy to say later by how much another version of it differs, in a few thousand bytes whatever its size. Its values are divided by a
// hash into parts, of each of which two sums are kept: of hashes of the values, and of hashes of the values with all that they are in general.
type Outline struct {
	Values int
	parts  [][2]uint16 // a power of two of them
}

// Parts are four times as many as there are values, so that few share one, and at most mostParts.
const (
	leastParts = 64
	mostParts  = 1024
	mostTold   = 0.95 // of the parts: where more differ, how many values do cannot be told
)

// Outline returns that of h.
func (h *Hierarchy) Outline() Outline {
	n := leastParts
	for n < mostParts && n < 4*len(h.levels) {
		n *= 2
	}
	o := Outline{Values: len(h.levels), parts: make([][2]uint16, n)}
	for value, levels := range h.levels {
		own := sha256.Sum256([]byte(value))
		all := sha256.Sum256(fmt.Appendf(nil, "%q %q", value, levels[:h.depth]))
		p := &o.parts[int(binary.LittleEndian.Uint32(own[:]))&(n-1)]
		p[0] += binary.LittleEndian.Uint16(own[4:])
		p[1] += binary.LittleEndian.Uint16(all[:])
	}
	return o
}

// String is the outline as text; ParseOutline reads it.
func (o Outline) String() string {
	var b []byte
	for _, p := range o.parts {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, p[0]), p[1])
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// ParseOutline reads the outline of so many values.
func ParseOutline(values int, text string) (Outline, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	n := len(b) / 4
	if err != nil || 4*n != len(b) || n < leastParts || n > mostParts || n&(n-1) != 0 || values < 0 {
		return Outline{}, errors.New("it is no outline of a hierarchy")
	}
	o := Outline{Values: values, parts: make([][2]uint16, n)}
	for i := range o.parts {
		o.parts[i] = [2]uint16{binary.LittleEndian.Uint16(b[4*i:]), binary.LittleEndian.Uint16(b[4*i+2:])}
	}
	return o, nil
}

// in is the outline in fewer parts.
func (o Outline) in(parts int) [][2]uint16 {
	out := make([][2]uint16, parts)
	for i, p := range o.parts {
		to := &out[i&(parts-1)]
		to[0], to[1] = to[0]+p[0], to[1]+p[1]
	}
	return out
}

// Differs says in words how many values of a hierarchy stand elsewhere than in an earlier version, are new, and are gone: exactly where these are a few, else
// nearly, and of more than three thousand or so that they are many.
func (o Outline) Differs(before Outline) string {
	n := min(len(o.parts), len(before.parts))
	is, was := o.in(n), before.in(n)
	var sets, all float64 // parts that hold other values, and such of which anything is other
	for i := range is {
		if is[i][0] != was[i][0] {
			sets++
		}
		if is[i] != was[i] {
			all++
		}
	}
	// m differences that fall into n parts at random leave n·(1 − 1/n)^m of them alike.
	count := func(parts float64) float64 {
		return math.Log1p(-parts/float64(n)) / math.Log1p(-1/float64(n))
	}
	values, moved := count(sets), count(all)-count(sets)
	net := float64(o.Values - before.Values)
	fresh := math.Round(max((values+net)/2, net, 0))
	about := ""
	if all > 0.05*float64(n) { // some may share a part
		about = "about "
	}
	if most := mostTold * float64(n); all > most {
		return fmt.Sprintf("more than %.0f values stand elsewhere, are new or are gone: %d were accepted, and it has %d", math.Floor(count(most)), before.Values, o.Values)
	}
	var says []string
	for _, x := range []struct {
		n         float64
		one, many string
	}{{math.Round(moved), "value stands elsewhere", "values stand elsewhere"}, {fresh, "is new", "are new"}, {fresh - net, "is gone", "are gone"}} {
		if x.n >= 1 {
			word := x.many
			if x.n == 1 {
				word = x.one
			}
			says = append(says, fmt.Sprintf("%s%.0f %s", about, x.n, word))
		}
	}
	if len(says) == 0 {
		return "no value that could be told" // of 65,536 changes one leaves the sums as they were
	}
	return strings.Join(says, ", ") + fmt.Sprintf(" of %d", max(o.Values, before.Values))
}
