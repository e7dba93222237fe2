package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// keeper is an engine that keeps a state and a tile of the views of each key, and notes what it is given to go on from. Its states are the interval's end and
// all subjects' numbers: what must not outlive an erasure. It computes all views from all events.
type keeper struct {
	features.Engine
	t      testing.TB
	builds []priorSeen
}

// priorSeen is what a build was given.
type priorSeen struct {
	end    time.Time       // of the prior; zero: there was none
	states int             // rows
	tiles  map[string]bool // by key and interval: those there were
	left   int             // events that have left the longest window since the prior
}

const stateDay = "2006-01-02"

func (k *keeper) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	seen := priorSeen{tiles: map[string]bool{}}
	inner := p
	inner.Prior, inner.State, inner.Tile = nil, nil, nil
	if p.Prior != nil {
		seen.end = p.Prior.End
		if err := k.read(ctx, p, &seen); err != nil {
			return features.Stats{}, err
		}
	}
	k.builds = append(k.builds, seen)
	subjects := map[int64]bool{}
	inner.Events = func(ctx context.Context, w table.Interval) ([]features.Split, error) {
		splits, err := p.Events(ctx, w)
		for _, s := range splits {
			for b, err := range s.Read(ctx, []string{"subject"}) {
				if err != nil {
					return nil, err
				}
				for _, n := range b.Col("subject").Int {
					subjects[n] = true
				}
			}
		}
		return splits, err
	}
	stats, err := k.Engine.Build(ctx, inner)
	if err != nil || p.State == nil {
		return stats, err
	}
	state := []byte(p.Interval.End.Format(stateDay))
	for n := range subjects {
		state = binary.LittleEndian.AppendUint64(state, uint64(n))
	}
	for kind, to := range map[features.TableKind]func(string, *table.Batch) error{features.StateTable: p.State, features.TileTable: p.Tile} {
		for _, key := range features.Keys(p.Views) {
			err := to(key, &table.Batch{Schema: features.StateSchema(), N: 1, Cols: []table.Column{{Int: []int64{0}}, {Str: []string{string(state)}}}})
			if err == nil && p.Whole != nil {
				err = p.Whole(kind, key)
			}
			if err != nil {
				return stats, err
			}
		}
	}
	if p.Prior != nil {
		stats.Prior, stats.States = &p.Prior.End, int64(seen.states)
	}
	return stats, nil
}

// read reads all of a prior, and what has left the windows.
func (k *keeper) read(ctx context.Context, p features.Plan, seen *priorSeen) error {
	check := func(splits []features.Split, end time.Time) error {
		for _, s := range splits {
			for b, err := range s.Read(ctx, nil) {
				if err != nil {
					return err
				}
				for _, state := range b.Col(features.StateColumn).Str {
					if !strings.HasPrefix(state, end.Format(stateDay)) {
						k.t.Errorf("a state of %s says %.10s", end, state)
					}
				}
				seen.states += b.N
			}
		}
		return nil
	}
	for _, v := range p.Views {
		if err := check(p.Prior.State[v.Key], p.Prior.End); err != nil {
			return err
		}
		for _, w := range v.Windows {
			gone := table.Interval{Start: p.Prior.End.Add(-w), End: p.Interval.End.Add(-w)}
			splits, ok := p.Prior.Tile(v.Key, gone)
			if seen.tiles[v.Key+" "+gone.Start.Format(stateDay)] = ok; ok {
				if err := check(splits, gone.End); err != nil {
					return err
				}
			}
		}
	}
	longest := features.RetentionNeeded(p.Views)
	splits, err := p.Events(ctx, table.Interval{Start: p.Prior.End.Add(-longest), End: p.Interval.End.Add(-longest)})
	for _, s := range splits {
		for b, err := range s.Read(ctx, []string{"item"}) {
			if err != nil {
				return err
			}
			seen.left += b.N
		}
	}
	return err
}

// keep makes the shop's engine one that notes what it is given.
func (s *shop) keep() *keeper {
	k := &keeper{Engine: s.runner.Engine, t: s.TB}
	s.runner.Engine = k
	return k
}

// buildFacts are the facts of the last build of a day.
func (s *shop) buildFacts(day int) (f struct {
	From  string         `json:"from"`
	Anew  string         `json:"read_all"`
	Prior *time.Time     `json:"prior"`
	Rests map[string]any `json:"rests_on"`
},
) {
	s.Helper()
	c := s.lastBuild(day)
	if err := json.Unmarshal(c.Facts, &f); err != nil {
		s.Fatal(err)
	}
	return f
}

func (s *shop) lastBuild(day int) *table.Commit {
	s.Helper()
	var last *table.Commit
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "build/"+s.job.Every.Label(s.interval(day))+"/") {
		if err != nil {
			s.Fatal(err)
		}
		if last == nil || c.At.After(last.At) {
			last = c
		}
	}
	if last == nil {
		s.Fatalf("day %d has not been built", day)
	}
	return last
}

// buildNight runs the night after a day as far as its views.
func (s *shop) buildNight(day int) {
	s.Helper()
	s.runner.Now = func() time.Time { return nightAfter(day) }
	if _, err := s.runner.Run(s.Context(), s.job, s.interval(day), jobs.Options{Through: jobs.ThroughBuild, Cause: "schedule"}); err != nil {
		s.Fatalf("night after day %d: %v", day, err)
	}
}

// TestPrior: a build goes on from the newest earlier one whose days and people are as they were, and says why where it does not. Days that the run itself
// does not read any more are read once more as their events leave.
func TestPrior(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.job.Window = 2 * 24 * time.Hour // of training: shorter than the windows of views
	s.job.Last, s.job.Weigh, s.job.Rerank = 12*time.Hour, 12*time.Hour, 0
	k := s.keep()
	last := func() priorSeen { return k.builds[len(k.builds)-1] }

	s.buildNight(5)
	if got := last(); !got.end.IsZero() || !strings.Contains(s.buildFacts(5).Anew, "none of the 16 intervals before has been built") {
		t.Errorf("the first build goes on from %v; %q", got.end, s.buildFacts(5).Anew)
	}
	s.buildNight(6)
	got, from := last(), s.lastBuild(5)
	if !got.end.Equal(s.interval(5).End) || got.states == 0 || s.buildFacts(6).From != from.Key || s.buildFacts(6).Prior == nil {
		t.Errorf("the second build goes on from %v (%d rows of state), %q", got.end, got.states, s.buildFacts(6).From)
	}
	if want := map[string]bool{"subject 2026-01-06": true, "subject 2026-01-04": false, "subject 2025-12-31": false, "item 2026-01-06": true, "item 2026-01-04": false}; !same(got.tiles, want) {
		t.Errorf("tiles %v, want %v", got.tiles, want)
	}
	s.buildNight(7)
	if got := last(); !got.end.Equal(s.interval(6).End) || got.left == 0 || !got.tiles["subject 2026-01-07"] {
		t.Errorf("the third build: %+v", got)
	}

	night8 := func(when string, change func(c *shop), want string) {
		t.Run(when, func(t *testing.T) {
			c := s.clone(t)
			c.ownSources()
			c.runner.Engine = &keeper{Engine: k.Engine, t: t}
			c.runner.Now = func() time.Time { return nightAfter(7) }
			change(c)
			c.buildNight(7)
			builds := c.runner.Engine.(*keeper).builds
			facts := c.buildFacts(7)
			if want == "" {
				if len(builds) != 1 || builds[0].end.IsZero() {
					t.Errorf("it reads all events: %s", facts.Anew)
				}
				return
			}
			if len(builds) == 0 || !builds[len(builds)-1].end.IsZero() || !strings.Contains(facts.Anew, want) {
				t.Errorf("%d builds, %q, want %q", len(builds), facts.Anew, want)
			}
		})
	}
	// Each of these changes the key of the last night's build, or takes it away, and that of the nights before with it.
	again := func(c *shop) {
		for _, b := range []string{c.lastBuild(7).Key} {
			if err := c.opened.Bucket.Delete(c.Context(), "done/"+b); err != nil {
				c.Fatal(err)
			}
		}
	}
	id := fmt.Sprintf("u%06d", 3)
	night8("nothing has changed", again, "")
	night8("somebody refuses", func(c *shop) { c.refuse(c.activeID()) }, "whose data may be used has changed")
	night8("somebody withdraws", func(c *shop) { again(c); c.withdraw(c.activeID(), nightAfter(6)) }, "whose data may be used has changed")
	night8("a late file", func(c *shop) {
		writeParquet(c.TB, c.raw, eventsKey(4, "late"), readParquet[rawEvent](c.TB, c.raw, eventsKey(4, "part-0"))[:30])
	}, "1 has changed since: 2026-01-05")
	night8("other files of the same rows", func(c *shop) {
		writeParquet(c.TB, c.raw, eventsKey(4, "again"), readParquet[rawEvent](c.TB, c.raw, eventsKey(4, "part-0")))
		if err := c.raw.Delete(c.Context(), eventsKey(4, "part-0")); err != nil {
			c.Fatal(err)
		}
	}, "")
	night8("an erasure", func(c *shop) {
		again(c)
		if _, err := c.runner.Erase(c.Context(), []*jobs.Job{c.job}, []string{id}); err != nil {
			c.Fatal(err)
		}
	}, "what it kept has been removed, by an erasure or by gc")
	night8("other features", func(c *shop) {
		views := slices.Clone(c.job.Views)
		views[0].Windows = []time.Duration{24 * time.Hour}
		c.job.Views = views
	}, "that of 2026-01-07 was built by other definitions ("+s.job.Views[0].Name+"): where one view changes")
	night8("retention is short", func(c *shop) { c.job.Training.Keep = map[string]time.Duration{"events": 3 * 24 * time.Hour} }, "keep.events (3d) is shorter than the longest window")
	night8("a state is damaged", func(c *shop) {
		again(c)
		p := c.lastBuild(6).Outputs["state.item"].Parts[0]
		if _, err := c.opened.Bucket.Put(c.Context(), p.Object, storage.Bytes(make([]byte, p.Size)), storage.Cond{}); err != nil {
			c.Fatal(err)
		}
	}, "can't be read")
	night8("a day that leaves is gone", func(c *shop) {
		again(c)
		for info, err := range c.opened.Bucket.List(c.Context(), "done/ingest/2026-01-01/", storage.ListOpt{}) {
			if err != nil {
				c.Fatal(err)
			}
			if err := c.opened.Bucket.Delete(c.Context(), info.Key); err != nil {
				c.Fatal(err)
			}
		}
	}, "day 2026-01-01, whose events leave the longest window now, is gone")
}

// ownSources gives a clone raw files and a job of its own.
func (s *shop) ownSources() {
	s.Helper()
	raw := storage.NewMemory(nil)
	for key, body := range objects(s.TB, s.raw) {
		if _, err := raw.Put(s.Context(), key, storage.Bytes(body), storage.Cond{}); err != nil {
			s.Fatal(err)
		}
	}
	job := *s.job
	s.raw, s.job, job.Events.Bucket = raw, &job, raw
	for _, a := range []**jobs.AttributeSource{&job.Items, &job.Subjects, &job.Cohorts} {
		own := **a
		own.Data.Bucket = raw
		*a = &own
	}
	consent := *job.Consent
	consent.Bucket = raw
	job.Consent = &consent
}

// activeID is somebody whose events count.
func (s *shop) activeID() string {
	s.Helper()
	ids, err := event.OpenIdentities(s.Context(), s.opened.Bucket, s.opened.Keys)
	if err != nil {
		s.Fatal(err)
	}
	active := map[int64]bool{}
	for b, err := range table.Read(s.Context(), s.opened.Bucket, s.lastBuild(6).Outputs["activity"], table.ReadOptions{}) {
		if err != nil {
			s.Fatal(err)
		}
		for _, n := range b.Col("entity").Int {
			active[n] = true
		}
	}
	for i := range smallWorld.Users {
		id := fmt.Sprintf("u%06d", i+1)
		if n, ok := ids.Find(id); ok && active[int64(n)] {
			return id
		}
	}
	s.Fatal("nobody is active")
	return ""
}

// TestErasureOfStates: what builds keep for later ones holds no trace of who was erased: it goes as a whole.
func TestErasureOfStates(t *testing.T) {
	s := newShop(t, smallWorld)
	s.keep()
	s.night(5)
	s.night(6)
	id := s.admitted(1)[0]
	traces := s.traces(id)
	states := func() (where []string) {
		s.scan(traces, func(form, at string) {
			if strings.Contains(at, "/state.") || strings.Contains(at, "/tile.") {
				where = append(where, form+" in "+at)
			}
		})
		return where
	}
	if found := strings.Join(states(), "\n"); !strings.Contains(found, "state.item") || !strings.Contains(found, "tile.item") || !strings.Contains(found, "state.subject") {
		t.Fatalf("before the erasure the scan finds a subject only in %s", found)
	}
	if _, err := s.erase(id); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", map[string]map[string][]byte{id: traces})
	var kept []string
	for name := range s.lastBuild(6).Outputs {
		kept = append(kept, name)
	}
	slices.Sort(kept)
	if want := []string{"activity", "demand"}; !slices.Equal(kept, want) {
		t.Errorf("after an erasure a build has %v, want %v", kept, want)
	}
	s.night(7)
	s.noTrace("after the next night", map[string]map[string][]byte{id: traces})
}

// TestRetiredStates: the bucket does not grow by a state a night: those of 16 intervals are kept, and tiles as long as a window reaches back to them. What no
// run passed by goes with gc.
func TestRetiredStates(t *testing.T) {
	w := synth.World{Users: 20, Items: 20, Days: 24, Seed: 3, EventsPerUser: 60, Start: smallWorld.Start}
	s := newShop(t, w)
	s.keep()
	views := slices.Clone(s.job.Views)
	for i := range views {
		views[i].Windows = []time.Duration{24 * time.Hour, 48 * time.Hour}
	}
	s.job.Views, s.job.Window, s.job.Floor = views, 48*time.Hour, 0
	s.job.Last, s.job.Weigh, s.job.Rerank = 12*time.Hour, 12*time.Hour, 0
	keeps := func(output string) (days []int) {
		for day := range w.Days {
			for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(t.Context(), "build/"+s.job.Every.Label(s.interval(day))+"/") {
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := c.Outputs[output]; ok {
					days = append(days, day)
				}
			}
		}
		return days
	}
	for day := 1; day < w.Days; day++ {
		if day != 4 { // the night that a run would have retired day 4's state in passes by, later
			s.buildNight(day)
		}
	}
	if got := keeps("state.subject"); got[0] != 7 || len(got) != 17 || got[16] != 23 {
		t.Errorf("states of days %v are kept", got)
	}
	if got := keeps("tile.item"); got[0] != 5 || got[len(got)-1] != 23 {
		t.Errorf("tiles of days %v are kept", got)
	}
	before := s.made("build/")
	u, err := s.runner.Usage(t.Context())
	if err != nil || u.Garbage == 0 { // the state of day 7, and the tile of day 5, and the tile of day 6
		t.Errorf("du: %d bytes of garbage (%v)", u.Garbage, err)
	}
	s.runner.Wall = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	out, err := s.runner.Collect(t.Context(), 7*24*time.Hour, false)
	if err != nil || len(out.Removed) == 0 {
		t.Fatalf("gc removes %d objects (%v)", len(out.Removed), err)
	}
	if got := keeps("state.subject"); len(got) != 16 || got[0] != 8 {
		t.Errorf("after gc the states of days %v are kept", got)
	}
	if u, err := s.runner.Usage(t.Context()); err != nil || u.Garbage != 0 {
		t.Errorf("du after gc: %d bytes of garbage (%v)", u.Garbage, err)
	}
	if after := s.made("build/"); !slices.Equal(after, before) {
		t.Error("gc changed a view")
	}
	for day := 1; day < w.Days; day++ {
		for name, m := range s.lastBuildOr(day) {
			for _, p := range m.Parts {
				if _, err := s.opened.Bucket.Head(t.Context(), p.Object); err != nil {
					t.Errorf("day %d, %s: %v", day, name, err)
				}
			}
		}
	}
}

// lastBuildOr is the outputs of a day's last build, or nothing.
func (s *shop) lastBuildOr(day int) map[string]table.Manifest {
	for range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "build/"+s.job.Every.Label(s.interval(day))+"/") {
		return s.lastBuild(day).Outputs
	}
	return nil
}

// TestPriorIsExact: views that go on from earlier builds are those that read all events, to the bit: night after night, with a night left out, backwards, and
// several at once.
func TestPriorIsExact(t *testing.T) {
	const first, last = 4, 7
	shops := map[string]*shop{}
	from := map[string]int{}
	for _, how := range []string{"backwards", "forwards", "a night left out", "at once"} {
		s := newShop(t, smallWorld)
		s.quick()
		shops[how] = s
		switch how {
		case "at once":
			s.runner.Now = func() time.Time { return nightAfter(last) }
			o := jobs.BackfillOptions{From: s.interval(first).Start, To: s.interval(last).End, Through: jobs.ThroughBuild, Active: 3}
			if _, err := s.backfillAll(o); err != nil {
				t.Fatal(err)
			}
		case "backwards":
			for day := last; day >= first; day-- {
				s.buildNight(day)
			}
		default:
			for day := first; day <= last; day++ {
				if how == "forwards" || day != 6 {
					s.buildNight(day)
				}
			}
			if how != "forwards" {
				s.buildNight(6)
			}
		}
		for day := first; day <= last; day++ {
			if s.buildFacts(day).Prior != nil {
				from[how]++
			}
		}
	}
	for how, s := range shops {
		for day := first; day <= last; day++ {
			got, want := s.lastBuild(day), shops["backwards"].lastBuild(day)
			if made := madeBy(t, want); madeBy(t, got) != made {
				t.Errorf("%s, day %d:\n%s\nwant\n%s", how, day, madeBy(t, got), made)
			}
		}
	}
	if from["backwards"] != 0 || from["forwards"] != last-first || from["a night left out"] < 2 { // after a gap it may be no shorter
		t.Errorf("builds that go on from another: %v", from)
	}
}
