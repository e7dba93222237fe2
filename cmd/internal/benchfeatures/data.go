package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// layout is how events are stored.
type layout struct {
	text   bool   // ids are text
	codec  string // "zstd" or "snappy"
	narrow bool   // only the columns that views read
}

func (l layout) String() string {
	name := "int-" + l.codec
	if l.text {
		name = "string-" + l.codec
	}
	if l.narrow {
		name += "-narrow"
	}
	return name
}

// dataset is a shape's events as stored: a table a day.
type dataset struct {
	Name  string           `json:"name"`
	Dir   string           `json:"dir"`
	Text  bool             `json:"text"`
	First int              `json:"first"` // number of the first day
	Days  []table.Manifest `json:"days"`
}

// last returns the last n days.
func (d *dataset) last(n int) *dataset {
	out := *d
	out.First, out.Days = d.First+len(d.Days)-n, d.Days[len(d.Days)-n:]
	return &out
}

// events is the number of events.
func (d *dataset) events() int64 {
	n := int64(0)
	for _, m := range d.Days {
		n += m.Rows
	}
	return n
}

// day returns the interval of d.Days[i].
func (d *dataset) day(i int) table.Interval { return day(d.First + i) }

// bytes is the size of all files.
func (d *dataset) bytes() int64 {
	n := int64(0)
	for _, m := range d.Days {
		for _, p := range m.Parts {
			n += p.Size
		}
	}
	return n
}

// files are the paths of all parts.
func (d *dataset) files() []string {
	var out []string
	for _, m := range d.Days {
		for _, p := range m.Parts {
			out = append(out, filepath.Join(d.Dir, p.Object))
		}
	}
	return out
}

func (d *dataset) end() time.Time { return d.day(len(d.Days) - 1).End }

// generate writes the events of a shape in all layouts, below dir, or finds them there from an earlier run. Days are made side by side.
func generate(ctx context.Context, dir string, s shape, layouts ...layout) ([]*dataset, error) {
	out := make([]*dataset, len(layouts))
	var missing []int
	var names *ids
	for i, l := range layouts {
		name := fmt.Sprintf("%s-%dk-%v", s.name, s.events/1000, l)
		out[i] = &dataset{Name: name, Dir: filepath.Join(dir, name), Text: l.text, Days: make([]table.Manifest, s.days)}
		switch body, err := os.ReadFile(filepath.Join(out[i].Dir, "manifest.json")); {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, i)
			if l.text && names == nil {
				names = newIDs(s)
			}
		case err != nil:
			return nil, err
		default:
			if err := json.Unmarshal(body, out[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", out[i].Dir, err)
			}
			out[i].Dir = filepath.Join(dir, name) // the folder may have been moved
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // this process's memory is not what is measured
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for d := range s.days {
		g.Go(func() error {
			number, text := rows(d, s.day(d), names)
			for _, i := range missing {
				b := number
				if layouts[i].text {
					b = text
				}
				m, err := store(gctx, filepath.Join(out[i].Dir, day(d).Start.Format("dt="+time.DateOnly)), b, layouts[i])
				if err != nil {
					return err
				}
				out[i].Days[d] = m
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("generate %s: %w", s.name, err)
	}
	for _, i := range missing {
		body, err := json.Marshal(out[i])
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(out[i].Dir, "manifest.json"), body, 0o644); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// store writes rows as a table to the folder of a day, and returns its manifest, whose objects are named from the folder above. (A bucket in a
// folder would sync each object to disk, which is nothing to wait for here.)
func store(ctx context.Context, folder string, b *table.Batch, l layout) (table.Manifest, error) {
	if l.narrow {
		b = &table.Batch{Schema: schema(l.text, true), N: b.N, Cols: b.Cols[:5]}
	}
	memory := storage.NewMemory(nil)
	w := table.NewWriter(memory, filepath.Base(folder), b.Schema, table.WriteOptions{Ordered: true, Codec: l.codec})
	if err := w.Append(b); err != nil {
		return table.Manifest{}, err
	}
	m, err := w.Finish(ctx)
	if err != nil {
		return m, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return m, err
	}
	for _, p := range m.Parts {
		rc, _, err := memory.Get(ctx, p.Object, storage.Range{})
		if err != nil {
			return m, err
		}
		body, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			return m, err
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(folder), p.Object), body, 0o644); err != nil {
			return m, err
		}
	}
	return m, nil
}

// warm reads all files once, so that they stand in the page cache.
func (d *dataset) warm() error {
	var wg sync.WaitGroup
	files := d.files()
	errs := make([]error, len(files))
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, name := range files {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			f, err := os.Open(name)
			if err != nil {
				errs[i] = err
				return
			}
			defer f.Close()
			_, errs[i] = io.Copy(io.Discard, f)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
