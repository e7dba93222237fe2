package storage

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxKey bounds a key in bytes. S3 allows 1,024 together with the root prefix.
const maxKey = 1000

// hidden is the folder in which the directory bucket keeps its lock and its temporary files. No bucket accepts a key in it, so
// that what works on one works on all.
const hidden = ".rapport"

// failed wraps err with the operation and the key.
func failed(op, key string, err error) error { return fmt.Errorf("%s %q: %w", op, key, err) }

// checkKey says whether key may name an object.
func checkKey(op, key string) error {
	if err := validKey(key); err != nil {
		return failed(op, key, err)
	}
	return nil
}

func validKey(key string) error {
	if key == "" {
		return errors.New("invalid key: it is empty")
	}
	if err := validText(key); err != nil {
		return err
	}
	for seg := range strings.SplitSeq(key, "/") {
		switch seg {
		case "":
			return errors.New("invalid key: it has an empty segment (a slash at its start or end, or two in a row)")
		case ".", "..":
			return errors.New(`invalid key: it has a segment "." or "..", which would leave the bucket's root`)
		}
	}
	if key == hidden || strings.HasPrefix(key, hidden+"/") {
		return errors.New("invalid key: " + hidden + "/ is reserved for the bucket's own files")
	}
	return nil
}

func validText(s string) error {
	if len(s) > maxKey {
		return fmt.Errorf("invalid key: %d bytes, more than %d", len(s), maxKey)
	}
	if !utf8.ValidString(s) {
		return errors.New("invalid key: not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return errors.New("invalid key: it holds a control character")
	}
	return nil
}

// checkList says whether a listing may be asked for. A prefix may end anywhere, in the middle of a segment too.
func checkList(prefix string, o ListOpt) error {
	if err := validText(prefix); err != nil {
		return failed("list", prefix, err)
	}
	if dir := prefix[:strings.LastIndexByte(prefix, '/')+1]; dir != "" {
		if err := validKey(strings.TrimSuffix(dir, "/")); err != nil {
			return failed("list", prefix, err)
		}
	}
	if o.Delimiter != "" && o.Delimiter != "/" {
		return failed("list", prefix, fmt.Errorf("delimiter %q: only \"/\" is supported", o.Delimiter))
	}
	return nil
}

// checkPut says whether a Put may be tried.
func checkPut(key string, b Body, c Cond) error {
	if err := checkKey("put", key); err != nil {
		return err
	}
	if b.Size < 0 || b.R == nil {
		return failed("put", key, errors.New("the body's size and reader must be given"))
	}
	if c.IfAbsent && c.IfMatch != "" {
		return failed("put", key, errors.New("create-only and if-match exclude each other"))
	}
	return nil
}

// clip returns the half-open byte range [from, to) that r selects of an object of the given size.
func (r Range) clip(size int64) (from, to int64, err error) {
	switch {
	case r.Off < 0 || r.N < 0:
		return 0, 0, fmt.Errorf("invalid range: offset %d, length %d", r.Off, r.N)
	case r.Off > size:
		return 0, 0, fmt.Errorf("invalid range: offset %d in an object of %d bytes", r.Off, size)
	case r.N == 0 || r.N > size-r.Off:
		return r.Off, size, nil
	}
	return r.Off, r.Off + r.N, nil
}
