package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

func rules(t *testing.T, expr, every, zone string, o Overlap, catchUp time.Duration) Rules {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	due, err := Parse(expr, loc)
	if err != nil {
		t.Fatal(err)
	}
	e, err := table.EveryOf(every, loc)
	if err != nil {
		t.Fatal(err)
	}
	return Rules{Due: due, Every: e, Overlap: o, CatchUp: catchUp}
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Over a year in zones with every kind of daylight saving, each interval starts exactly once, in order, and never before it has closed.
func TestEachIntervalOfAYearStartsOnce(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"} {
		for _, c := range []struct{ expr, every string }{
			{"0 3 * * *", "1d"},
			{"30 2 * * *", "1d"},
			{"0 0 * * *", "1d"},
			{"*/20 2 * * *", "1d"},
			{"0 5,17 * * *", "1d"},
			{"0 4 * * 1", "1w"},
			{"0 4 * * 1", "1d"},
			{"5 * * * *", "1h"},
			{"15 */6 * * *", "6h"},
			{"@daily", "1d"},
			{"@every 6h", "6h"},
		} {
			if c.every == "1h" && zone != "Europe/Berlin" && zone != "Australia/Lord_Howe" {
				continue
			}
			t.Run(strings.ReplaceAll(fmt.Sprint(zone, " ", c.expr, " ", c.every), "/", "|"), func(t *testing.T) {
				r := rules(t, c.expr, c.every, zone, Skip, 0)
				now, end := at(t, "2026-01-01T12:00:00Z"), at(t, "2027-01-01T12:00:00Z")
				a := NewAgenda(r, now)
				var started []table.Interval
				for ; now.Before(end); now = a.Wake(now) {
					dropped, cancel := a.Tick(now)
					if len(dropped) > 0 || cancel {
						t.Fatalf("%s: dropped %v, cancel %t", now, dropped, cancel)
					}
					for {
						e, _, ok := a.Start(now)
						if !ok {
							break
						}
						if e.Interval.End.After(now) || e.Due.After(now) {
							t.Fatalf("%s starts at %s, due %s", e.Interval, now, e.Due)
						}
						started = append(started, e.Interval)
						a.Finished(e)
					}
				}
				want := r.Every.Between(started[0].Start, started[len(started)-1].End)
				if !slices.Equal(started, want) {
					t.Errorf("%d intervals started, %d closed", len(started), len(want))
				}
				if first, last := started[0].Start.Sub(at(t, "2026-01-01T12:00:00Z")).Abs(), end.Sub(started[len(started)-1].End); first > 8*24*time.Hour || last > 8*24*time.Hour {
					t.Errorf("only from %s to %s", started[0], started[len(started)-1])
				}
			})
		}
	}
}

// play drives an agenda whose runs take as long as took says, and tells in words what happened and when.
func play(t *testing.T, r Rules, from, to string, took func(day int) time.Duration) []string {
	t.Helper()
	now, end := at(t, from), at(t, to)
	a := NewAgenda(r, now)
	type running struct {
		Entry
		ends time.Time
	}
	var out []string
	var runs []running
	say := func(what string, iv table.Interval) {
		out = append(out, fmt.Sprintf("%s %s %s", now.UTC().Format("02T15:04"), what, r.Every.Label(iv)[8:]))
	}
	for !now.After(end) {
		for i := 0; i < len(runs); i++ {
			if !runs[i].ends.After(now) {
				say("ends", runs[i].Interval)
				a.Finished(runs[i].Entry)
				runs = slices.Delete(runs, i, i+1)
				i--
			}
		}
		dropped, cancel := a.Tick(now)
		if cancel {
			for _, x := range runs {
				say("cancelled", x.Interval)
				a.Finished(x.Entry)
			}
			runs = nil
		}
		for {
			e, late, ok := a.Start(now)
			dropped = append(dropped, late...)
			if !ok {
				break
			}
			say("starts", e.Interval)
			runs = append(runs, running{e, now.Add(took(e.Interval.Start.Day()))})
		}
		for _, d := range dropped {
			say("drops", d.Interval)
		}
		next := a.Wake(now)
		for _, x := range runs {
			if next.IsZero() || x.ends.Before(next) {
				next = x.ends
			}
		}
		if !next.After(now) {
			t.Fatalf("it would not sleep at %s", now)
		}
		now = next
	}
	return out
}

func TestOverlap(t *testing.T) {
	// The night of the 2nd takes 30 hours, all others one.
	took := func(day int) time.Duration {
		if day == 2 {
			return 30 * time.Hour
		}
		return time.Hour
	}
	for _, c := range []struct {
		policy  Overlap
		catchUp time.Duration
		want    string
	}{
		{Skip, 0, "03T03:00 starts 02, 04T03:00 drops 03, 04T09:00 ends 02, 05T03:00 starts 04, 05T04:00 ends 04"},
		{Skip, 2 * time.Hour, "03T03:00 starts 02, 04T09:00 ends 02, 04T09:00 drops 03, 05T03:00 starts 04, 05T04:00 ends 04"},
		{Skip, 12 * time.Hour, "03T03:00 starts 02, 04T09:00 ends 02, 04T09:00 starts 03, 04T10:00 ends 03, 05T03:00 starts 04, 05T04:00 ends 04"},
		{BufferOne, 0, "03T03:00 starts 02, 04T09:00 ends 02, 04T09:00 starts 03, 04T10:00 ends 03, 05T03:00 starts 04, 05T04:00 ends 04"},
		{CancelOther, 0, "03T03:00 starts 02, 04T03:00 cancelled 02, 04T03:00 starts 03, 04T04:00 ends 03, 05T03:00 starts 04, 05T04:00 ends 04"},
		{AllowAll, 0, "03T03:00 starts 02, 04T03:00 starts 03, 04T04:00 ends 03, 04T09:00 ends 02, 05T03:00 starts 04, 05T04:00 ends 04"},
	} {
		got := strings.Join(play(t, rules(t, "0 3 * * *", "1d", "UTC", c.policy, c.catchUp), "2026-03-02T16:00:00Z", "2026-03-05T12:00:00Z", took), ", ")
		if got != c.want {
			t.Errorf("%s, catch-up %s:\n%s\nwant\n%s", c.policy, c.catchUp, got, c.want)
		}
	}
}

// A buffer of one holds the latest: what fell due before it gives way.
func TestBufferHoldsTheLatest(t *testing.T) {
	got := strings.Join(play(t, rules(t, "0 3 * * *", "1d", "UTC", BufferOne, 0), "2026-03-02T12:00:00Z", "2026-03-06T12:00:00Z", func(day int) time.Duration {
		if day == 2 {
			return 56 * time.Hour
		}
		return time.Hour
	}), ", ")
	if want := "03T03:00 starts 02, 05T03:00 drops 03, 05T11:00 ends 02, 05T11:00 starts 04, 05T12:00 ends 04, 06T03:00 starts 05, 06T04:00 ends 05"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A server that was away starts what fell due within the window, oldest first, and each once; without a window only what is a little late.
func TestCatchUp(t *testing.T) {
	hour := func(int) time.Duration { return time.Hour }
	for _, c := range []struct {
		catchUp time.Duration
		from    string
		want    string
	}{
		{0, "2026-03-05T12:00:00Z", "06T03:00 starts 05, 06T04:00 ends 05"},
		{0, "2026-03-05T03:04:00Z", "05T03:04 starts 04, 05T04:04 ends 04, 06T03:00 starts 05, 06T04:00 ends 05"},
		{0, "2026-03-05T03:06:00Z", "06T03:00 starts 05, 06T04:00 ends 05"},
		{60 * time.Hour, "2026-03-05T12:00:00Z", "05T12:00 starts 02, 05T13:00 ends 02, 05T13:00 starts 03, 05T14:00 ends 03, 05T14:00 starts 04, 05T15:00 ends 04, 06T03:00 starts 05, 06T04:00 ends 05"},
		{9 * time.Hour, "2026-03-05T12:00:00Z", "05T12:00 starts 04, 05T13:00 ends 04, 06T03:00 starts 05, 06T04:00 ends 05"},
		{9*time.Hour - time.Minute, "2026-03-05T12:00:00Z", "06T03:00 starts 05, 06T04:00 ends 05"},
	} {
		got := strings.Join(play(t, rules(t, "0 3 * * *", "1d", "UTC", Skip, c.catchUp), c.from, "2026-03-06T12:00:00Z", hour), ", ")
		if got != c.want {
			t.Errorf("catch-up %s from %s:\n%s\nwant\n%s", c.catchUp, c.from, got, c.want)
		}
	}
}

// A process that slept through firings is like one that was away; a clock that is set back fires nothing twice.
func TestClockJumps(t *testing.T) {
	a := NewAgenda(rules(t, "0 3 * * *", "1d", "UTC", Skip, 30*time.Hour), at(t, "2026-03-03T02:00:00Z"))
	for range 2 { // what fell due before
		a.Tick(at(t, "2026-03-03T02:00:00Z"))
		if e, _, ok := a.Start(at(t, "2026-03-03T02:00:00Z")); ok {
			a.Finished(e)
		}
	}
	now := at(t, "2026-03-05T08:30:00Z") // asleep for nearly three days
	dropped, _ := a.Tick(now)
	if len(dropped) != 1 || dropped[0].Interval.Start.Day() != 2 || !strings.Contains(dropped[0].Why, "nobody was there") {
		t.Errorf("dropped %v", dropped)
	}
	for _, day := range []int{3, 4} {
		e, _, ok := a.Start(now)
		if !ok || e.Interval.Start.Day() != day {
			t.Fatalf("starts %v, %t; want day %d", e, ok, day)
		}
		a.Finished(e)
	}
	for _, back := range []string{"2026-03-04T02:59:00Z", "2026-03-04T03:01:00Z", "2026-03-05T07:59:00Z"} {
		a.Tick(at(t, back))
		if e, _, ok := a.Start(at(t, back)); ok {
			t.Errorf("at %s, set back, it starts %v again", back, e)
		}
	}
}

// What is tried again starts at its time, does not hold up what is newer, and is given up when the next interval falls due.
func TestAgain(t *testing.T) {
	a := NewAgenda(rules(t, "0 3 * * *", "1d", "UTC", Skip, 48*time.Hour), at(t, "2026-03-04T12:00:00Z"))
	now := at(t, "2026-03-04T12:00:00Z")
	a.Tick(now)
	first, _, _ := a.Start(now) // the 2nd
	if _, _, ok := a.Start(now); ok {
		t.Fatal("two run at once")
	}
	a.Again(first, now.Add(time.Hour))
	second, _, ok := a.Start(now)
	if !ok || second.Interval.Start.Day() != 3 {
		t.Fatalf("then %v", second)
	}
	a.Finished(second)
	if w := a.Wake(now); !w.Equal(now.Add(time.Hour)) {
		t.Errorf("it wakes at %s", w)
	}
	if _, _, ok := a.Start(now.Add(59 * time.Minute)); ok {
		t.Error("it is tried too early")
	}
	again, _, ok := a.Start(now.Add(time.Hour))
	if !ok || again.Interval != first.Interval {
		t.Fatalf("it is not tried again: %v", again)
	}
	a.Again(again, now.Add(48*time.Hour))
	dropped, _ := a.Tick(at(t, "2026-03-05T03:00:00Z"))
	if len(dropped) != 1 || dropped[0].Interval != first.Interval {
		t.Errorf("when the next is due, %v is given up", dropped)
	}
}

// What another process runs counts as running: it is looked at again, and meets the overlap policy when the next interval falls due.
func TestElsewhere(t *testing.T) {
	now := at(t, "2026-03-04T12:00:00Z")
	a := NewAgenda(rules(t, "0 3 * * *", "1d", "UTC", Skip, 48*time.Hour), now)
	a.Tick(now)
	first, _, _ := a.Start(now)
	a.Elsewhere(first, now.Add(time.Minute))
	if e, _, ok := a.Start(now); ok {
		t.Fatalf("%v starts beside it", e)
	}
	if w := a.Wake(now); !w.Equal(now.Add(time.Minute)) {
		t.Errorf("it wakes at %s", w)
	}
	e, _, ok := a.Start(now.Add(time.Minute))
	if !ok || e.Interval != first.Interval {
		t.Fatalf("%v is looked at again", e)
	}
	a.Elsewhere(e, now.Add(time.Hour))
	next := at(t, "2026-03-05T03:00:00Z")
	if dropped, _ := a.Tick(next); len(dropped) != 0 {
		t.Errorf("dropped %v", dropped)
	}
	e, _, _ = a.Start(next)
	a.Finished(e)
	for _, day := range []int{3, 4} {
		e, _, ok := a.Start(next)
		if !ok || e.Interval.Start.Day() != day {
			t.Fatalf("then %v, want day %d", e, day)
		}
		a.Finished(e)
	}
}

// What may not start, because its job is paused, goes when its window has passed.
func TestHeld(t *testing.T) {
	a := NewAgenda(rules(t, "0 3 * * *", "1d", "UTC", Skip, 2*time.Hour), at(t, "2026-03-02T12:00:00Z"))
	due := at(t, "2026-03-03T03:00:00Z")
	a.Tick(due)
	if d := a.Held(due.Add(2*time.Hour), "paused"); len(d) != 0 || a.Waiting() != 1 {
		t.Errorf("dropped %v within the window", d)
	}
	if d := a.Held(due.Add(2*time.Hour+time.Second), "paused"); len(d) != 1 || d[0].Why != "paused" || a.Waiting() != 0 {
		t.Errorf("dropped %v after the window", d)
	}
}

// However ticks and ends of runs fall, no interval starts twice, none starts before its end, every one is started or dropped, and only
// allow-all runs two at once.
func TestAgendaProperties(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		policy := []Overlap{Skip, BufferOne, CancelOther, AllowAll}[seed%4]
		r := rules(t, "*/20 * * * *", "1h", "Europe/Berlin", policy, time.Duration(rng.IntN(3))*time.Hour)
		now := at(t, "2026-10-24T20:10:00Z") // over the hour that comes twice
		a := NewAgenda(r, now)
		started, gone := map[time.Time]int{}, map[time.Time]int{}
		var running []Entry
		first := a.closed
		for range 300 {
			now = now.Add(time.Duration(rng.IntN(40)) * time.Minute)
			dropped, cancel := a.Tick(now)
			if cancel || rng.IntN(3) == 0 {
				for _, e := range running {
					a.Finished(e)
				}
				running = nil
			}
			for {
				e, late, ok := a.Start(now)
				dropped = append(dropped, late...)
				if !ok {
					break
				}
				if started[e.Interval.Start]++; e.Interval.End.After(now) || started[e.Interval.Start] > 1 {
					t.Fatalf("seed %d: %s starts at %s, %d times", seed, e.Interval, now, started[e.Interval.Start])
				}
				running = append(running, e)
			}
			for _, d := range dropped {
				gone[d.Interval.Start]++
			}
			if policy != AllowAll && len(running) > 1 {
				t.Fatalf("seed %d: %d run at once under %s", seed, len(running), policy)
			}
		}
		for _, iv := range r.Every.Between(first, a.closed) {
			if n := started[iv.Start] + gone[iv.Start]; n != 1 && !slices.ContainsFunc(a.waiting, func(e Entry) bool { return e.Interval == iv }) {
				t.Fatalf("seed %d, %s: %s was started %d times and dropped %d times", seed, policy, iv, started[iv.Start], gone[iv.Start])
			}
		}
		if len(started) < 15 {
			t.Fatalf("seed %d: only %d intervals started", seed, len(started))
		}
	}
}

func TestPrev(t *testing.T) {
	for _, c := range []struct{ expr, at, want string }{
		{"0 3 * * *", "2026-03-02T12:00:00Z", "2026-03-02T03:00:00Z"},
		{"0 3 * * *", "2026-03-02T03:00:00Z", "2026-03-02T03:00:00Z"},
		{"0 3 * * *", "2026-03-02T02:59:59Z", "2026-03-01T03:00:00Z"},
		{"*/5 3 * * *", "2026-03-02T12:00:00Z", "2026-03-02T03:55:00Z"},
		{"0 0 29 2 *", "2027-06-01T00:00:00Z", "2024-02-29T00:00:00Z"},
	} {
		s, err := Parse(c.expr, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Prev(at(t, c.at)).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: Prev(%s) = %s, want %s", c.expr, c.at, got, c.want)
		}
	}
	if p := (Schedule{}).Prev(time.Now()); !p.IsZero() {
		t.Errorf("a schedule that never fires has fired at %s", p)
	}
}
