package online

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rapport-ml/rapport/storage"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts holds each script of the folder lua by its name, the prelude before it.
var scripts = loadScripts()

func loadScripts() map[string]*redis.Script {
	files, err := luaFiles.ReadDir("lua")
	if err != nil {
		panic(err) // the files are in the binary
	}
	read := func(name string) string {
		b, err := luaFiles.ReadFile(path.Join("lua", name))
		if err != nil {
			panic(err) // as above
		}
		return string(b)
	}
	out := map[string]*redis.Script{}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".lua"); name != "prelude" {
			out[name] = redis.NewScript(read("prelude.lua") + read(f.Name()))
		}
	}
	return out
}

// reply is what a script returns: a status and what belongs to it.
type reply []any

func (r reply) status() string { return r.text(0) }

// text returns an element as a string, "" if it is missing.
func (r reply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	switch x := r[i].(type) {
	case string:
		return x
	case int64:
		return strconv.FormatInt(x, 10)
	}
	return ""
}

func (r reply) number(i int) uint64 {
	n, _ := strconv.ParseUint(r.text(i), 10, 64)
	return n
}

// eval runs a script once: by its digest, and with its text if the server has forgotten it.
func (s *redisStore) eval(ctx context.Context, script string, args ...any) (reply, error) {
	v, err := scripts[script].Run(ctx, s.client, []string{s.live}, args...).Slice()
	if err != nil {
		return nil, err
	}
	r := reply(v)
	if r.status() == "format" {
		format, _ := strconv.Atoi(r.text(1))
		return nil, checkFormat(max(format, 0))
	}
	return r, nil
}

// write runs a script that changes the store, and waits for a server that is away. Every such script may be run twice.
func (s *redisStore) write(ctx context.Context, what, script string, args ...any) (r reply, err error) {
	err = s.try(ctx, s.o.Patience, func() (err error) {
		r, err = s.eval(ctx, script, args...)
		return err
	})
	return r, s.failed(what, err)
}

// read runs a script that changes nothing, and waits a little for a server that is away.
func (s *redisStore) read(ctx context.Context, what, script string, args ...any) (r reply, err error) {
	err = s.try(ctx, s.brief(), func() (err error) {
		r, err = s.eval(ctx, script, args...)
		return err
	})
	return r, s.failed(what, err)
}

// brief is how long readers wait.
func (s *redisStore) brief() time.Duration { return s.o.Patience / 20 }

// The bounds of the wait between two tries.
const (
	firstTry = 20 * time.Millisecond
	lastTry  = 2 * time.Second
)

// try calls f until it succeeds, fails for good, or has waited for patience.
func (s *redisStore) try(ctx context.Context, patience time.Duration, f func() error) error {
	var waited time.Duration
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		err := f()
		if err == nil || !away(err) || ctx.Err() != nil {
			return err
		}
		if waited >= patience {
			return fmt.Errorf("the server has been away for %v: %w", waited.Round(time.Second/10), err)
		}
		wait = min(wait, patience-waited)
		if err := s.o.Sleep(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}

// away reports whether err says that the server could not be reached, or is not ready yet.
func away(err error) bool {
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network) || errors.Is(err, redis.ErrPoolTimeout) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*net.OpError))
	}
	for _, prefix := range []string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ERR max number of clients"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

// failed says what could not be done, and what an operator can do. nil stays nil.
func (s *redisStore) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case says("OOM command not allowed"):
		err = fmt.Errorf("%w: Redis has reached its maxmemory (give it more, or drop what else stands in it; `rapport online status` says what a generation takes, and there is "+
			"one more while it loads): %w", storage.ErrFull, err)
	case says("READONLY"):
		err = fmt.Errorf("%w: this server is a read-only replica (name the primary in the project file, or wait for the failover to end): %w", ErrReadOnly, err)
	case says("MISCONF", "NOREPLICAS"):
		err = fmt.Errorf("%w (free its disk, or see its log): %w", ErrReadOnly, err)
	case says("NOPERM", "The user executing the script"):
		err = fmt.Errorf("the Redis user may not do this (ACL SETUSER NAME ~%s* +@read +@write +@scripting +info +ping +select): %w", s.key(""), err)
	case says("WRONGPASS", "NOAUTH", "invalid username-password"):
		err = fmt.Errorf("the user or the password that online: names is refused: %w", err)
	case says("MOVED ", "ASK "):
		err = fmt.Errorf("this server is a node of a cluster and another one holds the project's keys, which stand together: name that one, or a proxy: %w", err)
	case says("WRONGTYPE"):
		err = fmt.Errorf("%w: another program has written under %s: %w", ErrCorrupt, s.key("*"), err)
	}
	return fmt.Errorf("%s in %s: %w", what, s, err)
}

// errUndenied is the fault of a store that has rows and has lost its deny set.
var errUndenied = fmt.Errorf("%w: the deny set is lost, so that no subject's row is served (`rapport online load`, or the next run, denies again whom the policy journal denies)", ErrCorrupt)

// errLostRows is the fault of a generation some of whose rows are gone.
var errLostRows = fmt.Errorf("%w: rows are lost (was something evicted or deleted? `rapport online load` fills the store again)", ErrCorrupt)
