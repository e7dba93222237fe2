package schedule

import (
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Rules are what an agenda goes by: when a job may start, over what intervals, and what happens to those that cannot start at once.
type Rules struct {
	Due     Schedule
	Every   table.Every
	Overlap Overlap       // "" is Skip
	CatchUp time.Duration // how late an interval may still start
}

// OnTime is how late an interval starts and is still in time, without any catch-up window: a server that is restarted at the very minute of a
// schedule, or that looks at its clock a little late, loses no night.
const OnTime = 5 * time.Minute

// window is how long after it fell due an interval may start.
func (r Rules) window() time.Duration { return max(r.CatchUp, OnTime) }

// Entry is an interval that fell due.
type Entry struct {
	Interval table.Interval
	Due      time.Time // when the schedule fired for it

	after     time.Time // not before: it was tried, and is to be tried again
	until     time.Time // not after; zero: as long as it takes
	elsewhere bool      // another process runs it
}

// Dropped is an entry that will not be started any more, and why.
type Dropped struct {
	Entry
	Why string
}

// Agenda is what a job still has to start: a state machine over instants that are passed in, for one goroutine.
//
// Each time the schedule fires, all intervals that closed since it last fired are due, oldest first: every interval falls due once, also
// where a repeated hour fires once for two intervals, and where a schedule is rarer than its intervals. They run one after another; what the
// next firing finds still under way meets the overlap policy.
type Agenda struct {
	rules   Rules
	fired   time.Time // the schedule has been followed up to here
	closed  time.Time // intervals that end by here have fallen due
	waiting []Entry   // ascending by interval
	running []Entry
}

// NewAgenda begins at now. What fell due within the window before it is on the agenda; what fell due earlier is not.
func NewAgenda(r Rules, now time.Time) *Agenda {
	a := &Agenda{rules: r, fired: now.Add(-r.window() - 1)} // a firing exactly a window ago is within it
	// The intervals up to the firing before the window are somebody else's affair.
	if before := r.Due.Prev(a.fired); !before.IsZero() {
		a.closed = r.Every.At(before).End
	} else {
		a.closed = r.Every.At(a.fired).Start
	}
	return a
}

// Rules are what the agenda goes by.
func (a *Agenda) Rules() Rules { return a.rules }

// Missed are the intervals that fell due when the schedule last fired, oldest first, if that was longer ago than the window: an agenda that begins at
// now does not have them. What was begun of them, and not brought to an end, is for Resume.
func (r Rules) Missed(now time.Time) []Entry {
	last := r.Due.Prev(now)
	if last.IsZero() || !now.After(last.Add(r.window())) {
		return nil
	}
	from := r.Every.At(last).Start
	if before := r.Due.Prev(last.Add(-1)); !before.IsZero() {
		from = r.Every.At(before).End
	}
	var out []Entry
	for iv := r.Every.Containing(from); !iv.End.After(last); iv = r.Every.Next(iv) {
		out = append(out, Entry{Interval: iv, Due: last})
	}
	return out
}

// Resume puts an entry of an earlier agenda on this one. Like all that is late it is given up when the next interval falls due.
func (a *Agenda) Resume(e Entry) { a.insert(e) }

// Tick follows the schedule up to now. It returns what will not be started, and whether what runs is to be cancelled. What fell due since the
// last Tick is one batch: the overlap policy speaks of what was under way before it. A clock that was set back fires nothing twice.
func (a *Agenda) Tick(now time.Time) (dropped []Dropped, cancel bool) {
	var batch []Entry
	for f := a.rules.Due.Next(a.fired); !f.IsZero() && !f.After(now); f = a.rules.Due.Next(f) {
		a.fired = f
		for iv := a.rules.Every.Containing(a.closed); !iv.End.After(f); iv = a.rules.Every.Next(iv) {
			batch, a.closed = append(batch, Entry{Interval: iv, Due: f}), iv.End
		}
	}
	if now.After(a.fired) {
		a.fired = now
	}
	if len(batch) == 0 {
		return nil, false
	}
	held := len(a.running) == 0 && !slices.ContainsFunc(a.waiting, func(e Entry) bool { return e.elsewhere }) // not behind another interval
	a.waiting = drop(&dropped, "the next interval fell due before it was done", a.waiting, func(e Entry) bool {
		late := held && e.until.IsZero() && now.After(e.Due.Add(a.rules.window()))
		return (late || !e.after.IsZero()) && !e.elsewhere
	})
	batch = drop(&dropped, "it fell due while nobody was there to start it", batch, func(e Entry) bool { return now.After(e.Due.Add(a.rules.window())) })
	if a.rules.Overlap != AllowAll && len(a.running)+len(a.waiting) > 0 {
		batch, cancel = a.overlap(batch, &dropped)
	}
	a.waiting = append(a.waiting, batch...)
	return dropped, cancel
}

// overlap applies the policy to what fell due while something else is under way, or stands before it.
func (a *Agenda) overlap(batch []Entry, dropped *[]Dropped) (left []Entry, cancel bool) {
	all := func(Entry) bool { return true }
	switch a.rules.Overlap {
	case BufferOne:
		if len(batch) > 0 {
			const why = "a later interval took its place in the buffer"
			a.waiting = drop(dropped, why, a.waiting, func(e Entry) bool { return !e.elsewhere })
			last := batch[len(batch)-1]
			batch = append(drop(dropped, why, batch[:len(batch)-1], all), last)
		}
	case CancelOther:
		a.waiting = drop(dropped, "a later interval fell due before it was done", a.waiting, all)
		cancel = len(a.running) > 0
	default:
		if a.rules.CatchUp == 0 {
			return drop(dropped, "an earlier interval was still under way", batch, all), false
		}
		for i := range batch {
			batch[i].until = batch[i].Due.Add(a.rules.CatchUp)
		}
	}
	return batch, cancel
}

// drop moves the entries that are out of es to dropped.
func drop(dropped *[]Dropped, why string, es []Entry, out func(Entry) bool) []Entry {
	return slices.DeleteFunc(es, func(e Entry) bool {
		gone := out(e)
		if gone {
			*dropped = append(*dropped, Dropped{e, why})
		}
		return gone
	})
}

// Start takes the next entry that may start now: the oldest, unless it waits to be tried again. The entry is running from then on, until
// Finished, Again or Elsewhere.
func (a *Agenda) Start(now time.Time) (e Entry, dropped []Dropped, ok bool) {
	a.waiting = drop(&dropped, "the catch-up window ended before it could start", a.waiting, func(e Entry) bool {
		return !e.until.IsZero() && now.After(e.until)
	})
	i := a.first(now)
	if i < 0 {
		return Entry{}, dropped, false
	}
	e = a.waiting[i]
	a.waiting = slices.Delete(a.waiting, i, i+1)
	a.running = append(a.running, e)
	return e, dropped, true
}

// Held drops what has waited longer than its window: what may not start, for the job is paused or another server's, does not pile up.
func (a *Agenda) Held(now time.Time, why string) (dropped []Dropped) {
	a.waiting = drop(&dropped, why, a.waiting, func(e Entry) bool { return now.After(e.Due.Add(a.rules.window())) })
	return dropped
}

// behind reports whether e must wait for an entry that another process runs.
func (a *Agenda) behind(e Entry) bool {
	return a.rules.Overlap != AllowAll && !e.elsewhere && slices.ContainsFunc(a.waiting, func(o Entry) bool { return o.elsewhere })
}

// Ready reports whether Start would start something.
func (a *Agenda) Ready(now time.Time) bool {
	return a.first(now) >= 0
}

// first is the index of the entry that may start, or -1.
func (a *Agenda) first(now time.Time) int {
	if a.rules.Overlap != AllowAll && len(a.running) > 0 {
		return -1
	}
	return slices.IndexFunc(a.waiting, func(e Entry) bool {
		return !now.Before(e.after) && !a.behind(e) && (e.until.IsZero() || !now.After(e.until))
	})
}

// Finished takes a started entry off the agenda.
func (a *Agenda) Finished(e Entry) { a.take(e) }

// Back puts a started entry back as it was: it has not been started after all.
func (a *Agenda) Back(e Entry) {
	if a.take(e) {
		a.insert(e)
	}
}

// Again puts a started entry back, to be tried at after, unless the next interval falls due before.
func (a *Agenda) Again(e Entry, after time.Time) { a.putBack(e, after, false) }

// Elsewhere puts a started entry back that another process runs, to be looked at again at after. Until then the job counts as running.
func (a *Agenda) Elsewhere(e Entry, after time.Time) { a.putBack(e, after, true) }

func (a *Agenda) putBack(e Entry, after time.Time, elsewhere bool) {
	if !a.take(e) {
		return
	}
	e.after, e.elsewhere, e.until = after, elsewhere, time.Time{}
	a.insert(e)
}

func (a *Agenda) insert(e Entry) {
	i := slices.IndexFunc(a.waiting, func(o Entry) bool { return o.Interval.Start.After(e.Interval.Start) })
	if i < 0 {
		i = len(a.waiting)
	}
	a.waiting = slices.Insert(a.waiting, i, e)
}

func (a *Agenda) take(e Entry) bool {
	i := slices.IndexFunc(a.running, func(o Entry) bool { return o.Interval == e.Interval })
	if i < 0 {
		return false
	}
	a.running = slices.Delete(a.running, i, i+1)
	return true
}

// Wake says when there may be something to do next, if nothing that runs ends before: the zero time is never.
func (a *Agenda) Wake(now time.Time) time.Time {
	next := a.rules.Due.Next(now)
	if len(a.running) > 0 && a.rules.Overlap != AllowAll {
		return next
	}
	for _, e := range a.waiting {
		if a.behind(e) {
			continue
		}
		at := e.after
		if at.Before(now) {
			at = now
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Waiting is how many entries have not been started, or are to be tried again.
func (a *Agenda) Waiting() int { return len(a.waiting) }

// Running is how many entries have been started and have not ended.
func (a *Agenda) Running() int { return len(a.running) }
