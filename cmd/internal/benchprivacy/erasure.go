package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// erasure measures what it takes to forget some of many people.
func (b *bench) erasure(ctx context.Context) error {
	dir := filepath.Join(b.Dir, "erasure")
	data, key := filepath.Join(dir, "world"), filepath.Join(dir, "key")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer b.drop(dir)
	if err := secret(key); err != nil {
		return err
	}
	w := b.scale.erasure
	if _, err := b.world(ctx, w, data); err != nil {
		return err
	}
	file, err := project(dir, data, key, w, "consent")
	if err != nil {
		return err
	}
	if _, m, err := b.Call(ctx, "-c", file, "run", "nightly", "--step", "ingest", "-o", "json"); err != nil {
		return err
	} else {
		b.Say("erasure", "%d events and the consent of %d people are ingested: %v", w.events, w.people, m)
	}
	var gone []string
	for i := range b.erased {
		gone = append(gone, person(i*(w.people/b.erased)))
	}
	ids := filepath.Join(dir, "ids")
	if err := os.WriteFile(ids, []byte(strings.Join(gone, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	lake := filepath.Join(dir, "lake")
	var hold holding
	if err := benchmark.Delegate(ctx, question{lake, key, gone}, &hold, "-child", "held"); err != nil {
		return err
	}
	before, err := sizes(filepath.Join(lake, "data"))
	if err != nil {
		return err
	}
	copied, size, err := copyFiles(lake, filepath.Join(dir, "copy"), hold.Files)
	if err != nil {
		return err
	}
	if err := b.drop(filepath.Join(dir, "copy"), data); err != nil {
		return err
	}
	began := time.Now()
	body, m, err := b.Call(ctx, "-c", file, "subject", "erase", "--ids", ids, "-o", "json")
	if err != nil {
		return err
	}
	var erased struct {
		Denied time.Time
		Known  int
		Rows   int64 `json:"rows_removed"`
	}
	if err := json.Unmarshal(body, &erased); err != nil {
		return fmt.Errorf("rapport subject erase: %w", err)
	}
	if erased.Known != b.erased {
		return fmt.Errorf("%d people were erased, and %d of them were known", b.erased, erased.Known)
	}
	after, err := sizes(filepath.Join(lake, "data"))
	if err != nil {
		return err
	}
	var written int64
	for name, n := range after {
		if _, stood := before[name]; !stood {
			written += n
		}
	}
	b.Say("erasure", "%d of %d people, %d rows: they stood in %d of %d files, of %.1f MB", b.erased, w.people, erased.Rows, len(hold.Files), len(before), float64(size)/1e6)
	b.Say("erasure", "%v; %.1f MB were written; denied after %.2f s", m, float64(written)/1e6, erased.Denied.Sub(began).Seconds())
	b.Say("erasure", "a copy of these files, synced: %.2f s; the erasure takes %.1f times as long", copied.Seconds(), m.Seconds/copied.Seconds())
	b.AtMost("privacy_erasure_written", float64(written)/float64(size), 1.2)
	b.AtMost("privacy_denial_among_a_million_s", erased.Denied.Sub(began).Seconds(), 1)
	return nil
}

// question asks which files of a lake hold some people.
type question struct {
	Lake, Key string
	People    []string
}

// holding are the files, below the lake.
type holding struct{ Files []string }

// held looks for people in the columns of every table.
func held(ctx context.Context, q question) (out holding, err error) {
	b, err := storage.Open(ctx, "file:"+q.Lake, storage.Options{})
	if err != nil {
		return out, err
	}
	body, err := os.ReadFile(q.Key)
	if err != nil {
		return out, err
	}
	text, err := event.ParseSecret(body)
	if err != nil {
		return out, err
	}
	keys, err := event.NewKeys("k1", text)
	if err != nil {
		return out, err
	}
	ids, err := event.OpenIdentities(ctx, b, keys)
	if err != nil {
		return out, err
	}
	gone := map[policy.Subject]bool{}
	for _, p := range q.People {
		if s, ok := ids.Find(p); ok {
			gone[s] = true
		}
	}
	for c, err := range (table.Store{Bucket: b}).List(ctx, "") {
		if err != nil {
			return out, err
		}
		for _, m := range c.Outputs {
			if m.Schema.Index(event.ColSubject) < 0 {
				continue
			}
			for _, p := range m.Parts {
				found, err := holds(ctx, b, m, p, gone)
				if err != nil {
					return out, err
				}
				if found {
					out.Files = append(out.Files, p.Object)
				}
			}
		}
	}
	return out, nil
}

func holds(ctx context.Context, b storage.Bucket, m table.Manifest, p table.Part, gone map[policy.Subject]bool) (bool, error) {
	m.Parts, m.Rows = []table.Part{p}, p.Rows
	for rows, err := range table.Read(ctx, b, m, table.ReadOptions{Columns: []string{event.ColSubject}}) {
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(rows.Cols[0].Int, func(s int64) bool { return gone[policy.Subject(s)] }) {
			return true, nil
		}
	}
	return false, nil
}

// sizes are those of the files below a folder, by path.
func sizes(folder string) (map[string]int64, error) {
	out := map[string]int64{}
	return out, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out[path] = info.Size()
		}
		return err
	})
}

// copyFiles copies files into a folder, one after another, each synced, and tells how long that took and how many bytes they have.
func copyFiles(from, to string, files []string) (took time.Duration, size int64, err error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for i, name := range files {
		n, err := copyFile(filepath.Join(from, name), filepath.Join(to, fmt.Sprint(i)))
		if err != nil {
			return 0, 0, err
		}
		size += n
	}
	return time.Since(began), size, nil
}

func copyFile(from, to string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	n, err := io.Copy(out, in)
	if err != nil {
		return n, err
	}
	return n, out.Sync()
}
