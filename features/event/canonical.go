package event

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rapport-ml/rapport/storage/table"
)

// maxID bounds an id, in bytes.
const maxID = 1024

// Canonical returns the one form in which a person's id is compared and keyed:
//
//	integer of any width          decimal digits, so that 123 in one source is "123" in another
//	UUID, binary or 8-4-4-4-12    lower case, hyphenated
//	other text                    in Unicode NFC, so that a letter with its accent apart is the letter with it
//
// It refuses an empty id, one over 1024 bytes and text that is not UTF-8; its errors never hold the id. Text is neither trimmed nor
// folded: two ids that a source keeps apart may be two people, and to join them would show one's history to the other. Forms of Unicode that
// nobody can tell apart are no two people: who types a name on one machine and withdraws on another must be met.
func Canonical(id string) (string, error) {
	switch {
	case id == "":
		return "", errors.New("the id is empty")
	case len(id) > maxID:
		return "", fmt.Errorf("the id has %d bytes, more than %d", len(id), maxID)
	case !utf8.ValidString(id):
		return "", fmt.Errorf("the id of %d bytes is not UTF-8 text", len(id))
	}
	if lower, ok := lowerUUID(id); ok {
		return lower, nil
	}
	if ascii(id) {
		return id, nil
	}
	if id = norm.NFC.String(id); len(id) > maxID {
		return "", fmt.Errorf("the id has %d bytes in Unicode NFC, more than %d", len(id), maxID)
	}
	return id, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Forms returns the canonical id, and behind it the decomposed form (NFD) where that is another: tables, marks and online keys that were made before ids
// were brought into NFC may hold a person by it.
func Forms(canonical string) []string {
	if !ascii(canonical) {
		if apart := norm.NFD.String(canonical); apart != canonical {
			return []string{canonical, apart}
		}
	}
	return []string{canonical}
}

// lowerUUID returns a UUID in 8-4-4-4-12 form in lower case.
func lowerUUID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	var b [36]byte
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		default:
			return "", false
		}
		b[i] = c
	}
	return string(b[:]), true
}

// idAt returns the canonical id of a person in row i of a text column, and false for a null or an id that Canonical refuses.
func idAt(c *table.Column, i int) (string, bool) {
	if c.Null(i) {
		return "", false
	}
	id, err := Canonical(c.Str[i])
	return id, err == nil
}

// itemAt is idAt for an item: its text stays as it is, byte for byte.
func itemAt(c *table.Column, i int) (string, bool) {
	id, ok := idAt(c, i)
	if ok && !ascii(id) {
		id = c.Str[i]
	}
	return id, ok
}
