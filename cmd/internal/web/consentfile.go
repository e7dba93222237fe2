package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// ConsentFile is a body of POST /v1/consent that is a file of records: taken whole, or refused by its row.
type ConsentFile struct {
	Kind string // csv, jsonl or parquet
	Body []byte
}

// Bounds of such a file. What is larger goes through the source's files, or rapport consent import.
const (
	maxFile  = 32 << 20
	fileTime = 2 * time.Minute // for its body to arrive and to be taken
)

// fileKinds are the types of bodies that are files.
var fileKinds = map[string]string{
	"text/csv": "csv", "application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "application/jsonlines": "jsonl",
	"application/vnd.apache.parquet": "parquet", "application/parquet": "parquet",
}

// fileKind is the kind of file that a request's body is; "" if it is none, or its path takes none.
func fileKind(r *http.Request) string {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.URL.Path != PathConsent {
		return ""
	}
	return fileKinds[kind]
}

// bounded bounds what a caller may send.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxBody)
		if fileKind(r) != "" {
			limit = maxFile
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		h.ServeHTTP(w, r)
	})
}

// patient gives who may send a file the time for it. Nobody has it before their token is known.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fileKind(r) != "" {
			until, c := time.Now().Add(fileTime), http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(until), c.SetWriteDeadline(until.Add(answerTime))); err != nil && !errors.Is(err, http.ErrNotSupported) {
				fault(w, http.StatusInternalServerError, "this connection takes no files")
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// consentFile takes a file. One is taken at a time: it stands in memory.
func (l *lookups) consentFile(r *http.Request, kind string) (any, error) {
	select {
	case l.file <- struct{}{}:
		defer func() { <-l.file }()
	default:
		return nil, &Fault{http.StatusServiceUnavailable, "another file of consent is being taken: send this one again"}
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &Fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the file is larger than %d bytes: send it in parts, or use rapport consent import", maxFile)}
	case err != nil:
		return nil, &Fault{http.StatusBadRequest, "the file did not arrive whole: nothing of it is recorded"}
	case len(body) == 0:
		return nil, &Fault{http.StatusBadRequest, "the file is empty"}
	}
	// A lookup has less time than a file needs.
	ctx, cancel := context.WithTimeout(r.Context(), fileTime)
	defer cancel()
	return l.of.ConsentFile(ctx, ConsentFile{kind, body})
}
