package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// TestBucket proves that a bucket keeps storage's contract. open returns an empty bucket, a new one for each call; what the
// bucket needs to end is registered with the t it is given.
func TestBucket(t *testing.T, open func(t *testing.T) storage.Bucket) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"PutGetHead", (*suite).putGetHead},
		{"Absent", (*suite).absent},
		{"Overwrite", (*suite).overwrite},
		{"Empty", (*suite).empty},
		{"Large", (*suite).large},
		{"ShortBody", (*suite).shortBody},
		{"Ranges", (*suite).ranges},
		{"IfMatchRead", (*suite).ifMatchRead},
		{"CreateOnly", (*suite).createOnly},
		{"IfMatchWrite", (*suite).ifMatchWrite},
		{"ABA", (*suite).aba},
		{"RaceToCreate", (*suite).raceToCreate},
		{"RaceToReplace", (*suite).raceToReplace},
		{"Counter", (*suite).counter},
		{"ReadersSeeWholeObjects", (*suite).wholeObjects},
		{"ListOrder", (*suite).listOrder},
		{"ListAgainstOracle", (*suite).listOracle},
		{"ListStops", (*suite).listStops},
		{"Delete", (*suite).delete},
		{"OddKeys", (*suite).oddKeys},
		{"InvalidKeys", (*suite).invalidKeys},
		{"Cancelled", (*suite).cancelled},
		{"Probe", (*suite).probe},
		{"Versions", (*suite).versions},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&suite{T: t, ctx: t.Context(), b: open(t)}) })
	}
}

// TestVersions is the part of TestBucket that is about storage.Versions, on an empty bucket.
func TestVersions(t *testing.T, b storage.Bucket) {
	(&suite{T: t, ctx: t.Context(), b: b}).versions()
}

type suite struct {
	*testing.T
	ctx context.Context
	b   storage.Bucket
}

// put stores body and checks the answer.
func (s *suite) put(key, body string) storage.Info {
	s.Helper()
	info, err := s.b.Put(s.ctx, key, storage.Bytes([]byte(body)), storage.Cond{})
	if err != nil {
		s.Fatal(err)
	}
	if info.Key != key || info.Size != int64(len(body)) || info.ETag == "" || strings.Contains(info.ETag, `"`) {
		s.Fatalf("Put(%q) = %+v", key, info)
	}
	return info
}

func (s *suite) get(key string, r storage.Range) (string, storage.Info) {
	s.Helper()
	body, info, err := s.tryGet(key, r)
	if err != nil {
		s.Fatal(err)
	}
	return body, info
}

func (s *suite) tryGet(key string, r storage.Range) (string, storage.Info, error) {
	rd, info, err := s.b.Get(s.ctx, key, r)
	if err != nil {
		return "", info, err
	}
	defer rd.Close()
	body, err := io.ReadAll(rd)
	return string(body), info, err
}

// list returns the keys of a listing.
func (s *suite) list(prefix string, o storage.ListOpt) []string {
	s.Helper()
	var keys []string
	for info, err := range s.b.List(s.ctx, prefix, o) {
		if err != nil {
			s.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// want fails unless err is target and names the key.
func (s *suite) want(err, target error, key string) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Fatalf("got error %v, want %v", err, target)
	}
	if !strings.Contains(err.Error(), key) {
		s.Fatalf("the error %q does not name %q", err, key)
	}
}

func (s *suite) putGetHead() {
	put := s.put("a/b/c.bin", "hello")
	body, got := s.get("a/b/c.bin", storage.Range{})
	head, err := s.b.Head(s.ctx, "a/b/c.bin")
	if err != nil {
		s.Fatal(err)
	}
	if body != "hello" || got.Key != "a/b/c.bin" || got.Size != 5 {
		s.Fatalf("Get = %q, %+v", body, got)
	}
	var listed storage.Info
	for info, err := range s.b.List(s.ctx, "a/", storage.ListOpt{}) {
		if err != nil {
			s.Fatal(err)
		}
		listed = info
	}
	for what, i := range map[string]storage.Info{"Get": got, "Head": head, "List": listed} {
		if i.Key != put.Key || i.ETag != put.ETag || i.Size != put.Size || i.Modified.IsZero() {
			s.Errorf("%s says %+v, Put said %+v", what, i, put)
		}
	}
}

func (s *suite) absent() {
	s.put("a/b", "x")
	for _, key := range []string{"nothing", "a", "a/b/c", "a/bb"} {
		_, _, err := s.tryGet(key, storage.Range{})
		s.want(err, storage.ErrNotFound, key)
		_, err = s.b.Head(s.ctx, key)
		s.want(err, storage.ErrNotFound, key)
	}
}

func (s *suite) overwrite() {
	seen := map[string]string{}
	for i := range 20 {
		body := fmt.Sprintf("same length %02d", i)
		tag := s.put("k", body).ETag
		if was, ok := seen[tag]; ok {
			s.Fatalf("ETag %s for %q and for %q", tag, was, body)
		}
		seen[tag] = body
		if got, info := s.get("k", storage.Range{}); got != body || info.ETag != tag {
			s.Fatalf("read %q (%s) after writing %q (%s)", got, info.ETag, body, tag)
		}
	}
	if got := s.list("", storage.ListOpt{}); !slices.Equal(got, []string{"k"}) {
		s.Fatalf("listed %q", got)
	}
}

func (s *suite) empty() {
	s.put("empty", "")
	for _, r := range []storage.Range{{}, {N: 10}} {
		if body, info := s.get("empty", r); body != "" || info.Size != 0 {
			s.Errorf("Get(%+v) = %q, %+v", r, body, info)
		}
	}
	if info, err := s.b.Head(s.ctx, "empty"); err != nil || info.Size != 0 {
		s.Errorf("Head = %+v, %v", info, err)
	}
	if _, _, err := s.tryGet("empty", storage.Range{Off: 1}); err == nil {
		s.Error("a range past the end of an empty object: no error")
	}
}

// large stores an object that S3 takes in several parts.
func (s *suite) large() {
	body := make([]byte, 17<<20+123)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(body)
	if _, err := s.b.Put(s.ctx, "large", storage.Bytes(body), storage.Cond{}); err != nil {
		s.Fatal(err)
	}
	rd, info, err := s.b.Get(s.ctx, "large", storage.Range{})
	if err != nil {
		s.Fatal(err)
	}
	defer rd.Close()
	got, err := io.ReadAll(rd)
	if err != nil || info.Size != int64(len(body)) || !bytes.Equal(got, body) {
		s.Fatalf("%d bytes came back as %d, %+v, %v", len(body), len(got), info, err)
	}
	const off, n = 16<<20 - 5, 1000 // across the border of two parts
	if part, _ := s.get("large", storage.Range{Off: off, N: n, IfMatch: info.ETag}); part != string(body[off:off+n]) {
		s.Error("a range across two parts came back wrong")
	}
}

// shortBody puts bodies that end before their size: nothing may be stored.
func (s *suite) shortBody() {
	for _, size := range []int64{10, 17 << 20} {
		if _, err := s.b.Put(s.ctx, "short", storage.Body{Size: size, R: strings.NewReader("12345")}, storage.Cond{}); err == nil {
			s.Errorf("a body of 5 bytes was taken for %d", size)
		}
		_, err := s.b.Head(s.ctx, "short")
		s.want(err, storage.ErrNotFound, "short")
	}
	for what, b := range map[string]storage.Body{"a negative size": {Size: -1, R: strings.NewReader("")}, "no reader": {Size: 1}} {
		if _, err := s.b.Put(s.ctx, "short", b, storage.Cond{}); err == nil {
			s.Errorf("a body with %s was taken", what)
		}
	}
	if got := s.list("", storage.ListOpt{}); got != nil {
		s.Errorf("listed %q", got)
	}
}

func (s *suite) ranges() {
	const body = "0123456789"
	tag := s.put("r", body).ETag
	for off := int64(0); off <= 12; off++ {
		for n := int64(0); n <= 12; n++ {
			got, info, err := s.tryGet("r", storage.Range{Off: off, N: n})
			if off > 10 {
				if err == nil {
					s.Fatalf("[%d,+%d): no error past the end", off, n)
				}
				continue
			}
			want := body[off:]
			if n > 0 {
				want = body[off:min(off+n, 10)]
			}
			if err != nil || got != want || info.Size != 10 || info.ETag != tag {
				s.Fatalf("[%d,+%d) = %q, %+v, %v; want %q", off, n, got, info, err, want)
			}
		}
	}
	for _, r := range []storage.Range{{Off: -1}, {N: -1}} {
		if _, _, err := s.tryGet("r", r); err == nil {
			s.Errorf("%+v: no error", r)
		}
	}
}

func (s *suite) ifMatchRead() {
	old := s.put("m", "first").ETag
	if got, _ := s.get("m", storage.Range{Off: 1, N: 2, IfMatch: old}); got != "ir" {
		s.Errorf("read %q", got)
	}
	s.put("m", "other")
	for _, r := range []storage.Range{{IfMatch: old}, {Off: 1, N: 2, IfMatch: old}, {Off: 5, IfMatch: old}} {
		_, _, err := s.tryGet("m", r)
		s.want(err, storage.ErrPrecondition, "m")
	}
	_, _, err := s.tryGet("absent", storage.Range{IfMatch: old})
	s.want(err, storage.ErrNotFound, "absent")
}

func (s *suite) createOnly() {
	put := func(body string) error {
		_, err := s.b.Put(s.ctx, "c/d", storage.Bytes([]byte(body)), storage.Cond{IfAbsent: true})
		return err
	}
	if err := put("one"); err != nil {
		s.Fatal(err)
	}
	s.want(put("two"), storage.ErrPrecondition, "c/d")
	s.want(put("one"), storage.ErrPrecondition, "c/d")
	if got, _ := s.get("c/d", storage.Range{}); got != "one" {
		s.Fatalf("read %q", got)
	}
	if err := s.b.Delete(s.ctx, "c/d"); err != nil {
		s.Fatal(err)
	}
	if err := put("three"); err != nil {
		s.Fatalf("create after delete: %v", err)
	}
}

func (s *suite) ifMatchWrite() {
	put := func(key, body, tag string) (storage.Info, error) {
		return s.b.Put(s.ctx, key, storage.Bytes([]byte(body)), storage.Cond{IfMatch: tag})
	}
	first := s.put("w", "one")
	second, err := put("w", "two", first.ETag)
	if err != nil {
		s.Fatal(err)
	}
	_, err = put("w", "bad", first.ETag)
	s.want(err, storage.ErrPrecondition, "w")
	if _, err = put("w", "three", second.ETag); err != nil {
		s.Fatal(err)
	}
	if got, _ := s.get("w", storage.Range{}); got != "three" {
		s.Fatalf("read %q", got)
	}
	_, err = put("absent", "x", first.ETag)
	s.want(err, storage.ErrPrecondition, "absent")
	if _, err := s.b.Head(s.ctx, "absent"); !errors.Is(err, storage.ErrNotFound) {
		s.Fatalf("a refused Put left something: %v", err)
	}
	if _, err := s.b.Put(s.ctx, "w", storage.Bytes(nil), storage.Cond{IfAbsent: true, IfMatch: "x"}); err == nil {
		s.Error("two conditions at once: no error")
	}
}

// aba deletes and creates, and overwrites, as fast as it can: a tag of earlier bytes must never hold again.
func (s *suite) aba() {
	old := s.put("aba", "body 00").ETag
	for i := 1; i < 30; i++ {
		if i%3 == 0 {
			if err := s.b.Delete(s.ctx, "aba"); err != nil {
				s.Fatal(err)
			}
		}
		s.put("aba", fmt.Sprintf("body %02d", i))
		if _, err := s.b.Put(s.ctx, "aba", storage.Bytes([]byte("stolen!")), storage.Cond{IfMatch: old}); !errors.Is(err, storage.ErrPrecondition) {
			s.Fatalf("round %d: an old ETag was accepted: %v", i, err)
		}
	}
}

const racers = 16

// race runs racers writers at once and returns which of them won.
func (s *suite) race(key string, c storage.Cond) []int {
	s.Helper()
	var wg sync.WaitGroup
	errs := make([]error, racers)
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			_, errs[i] = s.b.Put(s.ctx, key, storage.Bytes(fmt.Appendf(nil, "writer %02d", i)), c)
		})
	}
	close(start)
	wg.Wait()
	var won []int
	for i, err := range errs {
		switch {
		case err == nil:
			won = append(won, i)
		case !errors.Is(err, storage.ErrPrecondition):
			s.Errorf("writer %d: %v", i, err)
		}
	}
	return won
}

func (s *suite) oneWon(key string, won []int) {
	s.Helper()
	if len(won) != 1 {
		s.Fatalf("%d of %d writers won: %v", len(won), racers, won)
	}
	if got, _ := s.get(key, storage.Range{}); got != fmt.Sprintf("writer %02d", won[0]) {
		s.Fatalf("writer %d won, but %q stands there", won[0], got)
	}
}

func (s *suite) raceToCreate() {
	for round := range 4 {
		key := fmt.Sprintf("race/%d", round)
		s.oneWon(key, s.race(key, storage.Cond{IfAbsent: true}))
	}
}

func (s *suite) raceToReplace() {
	for range 4 {
		tag := s.put("race", "start").ETag
		s.oneWon("race", s.race("race", storage.Cond{IfMatch: tag}))
	}
}

// counter increments one object from several goroutines by compare-and-swap: no increment may be lost.
func (s *suite) counter() {
	const workers, each = 4, 5
	s.put("n", "0")
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for done, tries := 0, 0; done < each; tries++ {
				if tries == 1000 {
					s.Error("a thousand tries, and others were always faster")
					return
				}
				body, info, err := storage.ReadAll(s.ctx, s.b, "n")
				if err != nil {
					s.Error(err)
					return
				}
				var n int
				fmt.Sscan(string(body), &n)
				next := fmt.Appendf(nil, "%d by %d try %d", n+1, w, tries)
				switch _, err := s.b.Put(s.ctx, "n", storage.Bytes(next), storage.Cond{IfMatch: info.ETag}); {
				case err == nil:
					done++
				case !errors.Is(err, storage.ErrPrecondition):
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, _ := s.get("n", storage.Range{}); !strings.HasPrefix(got, fmt.Sprintf("%d by", workers*each)) {
		s.Fatalf("%d increments gave %q", workers*each, got)
	}
}

// wholeObjects overwrites an object while it is read: a reader sees one of the bodies, or is told ErrPrecondition.
func (s *suite) wholeObjects() {
	const size = 300_000
	s.put("o", strings.Repeat("0", size))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			body := bytes.Repeat([]byte{'0' + byte(i%10)}, size)
			if _, err := s.b.Put(s.ctx, "o", storage.Bytes(body), storage.Cond{}); err != nil {
				s.Error(err)
				return
			}
		}
	})
	for range 20 {
		body, _, err := s.tryGet("o", storage.Range{})
		if errors.Is(err, storage.ErrPrecondition) {
			continue
		}
		if err != nil || len(body) != size || strings.Trim(body, body[:1]) != "" {
			s.Errorf("read %d bytes, %v: not one whole body", len(body), err)
			break
		}
	}
	close(stop)
	wg.Wait()
}
