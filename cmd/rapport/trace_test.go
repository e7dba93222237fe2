package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// traces are the forms by which a subject can be told in what is written: the raw id, the number and the online key, as text and as bytes.
func (s *shop) traces(id string) map[string][]byte {
	s.Helper()
	n := uint64(s.number(id))
	key := event.OnlineKey(s.opened.Keys.ServingKey(), id)
	raw, err := hex.DecodeString(key)
	if err != nil {
		s.Fatal(err)
	}
	return map[string][]byte{
		"raw id":                       []byte(id),
		"number":                       []byte(strconv.FormatUint(n, 10)),
		"number, signed":               []byte(strconv.FormatInt(int64(n), 10)),
		"number in hexadecimal digits": fmt.Appendf(nil, "%016x", n),
		"number, little-endian":        binary.LittleEndian.AppendUint64(nil, n),
		"number, big-endian":           binary.BigEndian.AppendUint64(nil, n),
		"online key":                   []byte(key),
		"online key, bytes":            raw,
	}
}

// scan calls found with each place of what the product has written at which a form of trace stands: names and bodies of objects, the online store's folder, logs and signs
// of life.
func (s *shop) scan(traces map[string][]byte, found func(form, where string)) {
	s.Helper()
	all := &storagetest.Traces{}
	for form, trace := range traces {
		add(s, all, form, trace)
	}
	scan := func(where string, body []byte) {
		if err := all.Scan(where, body, found); err != nil {
			s.Fatal(err)
		}
	}
	for key, body := range objects(s.TB, s.opened.Bucket) {
		scan("a key", []byte(key))
		scan(key, body)
	}
	walkDisk(s, filepath.Join(s.dir, "online"), "online/", scan)
	scan("log", []byte(s.log.String()))
}

// find returns where each form of trace stands, once each.
func (s *shop) find(traces map[string][]byte) map[string]string {
	s.Helper()
	found := map[string]string{}
	s.scan(traces, func(form, where string) { found[form] = where })
	return found
}
