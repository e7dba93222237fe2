package online

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// buckets is how many hashes a generation is divided into.
const buckets = 256

// bucketOf names the bucket of an entry's key.
func bucketOf(key string) string {
	sum := sha1.Sum([]byte(key)) // to spread keys, in a way that every language knows
	return hex.EncodeToString(sum[:1])
}

// bucketName is the name of bucket i.
func bucketName(i int) string { return fmt.Sprintf("%02x", i) }

// dataKey is the key of a bucket of a generation.
func (s *redisStore) dataKey(number uint64, id, bucket string) string {
	return s.key(fmt.Sprintf("g%d-%s:%s", number, id, bucket))
}

// appendHashRow appends the stored form of everything in e but its key: u16 len(owner) ‖ owner ‖ i64 expires ‖ value, big-endian.
func appendHashRow(dst []byte, e Entry) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Owner))) // at most maxKey
	dst = append(dst, e.Owner...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Expires))
	return append(dst, e.Value...)
}

// parseHashRow is the inverse of appendHashRow. Value is a copy.
func parseHashRow(key, row string) (Entry, error) {
	if len(row) < 10 {
		return Entry{}, errRow
	}
	n := int(row[0])<<8 | int(row[1])
	if n > maxKey || len(row) < 10+n {
		return Entry{}, errRow
	}
	e := Entry{Key: key, Owner: row[2 : 2+n], Value: []byte(row[10+n:])}
	e.Expires = int64(binary.BigEndian.Uint64([]byte(row[2+n : 10+n])))
	if e.Expires < 0 {
		return Entry{}, errRow
	}
	return e, nil
}

// redisRecord describes one finished generation: a field of the hash generations, as JSON.
type redisRecord struct {
	ID      string `json:"id"` // in the names of its buckets
	Entries uint64 `json:"entries"`
	Digest  string `json:"digest"`
	Sum     string `json:"sum"`   // of the row hashes, hex: what the digest is made of, so that an erasure can take rows out of it
	Bytes   int64  `json:"bytes"` // of keys and rows
	Full    string `json:"full"`  // a character a bucket: 1 if it holds rows
}

// describe makes the record of what d has counted.
func describe(id string, d *Digester, bytes int64, full string) redisRecord {
	var sum [32]byte
	for i, w := range d.sum {
		binary.BigEndian.PutUint64(sum[8*i:], w)
	}
	return redisRecord{ID: id, Entries: d.Len(), Digest: d.Sum(), Sum: hex.EncodeToString(sum[:]), Bytes: bytes, Full: full}
}

// digester returns a Digester that has counted what the record describes.
func (r redisRecord) digester() *Digester {
	d := &Digester{n: r.Entries}
	sum, _ := hex.DecodeString(r.Sum) // parseRecord has seen to it
	for i := range d.sum {
		d.sum[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	return d
}

func (r redisRecord) encode() string {
	b, _ := json.Marshal(r) // cannot fail: plain fields
	return string(b)
}

// parseRecord reads a record, and holds it against itself.
func parseRecord(text string) (redisRecord, error) {
	var r redisRecord
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("%w: record of a generation: %w", ErrCorrupt, err)
	}
	sum, err := hex.DecodeString(r.Sum)
	if err != nil || len(sum) != 32 || len(r.Full) != buckets || strings.Trim(r.Full, "01") != "" || r.digester().Sum() != r.Digest {
		return r, fmt.Errorf("%w: record of a generation", ErrCorrupt)
	}
	return r, nil
}

// parseGeneration reads a generation's number as the store writes it.
func parseGeneration(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no generation", ErrCorrupt, text)
	}
	return n, nil
}
