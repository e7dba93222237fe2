package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// joins measures what records of consent add to an ingest.
func (b *bench) joins(ctx context.Context) error {
	dir := filepath.Join(b.Dir, "join")
	data, key := filepath.Join(dir, "world"), filepath.Join(dir, "key")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer b.drop(dir)
	if err := secret(key); err != nil {
		return err
	}
	m, err := b.world(ctx, b.join, data)
	if err != nil {
		return err
	}
	b.Say("join", "%d events of %d people in %d days, %d records of consent", m.Events, b.join.people, b.join.days, m.Records)
	sides := []*side{{basis: "consent"}, {basis: "legitimate-interest"}}
	for _, s := range sides {
		s.folder = filepath.Join(dir, s.basis)
		if s.file, err = project(s.folder, data, key, b.join, s.basis); err != nil {
			return err
		}
	}
	agreed, plain := sides[0], sides[1]
	_, feed, err := b.Call(ctx, "-c", agreed.file, "consent", "sync", "-o", "json")
	if err != nil {
		return err
	}
	b.Say("join", "the feed is read, its people numbered, the snapshot written, once: %v", feed)
	begin := filepath.Join(dir, "begin")
	if err := os.Rename(filepath.Join(agreed.folder, "lake"), begin); err != nil {
		return err
	}
	for turn := range b.turns {
		for _, s := range []*side{sides[turn%2], sides[1-turn%2]} {
			if err := b.ingest(ctx, s, begin); err != nil {
				return err
			}
			b.Say("join", "%-19s %v; %d rows kept", s.basis, s.took[turn], s.kept)
		}
	}
	wall, cpu := agreed.median(seconds)/plain.median(seconds)-1, agreed.median(processor)/plain.median(processor)-1
	more := (agreed.median(resident) - plain.median(resident)) / 1e6
	b.Say("join", "records add %.1f %% to the wall time, %.1f %% to the processor time and %.0f MB to the peak", 100*wall, 100*cpu, more)
	b.AtMost("privacy_join_share", wall, 0.05)
	b.AtMost("privacy_join_mb", more, 300)
	return nil
}

// side is one of the two that are compared.
type side struct {
	basis, folder, file string
	kept                int64
	took                []benchmark.Measured
}

func seconds(m benchmark.Measured) float64   { return m.Seconds }
func processor(m benchmark.Measured) float64 { return m.CPU }
func resident(m benchmark.Measured) float64  { return float64(m.RSS) }

func (s *side) median(of func(benchmark.Measured) float64) float64 {
	var values []float64
	for _, m := range s.took {
		values = append(values, of(m))
	}
	return benchmark.Median(values)
}

// ingest runs a side's ingest in a lake that holds what it begins with.
func (b *bench) ingest(ctx context.Context, s *side, begin string) error {
	lake := filepath.Join(s.folder, "lake")
	if err := os.RemoveAll(lake); err != nil {
		return err
	}
	from, to := begin, lake
	if s.basis != "consent" {
		from, to = filepath.Join(begin, "identity"), filepath.Join(lake, "identity")
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	args := []string{"-c", s.file, "run", "nightly", "--step", "ingest", "-o", "json"}
	body, m, err := b.Call(ctx, args...)
	if err != nil {
		return err
	}
	var run struct {
		Steps []struct {
			Name string
			Rows int64 `json:"rows_out"`
		}
	}
	if err := json.Unmarshal(body, &run); err != nil {
		return fmt.Errorf("rapport run: %w", err)
	}
	s.kept = 0
	for _, x := range run.Steps {
		if x.Name == "ingest" {
			s.kept += x.Rows
		}
	}
	s.took = append(s.took, m)
	return os.RemoveAll(lake)
}
