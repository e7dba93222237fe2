package online

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of an entry, checked by Put.
const (
	maxKey   = 4 << 10
	maxValue = 64 << 20
)

// checkEntry refuses what no store takes.
func checkEntry(e Entry) error {
	switch {
	case e.Key == "" || len(e.Key) > maxKey:
		return fmt.Errorf("key of %d bytes: must have 1 to %d", len(e.Key), maxKey)
	case len(e.Value) > maxValue:
		return fmt.Errorf("value of %s is %d bytes: must have at most %d", keyKind(e.Key), len(e.Value), maxValue)
	case e.Expires < 0:
		return fmt.Errorf("%s expires before 1970", keyKind(e.Key))
	case !utf8.ValidString(e.Key):
		return fmt.Errorf("key of kind %q is not valid UTF-8", keyKind(e.Key))
	case e.Owner != "":
		return checkOwner(e.Owner)
	}
	return nil
}

// checkOwner refuses the empty owner, which is that of rows nobody owns, and what could not be told from an ErasedName.
func checkOwner(owner string) error {
	switch {
	case owner == "" || len(owner) > maxKey:
		return fmt.Errorf("owner of %d bytes: must have 1 to %d", len(owner), maxKey)
	case !utf8.ValidString(owner):
		return errors.New("owner is not valid UTF-8")
	case strings.HasPrefix(owner, erasedPrefix):
		return fmt.Errorf("owner begins with %q, which is kept for erased ones", erasedPrefix)
	}
	return nil
}

// checkNames is checkOwner for all of names, which may be ErasedNames too.
func checkNames(names []string) error {
	for _, n := range names {
		if err := checkOwner(strings.TrimPrefix(n, erasedPrefix)); err != nil {
			return err
		}
	}
	return nil
}

// keyKind is a key without what names a subject: the part before the first slash.
func keyKind(key string) string {
	kind, _, more := strings.Cut(key, "/")
	if more {
		return kind + "/…"
	}
	return kind
}

// appendRow appends the stored form of everything in e but its key.
func appendRow(dst []byte, e Entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e.Owner)))
	dst = append(dst, e.Owner...)
	dst = binary.AppendVarint(dst, e.Expires)
	return append(dst, e.Value...)
}

var errRow = errors.New("malformed row")

// rowOwner returns the owner of a stored row and what follows it; both share memory with row.
func rowOwner(row []byte) (owner, rest []byte, err error) {
	n, w := binary.Uvarint(row)
	if w <= 0 || n > maxKey || n > uint64(len(row)-w) {
		return nil, nil, errRow
	}
	return row[w : w+int(n)], row[w+int(n):], nil
}

// parseRow is the inverse of appendRow. Value shares memory with row.
func parseRow(key string, row []byte) (Entry, error) {
	owner, rest, err := rowOwner(row)
	if err != nil {
		return Entry{}, err
	}
	expires, w := binary.Varint(rest)
	if w <= 0 || expires < 0 {
		return Entry{}, errRow
	}
	return Entry{Key: key, Owner: string(owner), Value: rest[w:], Expires: expires}, nil
}
