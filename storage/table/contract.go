package table

import (
	"fmt"
	"time"
)

// Interval is a half-open span of time [Start, End), in UTC.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Contains reports whether t lies in [Start, End).
func (iv Interval) Contains(t time.Time) bool { return !t.Before(iv.Start) && t.Before(iv.End) }

// String prints the interval as START/END in RFC 3339.
func (iv Interval) String() string {
	return fmt.Sprintf("%s/%s", iv.Start.UTC().Format(time.RFC3339), iv.End.UTC().Format(time.RFC3339))
}

// Micros is a point in time as microseconds since 1970-01-01T00:00:00Z: the one unit of time inside tables.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Type is the type of a column inside Rapport. Parquet's many physical types are folded into these when a file is read.
type Type uint8

// The types of a column.
const (
	Int64   Type = iota + 1 // Column.Int
	Float64                 // Column.Float
	String                  // Column.Str (UUIDs are canonical lower-case text)
	Time                    // Column.Int: microseconds since the epoch, UTC
	Bool                    // Column.Int: 0 or 1
)

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

// Column holds the values of one column of a batch: exactly one of Int, Float, Str is set, of the batch's length.
// Valid is nil when no value is null; otherwise Valid[i] tells whether row i holds a value (the slot of a null is zero).
type Column struct {
	Int   []int64
	Float []float64
	Str   []string
	Valid []bool
}

// Null reports whether row i is null.
func (c *Column) Null(i int) bool { return c.Valid != nil && !c.Valid[i] }

// Batch is a run of rows in columns. Batches passed to a callback or yielded by an iterator are valid only until the next one,
// but the strings in them may be kept.
type Batch struct {
	Schema Schema
	N      int
	Cols   []Column // parallel to Schema
}

// Col returns the named column, or nil.
func (b *Batch) Col(name string) *Column {
	if i := b.Schema.Index(name); i >= 0 {
		return &b.Cols[i]
	}
	return nil
}

// Digest is the logical digest of a table: hex SHA-256 over its schema and its canonical row hashes. It is independent of file
// format, compression, split into parts and (for unordered tables) row order.
type Digest string

// Ref names the output of a step logically: by the key of the step that made it, not by the files it stands in now.
// Resolve finds the files, through successors that an erasure, a purge or a compaction wrote. Digest is the table's digest when the
// Ref was made; if the resolved manifest's differs, a successor has changed the rows.
type Ref struct {
	Key    string `json:"key"`  // step key, the name of a done object: done/<Key>
	Name   string `json:"name"` // which output of that step
	Digest Digest `json:"digest"`
}

// Part is one Parquet file of a table.
type Part struct {
	Object string `json:"object"` // key in the bucket
	Shard  int    `json:"shard"`
	Rows   int64  `json:"rows"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Manifest says where a committed table stands.
type Manifest struct {
	Schema  Schema   `json:"schema"`
	Digest  Digest   `json:"digest"`
	Rows    int64    `json:"rows"`
	Shards  int      `json:"shards"` // power of two; a row with subject s is in shard s >> (64 - log2(Shards))
	Ordered bool     `json:"ordered,omitempty"`
	Parts   []Part   `json:"parts"` // empty shards are left out
	Keys    []string `json:"keys,omitempty"` // sort columns within a part
}

// Commit is the body of a done object: what a step made. It is written once, create-only, and afterwards only replaced by successors.
type Commit struct {
	Format     int                 `json:"format"` // 1
	Key        string              `json:"key"`
	Step       string              `json:"step"`
	Interval   *Interval           `json:"interval,omitempty"`
	Outputs    map[string]Manifest `json:"outputs,omitempty"` // tables by name
	Facts      []byte              `json:"facts,omitempty"`   // the step's own JSON: stats, funnel, small results
	Supersedes []Digest            `json:"supersedes,omitempty"`
	By         string              `json:"by,omitempty"` // "erasure 12", "purge 3": who wrote the successor
	Revision   string              `json:"revision,omitempty"` // code revision; recorded, never hashed
	Nonce      string              `json:"nonce"`              // the writer's, so that a lost response can be told from a lost race
	At         time.Time           `json:"at"`
}
