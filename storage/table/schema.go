package table

import (
	"fmt"
	"slices"
)

// Type is the type of a column inside Rapport. Parquet's many physical types are folded into these when a file is read.
type Type uint8

// The types of a column.
const (
	Int64   Type = iota + 1 // Column.Int
	Float64                 // Column.Float
	String                  // Column.Str (UUIDs are canonical lower-case text)
	Time                    // Column.Int: microseconds since the epoch, UTC
	Bool                    // Column.Int: 0 or 1
	Bytes                   // Column.Str, of any bytes: what one package encodes for itself, as a running state
)

var typeNames = [...]string{Int64: "int64", Float64: "float64", String: "string", Time: "time", Bool: "bool", Bytes: "bytes"}

// String returns the type's name ("int64", "float64", "string", "time", "bool", "bytes"), as it stands in manifests.
func (t Type) String() string {
	if !t.valid() {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return typeNames[t]
}

func (t Type) valid() bool { return t >= Int64 && t <= Bytes }

// MarshalText writes the type's name.
func (t Type) MarshalText() ([]byte, error) {
	if !t.valid() {
		return nil, fmt.Errorf("%s is no column type", t)
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads a type's name.
func (t *Type) UnmarshalText(b []byte) error {
	i := slices.Index(typeNames[:], string(b))
	if i < int(Int64) {
		return fmt.Errorf("unknown column type %.40q: made by a newer rapport?", b)
	}
	*t = Type(i)
	return nil
}

// Field is one column of a Schema.
type Field struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Schema is an ordered list of columns. Every column may hold nulls.
type Schema []Field

// Index returns the position of the named column, or -1.
func (s Schema) Index(name string) int {
	for i, f := range s {
		if f.Name == name {
			return i
		}
	}
	return -1
}

// check reports why s cannot be the schema of a table.
func (s Schema) check() error {
	if len(s) == 0 {
		return fmt.Errorf("a table needs at least one column")
	}
	seen := make(map[string]bool, len(s))
	for _, f := range s {
		switch {
		case f.Name == "":
			return fmt.Errorf("a column has no name")
		case seen[f.Name]:
			return fmt.Errorf("two columns are named %q", f.Name)
		case !f.Type.valid():
			return fmt.Errorf("column %q has no type", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// Column holds the values of one column of a batch: exactly one of Int, Float, Str and Code is set, of the batch's length. Code stands for Str
// where a reader was asked for dictionaries (ReadOptions.Dictionaries): row i is Dict[Code[i]], and Dict is the same slice as long as its
// values are, so that its first element's address tells whether a translation of it still holds. (A column that is null in all rows may have an empty one.)
// Valid is nil when no value is null; otherwise Valid[i] tells whether row i holds a value (the slot of a null is zero).
type Column struct {
	Int   []int64
	Float []float64
	Str   []string
	Valid []bool

	Code []int32
	Dict []string
}

// Null reports whether row i is null.
func (c *Column) Null(i int) bool { return c.Valid != nil && !c.Valid[i] }

// Text returns the text of row i, which is not null, whichever way the column holds it.
func (c *Column) Text(i int) string {
	if c.Code != nil {
		return c.Dict[c.Code[i]]
	}
	return c.Str[i]
}

// Batch is a run of rows in columns. Batches passed to a callback or yielded by an iterator are valid only until the next one,
// but the strings in them may be kept.
type Batch struct {
	Schema Schema
	N      int
	Cols   []Column // parallel to Schema
	Loan   *Loan    // of the memory in which texts stand, if who keeps them may give it back
}

// Col returns the named column, or nil.
func (b *Batch) Col(name string) *Column {
	if i := b.Schema.Index(name); i >= 0 {
		return &b.Cols[i]
	}
	return nil
}

// check reports why b is no batch of schema s: other columns, or slices of other lengths than its row count.
func (b *Batch) check(s Schema) error {
	if !slices.Equal(b.Schema, s) {
		return fmt.Errorf("a batch has columns %v, the table has %v", b.Schema, s)
	}
	if len(b.Cols) != len(s) {
		return fmt.Errorf("a batch has %d columns of values for %d of its schema", len(b.Cols), len(s))
	}
	for i := range b.Cols {
		c := &b.Cols[i]
		n := len(c.Int)
		switch s[i].Type {
		case Float64:
			n = len(c.Float)
		case String, Bytes:
			if n = len(c.Str); c.Code != nil {
				n = len(c.Code)
			}
		}
		if n != b.N || c.Valid != nil && len(c.Valid) != b.N {
			return fmt.Errorf("column %q of a batch has %d values (%d null marks) for %d rows", s[i].Name, n, len(c.Valid), b.N)
		}
		for k, code := range c.Code {
			if !c.Null(k) && (code < 0 || int(code) >= len(c.Dict)) {
				return fmt.Errorf("column %q of a batch has code %d of a dictionary of %d", s[i].Name, code, len(c.Dict))
			}
		}
	}
	return nil
}
