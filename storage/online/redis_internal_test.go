package online

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rapport-ml/rapport/storage"
)

// StageFrom makes a Redis store stage changes of its deny set from n owners on.
func StageFrom(s Store, n int) { s.(*redisStore).large = n - 1 }

func FuzzParseHashRow(f *testing.F) {
	f.Add("")
	f.Add(string(appendHashRow(nil, Entry{Owner: "o", Expires: 7, Value: []byte("v")})))
	f.Add("\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Fuzz(func(t *testing.T, row string) {
		e, err := parseHashRow("k", row)
		if err != nil {
			if !errors.Is(err, errRow) {
				t.Fatal(err)
			}
			return
		}
		if again := appendHashRow(nil, e); string(again) != row {
			t.Fatalf("%q reads as %+v, which is written %q", row, e, again)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	var d Digester
	d.Add(Entry{Key: "k"})
	f.Add(describe("id", &d, 5, strings.Repeat("0", buckets)).encode())
	f.Add(`{"id":"x","sum":"zz"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord(text)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseRecord(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
		if r.digester().Sum() != r.Digest {
			t.Fatal("the record has not its digest")
		}
	})
}

// Rows in the form of the package comment.
func TestHashRow(t *testing.T) {
	for want, e := range map[string]Entry{
		"\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00":             {},
		"\x00\x02o1" + "\x00\x00\x00\x00\x00\x12\xd6\x87" + "value": {Owner: "o1", Expires: 1234567, Value: []byte("value")},
	} {
		if got := appendHashRow(nil, e); string(got) != want {
			t.Errorf("%+v is written %q, want %q", e, got, want)
		}
		got, err := parseHashRow("", want)
		if err != nil || got.Owner != e.Owner || got.Expires != e.Expires || !bytes.Equal(got.Value, e.Value) {
			t.Errorf("%q reads as %+v, %v", want, got, err)
		}
	}
	for key, want := range map[string]string{"meta": "cb", "list/o1": "2a"} {
		if got := bucketOf(key); got != want {
			t.Errorf("bucket of %s: %s, want %s", key, got, want)
		}
	}
}

// What was taken out of a digest leaves that of the rest, whatever the order.
func TestDigesterRemove(t *testing.T) {
	var all, rest Digester
	for i := range 50 {
		e := Entry{Key: fmt.Sprint("k", i), Value: []byte{byte(i)}}
		all.Add(e)
		if i%3 != 0 {
			rest.Add(e)
		}
	}
	for i := 48; i >= 0; i -= 3 {
		all.remove(Entry{Key: fmt.Sprint("k", i), Value: []byte{byte(i)}})
	}
	if all.Sum() != rest.Sum() || all.Len() != rest.Len() {
		t.Errorf("%d rows with %s, want %d with %s", all.Len(), all.Sum(), rest.Len(), rest.Sum())
	}
}

func TestAway(t *testing.T) {
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, redis.ErrPoolTimeout, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, syscall.ECONNRESET,
		errors.New("LOADING Redis is loading the dataset in memory"), errors.New("BUSY Redis is busy running a script"), fmt.Errorf("dial: %w", &net.DNSError{IsTimeout: true}),
	} {
		if !away(err) {
			t.Errorf("%v: not away", err)
		}
	}
	for _, err := range []error{
		errors.New("OOM command not allowed"), errors.New("READONLY You can't write"), errors.New("NOPERM"), ErrCorrupt, redis.ErrClosed, redis.Nil,
	} {
		if away(err) {
			t.Errorf("%v: away", err)
		}
	}
}

// The errors of a server say what to do, and are told apart.
func TestRedisHints(t *testing.T) {
	s := &redisStore{name: "redis://h:1/0", live: "{p}:live"}
	for text, want := range map[string]struct {
		is   error
		says string
	}{
		"OOM command not allowed when used memory > 'maxmemory'.":                  {storage.ErrFull, "rapport online status"},
		"READONLY You can't write against a read only replica.":                    {ErrReadOnly, "primary"},
		"MISCONF Redis is configured to save RDB snapshots":                        {ErrReadOnly, "disk"},
		"NOREPLICAS Not enough good replicas to write.":                            {ErrReadOnly, "log"},
		"NOPERM this user has no permissions":                                      {nil, "~{p}:*"},
		"ERR The user executing the script can't run this command or subcommand":   {nil, "~{p}:*"},
		"MOVED 1234 10.0.0.1:6379":                                                 {nil, "cluster"},
		"WRONGPASS invalid username-password pair":                                 {nil, "the user or the password"},
		"NOAUTH Authentication required.":                                          {nil, "the user or the password"},
		"WRONGTYPE Operation against a key holding the wrong kind of value script": {ErrCorrupt, "{p}:*"},
	} {
		cause := errors.New(text)
		err := s.failed("do it", cause)
		if !errors.Is(err, cause) || want.is != nil && !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "do it in online store redis://h:1/0") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := s.failed("do it", nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}
