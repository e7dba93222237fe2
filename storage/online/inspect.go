package online

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Facts are what a store tells of itself.
type Facts struct {
	Generations []GenerationFacts `json:"generations"` // finished, ascending
	Denied      int               `json:"denied"`
	Server      *ServerFacts      `json:"server,omitempty"` // nil: there is none, or it does not tell
	Faults      []string          `json:"faults"`           // what is damaged, or will be unless something is done
	Warnings    []string          `json:"warnings"`         // what is worth knowing
}

// GenerationFacts are those of one finished generation.
type GenerationFacts struct {
	Number  uint64 `json:"generation"`
	Digest  string `json:"digest"`
	Entries uint64 `json:"entries"`
	Held    uint64 `json:"held"` // entries that stand there: fewer than Entries are damage
	Bytes   int64  `json:"bytes"`
	Live    bool   `json:"live"`
}

// ServerFacts are those of a server.
type ServerFacts struct {
	Version     string `json:"version"`
	Role        string `json:"role"` // master or slave
	UsedMemory  int64  `json:"used_memory"`
	MaxMemory   int64  `json:"max_memory"`      // 0: no bound
	Eviction    string `json:"eviction_policy"` // maxmemory-policy
	Persistence string `json:"persistence"`     // aof, rdb, or none
}

// Inspector is a store that tells of itself. Both do.
type Inspector interface {
	// Inspect reads the facts. It is cheap: no row is read.
	Inspect(ctx context.Context) (Facts, error)
	// Verify reads every row of a finished generation and compares their digest with the recorded one: ErrCorrupt if they differ. It
	// needs no memory to speak of.
	Verify(ctx context.Context, number uint64) error
}

// DenyRestorer is a store that can lose its deny set and know it.
type DenyRestorer interface {
	// RestoreDenied denies owners, as Deny does, and says that with them the deny set is whole again: who calls it knows of everybody.
	RestoreDenied(ctx context.Context, owners ...string) error
}

// Inspect reads the facts of the folder.
func (e *embedded) Inspect(ctx context.Context) (Facts, error) {
	f := Facts{Generations: []GenerationFacts{}, Faults: []string{}, Warnings: []string{}}
	if err := ctx.Err(); err != nil {
		return f, err
	}
	s, err := e.state()
	if err != nil {
		return f, err
	}
	for _, g := range s.Generations {
		held := g.Entries
		t, err := openTable(e.dir, g)
		if err == nil {
			t.release()
		} else {
			held = 0
			f.Faults = append(f.Faults, fmt.Sprintf("generation %d: %v", g.Number, damagedIfLost(err)))
		}
		f.Generations = append(f.Generations, GenerationFacts{g.Number, g.Digest, g.Entries, held, g.Size, s.isLive(g.Number)})
	}
	err = e.log.with(func(d *denySet) { f.Denied = len(d.names) })
	return f, err
}

// Verify reads a table.
func (e *embedded) Verify(ctx context.Context, number uint64) error {
	s, err := e.state()
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("verify generation %d: %w", number, err) }
	g := s.find(number)
	if g == nil {
		return fail(ErrUnknownGeneration)
	}
	t, err := openTable(e.dir, *g)
	if err != nil {
		return fail(damagedIfLost(err))
	}
	defer t.release()
	if err := t.verify(ctx, *g); err != nil {
		return fail(cmp.Or(ctx.Err(), tableError(number, t.path, err)))
	}
	return nil
}

// Inspect reads the facts of the store and its server.
func (s *redisStore) Inspect(ctx context.Context) (Facts, error) {
	f := Facts{Generations: []GenerationFacts{}, Faults: []string{}, Warnings: []string{}}
	p, _, err := s.at(ctx)
	if err != nil && !errors.Is(err, ErrNoGeneration) {
		return f, err
	}
	empty := err != nil
	all, err := s.survey(ctx)
	if err != nil {
		return f, err
	}
	for _, g := range all {
		f.Generations = append(f.Generations, GenerationFacts{g.number, g.Digest, g.Entries, g.held, g.Bytes, !empty && g.number == p.Generation})
		if g.held != g.Entries {
			f.Faults = append(f.Faults, fmt.Sprintf("generation %d: %d of %d rows stand there: %v", g.number, g.held, g.Entries, errLostRows))
		}
	}
	if !empty && !slices.ContainsFunc(f.Generations, func(g GenerationFacts) bool { return g.Live }) {
		f.Faults = append(f.Faults, fmt.Sprintf("generation %d is live, and on no record: %v", p.Generation, errLostRows))
	}
	if f.Denied, err = s.denials(ctx); err != nil {
		if !errors.Is(err, ErrCorrupt) {
			return f, err
		}
		f.Faults = append(f.Faults, err.Error())
	}
	f.Server, err = s.server(ctx)
	if err != nil {
		f.Warnings = append(f.Warnings, fmt.Sprintf("whether it may evict rows is not known: %v", s.failed("INFO", err)))
		return f, nil
	}
	if f.Server.evicts() {
		f.Faults = append(f.Faults, f.Server.evictionFault())
	}
	f.Warnings = append(f.Warnings, f.Server.warnings()...)
	return f, nil
}

// Verify reads a generation.
func (s *redisStore) Verify(ctx context.Context, number uint64) error {
	what := fmt.Sprintf("verify generation %d", number)
	for range maxReopen {
		before, r, err := s.storedRecord(ctx, decimal(number))
		if err != nil {
			return s.failed(what, err)
		}
		if before == "" {
			return s.failed(what, ErrUnknownGeneration)
		}
		var d Digester
		if err := s.eachRow(ctx, number, r.ID, func(e Entry) error { d.Add(e); return nil }); err != nil {
			return s.failed(what, err)
		}
		after, _, err := s.storedRecord(ctx, decimal(number))
		switch {
		case err != nil:
			return s.failed(what, err)
		case after != before:
			continue // an erasure came in between
		case d.Len() != r.Entries:
			return s.failed(what, fmt.Errorf("%d of %d rows stand there: %w", d.Len(), r.Entries, errLostRows))
		case d.Sum() != r.Digest:
			return s.failed(what, fmt.Errorf("%w: its rows do not have its digest (`rapport online load` fills the store again)", ErrCorrupt))
		}
		return nil
	}
	return s.failed(what, errors.New("erasures go on all the time: try again"))
}
