package online

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// pointer reads generation, fence and meta from elements of a reply.
func pointer(generation, fence, meta string) (Pointer, error) {
	var p Pointer
	var err error
	if p.Generation, err = parseGeneration(generation); err != nil {
		return p, err
	}
	if p.Fence, err = strconv.ParseUint(fence, 10, 64); err != nil {
		return p, fmt.Errorf("%w: %q is no fence", ErrCorrupt, fence)
	}
	if meta != "" {
		p.Meta = []byte(meta)
	}
	return p, nil
}

func (s *redisStore) nothingLive() error {
	return fmt.Errorf("%s: %w: run a job, or, if one has published and the server has lost it, `rapport online load`", s, ErrNoGeneration)
}

// startAnew adds to a fault of the store's own records what mends it.
func (s *redisStore) startAnew(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (delete the keys %s: then `rapport online load` fills the store again)", err, s.key("*"))
}

// Live reads the pointer.
func (s *redisStore) Live(ctx context.Context) (Pointer, error) {
	p, _, err := s.at(ctx)
	return p, err
}

// at reads the pointer and the id of its generation.
func (s *redisStore) at(ctx context.Context) (p Pointer, id string, err error) {
	var v []any
	err = s.try(ctx, s.brief(), func() (err error) {
		v, err = s.client.HMGet(ctx, s.live, "generation", "fence", "meta", "id").Result()
		return err
	})
	if err != nil {
		return p, "", s.failed("read what is live", err)
	}
	r := reply(v)
	if slices.Contains(v, nil) {
		return p, "", s.nothingLive()
	}
	p, err = pointer(r.text(0), r.text(1), r.text(2))
	return p, r.text(3), s.failed("read what is live", s.startAnew(err))
}

// Get reads one key with one command; with two if the store has erased owners and the key does not tell whose row it is. A connection
// that broke is tried once more, and no server that is away is waited for.
func (s *redisStore) Get(ctx context.Context, key string, now int64) (Entry, Pointer, error) {
	fail := func(p Pointer, err error) (Entry, Pointer, error) {
		return Entry{}, p, fmt.Errorf("get %s in generation %d: %w", keyKind(key), p.Generation, err)
	}
	owner := key[strings.LastIndexByte(key, '/')+1:]
	for range maxReopen {
		r, err := s.lookup(ctx, key, owner, now)
		if err != nil {
			return Entry{}, Pointer{}, s.failed("get "+keyKind(key), err)
		}
		if r.status() == "none" {
			return Entry{}, Pointer{}, s.nothingLive()
		}
		p, err := pointer(r.text(1), r.text(2), r.text(3))
		if err != nil {
			return Entry{}, Pointer{}, s.failed("get "+keyKind(key), err)
		}
		switch r.status() {
		case "absent":
			return fail(p, ErrNotFound)
		case "denied":
			return fail(p, ErrDenied)
		case "fallback":
			return fail(p, ErrFallback)
		case "overdue":
			return fail(p, ErrOverdue)
		case "lost":
			return fail(p, errLostRows)
		case "undenied":
			return fail(p, errUndenied)
		case "owner":
			owner = r.text(4)
			continue
		}
		e, err := parseHashRow(key, r.text(4))
		if err != nil {
			return fail(p, fmt.Errorf("%w: %w", ErrCorrupt, err))
		}
		if e.Expires != 0 && now >= e.Expires {
			return fail(p, fmt.Errorf("%w: it has expired", ErrNotFound))
		}
		return e, p, nil
	}
	return fail(Pointer{}, errors.New("the row changed its owner under the lookup again and again"))
}

// lookup runs the script of Get.
func (s *redisStore) lookup(ctx context.Context, key, owner string, now int64) (reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hash := strings.TrimPrefix(ErasedName(owner), erasedPrefix)
	r, err := s.eval(ctx, "get", bucketOf(key), key, owner, hash, now)
	if err != nil && away(err) && ctx.Err() == nil {
		r, err = s.eval(ctx, "get", bucketOf(key), key, owner, hash, now)
	}
	return r, err
}

// redisGeneration is a finished generation, and how many rows of it stand.
type redisGeneration struct {
	number uint64
	text   string // its record as it is stored
	redisRecord
	held uint64
}

// survey reads all finished generations, those that have lost rows too, ascending.
func (s *redisStore) survey(ctx context.Context) ([]redisGeneration, error) {
	const what = "list the generations"
	r, err := s.read(ctx, what, "survey")
	if err != nil {
		return nil, err
	}
	var out []redisGeneration
	for i := 1; i+2 < len(r); i += 3 {
		g := redisGeneration{text: r.text(i + 1), held: r.number(i + 2)}
		if g.number, err = parseGeneration(r.text(i)); err == nil {
			g.redisRecord, err = parseRecord(g.text)
		}
		if err != nil {
			return nil, s.failed(what, s.startAnew(err))
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b redisGeneration) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return out, nil
}

// Generations lists the finished generations whose rows are all there.
func (s *redisStore) Generations(ctx context.Context) (map[uint64]string, error) {
	all, err := s.survey(ctx)
	if err != nil {
		return nil, err
	}
	out := map[uint64]string{}
	for _, g := range all {
		if g.held == g.Entries {
			out[g.number] = g.Digest
		}
	}
	return out, nil
}

// scanWindow is how many rows a scan asks for at once, and scanBuffer how many bytes of them it gathers before it yields the first: until
// then it can begin again.
const (
	scanWindow = 512
	scanBuffer = 16 << 20
)

// errMoved says that the generation was dropped while it was read.
var errMoved = errors.New("the generation was dropped while it was read: scan again")

// Scan yields the live entries with the prefix. It holds their keys in memory, to sort them.
func (s *redisStore) Scan(ctx context.Context, prefix string, f func(Entry) error) error {
	var stop error
	for try := 1; ; try++ {
		yielded := false
		err := s.scan(ctx, prefix, func(e Entry) error {
			yielded = true
			stop = f(e)
			return stop
		})
		if err == nil || stop != nil {
			return stop
		}
		if !errors.Is(err, errMoved) || yielded || try == maxReopen {
			return s.failed("scan", err)
		}
	}
}

func (s *redisStore) scan(ctx context.Context, prefix string, f func(Entry) error) error {
	p, id, err := s.at(ctx)
	if err != nil {
		return err
	}
	number := strconv.FormatUint(p.Generation, 10)
	before, err := s.recordOf(ctx, number)
	if err != nil {
		return err
	}
	if before.ID != id {
		if now, at, err := s.at(ctx); err != nil || now.Generation != p.Generation || at != id {
			return errMoved
		}
		return errLostRows // live, and on no record
	}
	var keys []string
	total := uint64(0)
	if err := s.eachKey(ctx, p.Generation, id, func(key string) {
		total++
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}); err != nil {
		return err
	}
	slices.Sort(keys)
	var gathered []Entry
	size := 0
	for from := 0; from == 0 || from < len(keys); from += scanWindow {
		window := keys[min(from, len(keys)):min(from+scanWindow, len(keys))]
		entries, err := s.fetch(ctx, p.Generation, id, window)
		if err != nil {
			return err
		}
		after, err := s.recordOf(ctx, number)
		if err != nil {
			return err
		}
		switch {
		case after == before && (len(entries) < len(window) || from == 0 && total != before.Entries):
			return errLostRows
		case after != before && (after.ID != id || from == 0): // erased rows may be missing from now on; a new start has them all out
			return errMoved
		}
		for _, e := range entries {
			size += len(e.Value)
		}
		if gathered = append(gathered, entries...); size < scanBuffer && from+scanWindow < len(keys) {
			continue
		}
		for _, e := range gathered {
			if err := f(e); err != nil {
				return err
			}
		}
		gathered, size = gathered[:0], scanBuffer // from here on, a window at a time
	}
	return nil
}

// recordOf reads the record of a generation; the zero record is that of none.
func (s *redisStore) recordOf(ctx context.Context, number string) (redisRecord, error) {
	_, r, err := s.storedRecord(ctx, number)
	return r, err
}

// storedRecord is recordOf, with the stored text.
func (s *redisStore) storedRecord(ctx context.Context, number string) (text string, r redisRecord, err error) {
	err = s.try(ctx, s.brief(), func() (err error) {
		text, err = s.client.HGet(ctx, s.key("generations"), number).Result()
		if errors.Is(err, redis.Nil) {
			text, err = "", nil
		}
		return err
	})
	if err != nil || text == "" {
		return "", r, err
	}
	r, err = parseRecord(text)
	return text, r, err
}

// bucketsAtOnce is how many buckets are asked for in one pipeline.
const bucketsAtOnce = 16

// eachKey calls f with every key of a generation.
func (s *redisStore) eachKey(ctx context.Context, number uint64, id string, f func(key string)) error {
	for from := 0; from < buckets; from += bucketsAtOnce {
		keys, err := s.keysOf(ctx, number, id, from)
		if err != nil {
			return err
		}
		for _, key := range keys {
			f(key)
		}
	}
	return nil
}

// keysOf returns the keys of bucketsAtOnce buckets of a generation.
func (s *redisStore) keysOf(ctx context.Context, number uint64, id string, from int) (keys []string, err error) {
	var answers []*redis.StringSliceCmd
	err = s.try(ctx, s.brief(), func() error {
		pipe := s.client.Pipeline()
		answers = answers[:0]
		for i := from; i < from+bucketsAtOnce; i++ {
			answers = append(answers, pipe.HKeys(ctx, s.dataKey(number, id, bucketName(i))))
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		keys = append(keys, a.Val()...)
	}
	return keys, nil
}

// fetch reads rows of a generation in the order of keys, leaving out what is not there.
func (s *redisStore) fetch(ctx context.Context, number uint64, id string, keys []string) ([]Entry, error) {
	places := map[string][]int{}
	for i, key := range keys {
		b := bucketOf(key)
		places[b] = append(places[b], i)
	}
	answers := map[string]*redis.SliceCmd{}
	err := s.try(ctx, s.brief(), func() error {
		pipe := s.client.Pipeline()
		for b, at := range places {
			fields := make([]string, len(at))
			for j, i := range at {
				fields[j] = keys[i]
			}
			answers[b] = pipe.HMGet(ctx, s.dataKey(number, id, b), fields...)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows := make([]any, len(keys))
	for b, at := range places {
		for j, i := range at {
			rows[i] = answers[b].Val()[j]
		}
	}
	out := make([]Entry, 0, len(keys))
	for i, row := range rows {
		text, ok := row.(string)
		if !ok {
			continue
		}
		e, err := parseHashRow(keys[i], text)
		if err != nil {
			return nil, fmt.Errorf("%w: row of %s: %w", ErrCorrupt, keyKind(keys[i]), err)
		}
		out = append(out, e)
	}
	return out, nil
}

// eachRow calls f with every row of a generation, in no order. Rows that are taken out meanwhile may be missing.
func (s *redisStore) eachRow(ctx context.Context, number uint64, id string, f func(Entry) error) error {
	for from := 0; from < buckets; from += bucketsAtOnce {
		keys, err := s.keysOf(ctx, number, id, from)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(keys, scanWindow) {
			entries, err := s.fetch(ctx, number, id, chunk)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := f(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
