package table

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

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
	// Footer is how many of its last bytes say where its columns stand and what their checksums are, and FooterSHA256 the checksum of these, so that
	// some columns can be read, and what is read verified. Without them (older parts have none) the part is read as a whole.
	Footer       int64  `json:"footer,omitempty"`
	FooterSHA256 string `json:"footer_sha256,omitempty"`
}

// Manifest says where a committed table stands.
type Manifest struct {
	Schema  Schema   `json:"schema"`
	Digest  Digest   `json:"digest"`
	Sum     string   `json:"sum,omitempty"` // Σ of Digest's construction, least significant byte first, in hex: rows can be taken out of it. None: ordered, or of an older program
	Rows    int64    `json:"rows"`
	Shards  int      `json:"shards"` // power of two; a row with subject s is in shard s >> (64 - log2(Shards))
	Ordered bool     `json:"ordered,omitempty"`
	Parts   []Part   `json:"parts"`          // empty shards are left out
	Keys    []string `json:"keys,omitempty"` // sort columns within a part
}

// check reports why m cannot be the manifest of a table.
func (m *Manifest) check() error {
	if err := m.Schema.check(); err != nil {
		return err
	}
	if m.Shards < 1 || bits.OnesCount(uint(m.Shards)) != 1 {
		return fmt.Errorf("%d shards: must be a power of two", m.Shards)
	}
	if b, err := hex.DecodeString(string(m.Digest)); err != nil || len(b) != sha256.Size {
		return fmt.Errorf("digest %.80q is no SHA-256", m.Digest)
	}
	var rows int64
	for _, p := range m.Parts {
		if p.Object == "" || p.Rows < 1 || p.Size < 1 || p.Shard < 0 || p.Shard >= m.Shards || p.Footer < 0 || p.Footer > p.Size {
			return fmt.Errorf("part %.200q of shard %d with %d rows in %d bytes makes no sense", p.Object, p.Shard, p.Rows, p.Size)
		}
		rows += p.Rows
	}
	if rows != m.Rows {
		return fmt.Errorf("its parts have %d rows, the table %d", rows, m.Rows)
	}
	return nil
}

// Commit is the body of a done object: what a step made. It is written once, create-only, and afterwards only replaced by successors.
type Commit struct {
	Format     int                 `json:"format"` // 1, or 2 where a table has a column of Bytes; the store sets it
	Key        string              `json:"key"`
	Step       string              `json:"step"`
	Interval   *Interval           `json:"interval,omitempty"`
	Outputs    map[string]Manifest `json:"outputs,omitempty"` // tables by name
	Facts      json.RawMessage     `json:"facts,omitempty"`   // the step's own JSON: stats, funnel, small results
	Supersedes []Digest            `json:"supersedes,omitempty"`
	By         string              `json:"by,omitempty"`       // "erasure 12", "purge 3": who wrote the successor
	Revision   string              `json:"revision,omitempty"` // code revision; recorded, never hashed
	Run        string              `json:"run,omitempty"`      // of the run that made the step's output; successors keep it. Older commits have none
	Nonce      string              `json:"nonce"`              // the writer's, so that a lost response can be told from a lost race
	At         time.Time           `json:"at"`
}
