package aggregate

import (
	"cmp"
	"encoding/hex"
	"errors"
	"math"
	"testing"
)

// States outlive the program that wrote them: what is here changes only together with the logic number of the step that keeps them.
func TestEncodingsStand(t *testing.T) {
	exact := &Exact{}
	for _, x := range []float64{1, 0x1p-60, -0x1p-200} {
		exact.Add(x)
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"count":     {AppendUint(nil, 300), "ac02"},
		"time":      {AppendInt(nil, -2), "03"},
		"zero":      {AppendSum(nil, Sum{}), "00"},
		"sum":       {AppendSum(nil, Sum{Hi: 1.5}), "01000000000000f83f"},
		"long sum":  {exact.Append(nil), "03000000000000f03f000000000000303c00000000000070b3"},
		"min":       {Extreme{{Time: 1, Value: 2}, {Time: 3, Value: 4}}.Append(nil), "0202000000000000004002" + "0000000000001040"},
		"first":     {Firsts[string]{{Time: -1, Value: "ab"}}.Append(nil), "0101026162"},
		"last":      {Recents[int64]{{Time: 0, Value: -1}, {Time: 0, Value: 5}}.Append(nil), "020001000a"},
		"distinct":  {Members{{ID: 1, Time: 5}, {ID: 1 << 56, Time: 9}}.Append(nil), "0212010000000000000004000000000000000100"},
		"registers": {Registers{{Time: 4, Register: 2, Rank: 3}, {Time: 5, Register: 4095, Rank: 53}}.Append(nil), "020a830101" + "f5fe0f00"},
		"bins":      {Tallies[int32]{{Key: -3, N: 1}, {Key: 4, N: 200}}.Append(nil), "0205010ec801"},
		"texts":     {Tallies[string]{{Key: "", N: 1}, {Key: "x", N: 2}}.Append(nil), "020001017802"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	// The vectors of xxh3's authors, and of the mixer's.
	for s, want := range map[string]uint64{"": 0x2d06800538d394c2, "a": 0xe6c632b61e964e1f, "abc": 0x78af5f94892f3950} {
		if got := HashString(s); got != want {
			t.Errorf("hash of %q: %#x, want %#x", s, got, want)
		}
	}
	if a, b := HashBits(0), HashBits(1); a != 0 || b != 0x5692161d100b05e5 {
		t.Errorf("hash of 0 and 1: %#x, %#x", a, b)
	}
}

// What breaks an invariant is no state.
func TestDecodersRefuse(t *testing.T) {
	number := cmp.Compare[float64]
	two := func(a, b Event[float64]) []byte { return appendEvents(nil, []Event[float64]{a, b}) }
	extreme := func(b []byte) error { _, _, err := DecodeExtreme(nil, b); return err }
	first := func(b []byte) error { _, _, err := DecodeFirsts(Firsts[float64](nil), b, Hour); return err }
	recent := func(b []byte) error { _, _, err := DecodeRecents(Recents[float64](nil), b, 2, number); return err }
	members := func(b []byte) error { _, _, err := DecodeMembers(nil, b); return err }
	registers := func(b []byte) error { _, _, err := DecodeRegisters(nil, b); return err }
	texts := func(b []byte) error { _, _, err := DecodeTallies(Tallies[string](nil), b); return err }
	sum := func(b []byte) error { _, _, err := DecodeSum(b); return err }
	for name, err := range map[string]error{
		"nothing":                         sum(nil),
		"a sum that is NaN":               sum(appendFloat([]byte{1}, math.NaN())),
		"a sum of endless size":           sum(appendFloat([]byte{1}, math.MaxFloat64)),
		"a sum whose floats overlap":      sum(appendFloat(appendFloat([]byte{2}, 1), 0.5)),
		"a sum with a zero":               sum(appendFloat([]byte{1}, 0)),
		"a value that is infinite":        recent(appendEvents(nil, []Event[float64]{{1, math.Inf(1)}})),
		"a minimum that is beaten":        extreme(two(Event[float64]{1, 5}, Event[float64]{2, 5})),
		"two minima at once":              extreme(two(Event[float64]{1, 5}, Event[float64]{1, 6})),
		"two firsts of an hour":           first(two(Event[float64]{Hour, 5}, Event[float64]{2*Hour - 1, 6})),
		"a sequence out of order":         recent(two(Event[float64]{1, 6}, Event[float64]{1, 5})),
		"a sequence that is too long":     recent(appendEvents(nil, make([]Event[float64], 3))),
		"more events than bytes":          recent(AppendUint(nil, 1<<40)),
		"times that wrap around":          recent(append(AppendUint(appendFloat(AppendInt(AppendUint(nil, 2), math.MaxInt64), 1), 1), 0, 0, 0, 0, 0, 0, 0, 0)),
		"members out of order":            members(Members{{ID: 2, Time: 1}, {ID: 1, Time: 1}}.Append(nil)),
		"a newest time that no value has": members([]byte{1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1}),
		"a register beyond the last":      registers([]byte{1, 0, 0x81, 0x80, 0x80, 1, 0}),
		"a rank of zero":                  registers([]byte{1, 0, 0, 0}),
		"a rank that is reached later":    registers(Registers{{Time: 1, Register: 1, Rank: 1}, {Time: 2, Register: 1, Rank: 1}}.Append(nil)),
		"a count of zero":                 texts(Tallies[string]{{Key: "a", N: 0}}.Append(nil)),
		"categories out of order":         texts(Tallies[string]{{Key: "b", N: 1}, {Key: "a", N: 1}}.Append(nil)),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
