package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
)

// wishInbox is where people's wishes come in one by one.
var wishInbox = inbox[policy.Wish]{step: "wishes", what: "preferences", store: event.StorePreferences, load: event.LoadPreferences}

// ErrNoPreferences says that no job of a project asks people what they want.
var ErrNoPreferences = errors.New("this project takes no preferences: declare sources.preferences, if need be without a path")

// Preferrer takes what people want of their lists, one request after another. It is safe for concurrent use, in any number of processes.
type Preferrer struct {
	desk
	asks  bool
	broad bool // there are lists by levels
}

// Preferrer returns one for the jobs of a project, which share their deny set.
func (r *Runner) Preferrer(js []*Job) *Preferrer {
	p := &Preferrer{desk: desk{r: r}}
	for _, j := range js {
		p.asks = p.asks || j.Preferences != nil
		p.broad = p.broad || j.Model.Lists.Broad != ""
	}
	return p
}

// Preferred says what became of a request.
type Preferred struct {
	Subjects int       `json:"subjects"`
	Records  int       `json:"records"`
	Withheld int       `json:"withheld"` // left out: a value that holds the person's own id may stand in no object
	Denied   int       `json:"denied"`   // subjects who read the list not based on profiling from now on
	At       time.Time `json:"at"`
}

// Prefer records what people, by canonical id, ask for as of now, and denies those online at once who want no list of their own. All else counts from the
// next generation on; so does what takes a denial back. Cost: two writes, and the identity table when it is first read or somebody has been erased since.
func (p *Preferrer) Prefer(ctx context.Context, canonical []string, asked []policy.Wish) (*Preferred, error) {
	r := p.r
	switch {
	case !p.asks:
		return nil, ErrNoPreferences
	case r.Keys.IsZero():
		return nil, fmt.Errorf("preferences: %w", event.ErrNoKey)
	}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return nil, fmt.Errorf("preferences: %w", err)
	}
	epoch := journal.Epoch()
	ids, err := p.identities(ctx, journal)
	if err != nil {
		return nil, fmt.Errorf("preferences: %w", err)
	}
	now := r.Now()
	out := &Preferred{Subjects: len(canonical), At: now.UTC()}
	var records []policy.Wish
	for i := range asked {
		asked[i].At = now
	}
	var denied []string
	for _, id := range canonical {
		mine, beside, withheld, err := event.PreferencesOf(ids, id, asked)
		if err != nil {
			return nil, fmt.Errorf("preferences: %w", err)
		}
		out.Withheld, out.Records = out.Withheld+withheld, out.Records+len(mine)
		records = append(append(records, mine...), beside...)
		for s, wants := range policy.Wanted(now, slices.Concat(mine, beside)) {
			if key, known := ids.OnlineKey(s); known && listless(wants, p.broad) { // by the key that generations hold them by
				denied = append(denied, key)
			}
		}
	}
	out.Denied = len(denied)
	if len(records) == 0 {
		return out, nil
	}
	// Who asked may leave meanwhile: what is recorded is denied as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := wishInbox.put(ctx, r, journal, epoch, ids, records); err != nil {
		return nil, err
	}
	if len(denied) > 0 {
		slices.Sort(denied)
		if err := r.Online.Deny(ctx, denied...); err != nil {
			return nil, fmt.Errorf("preferences: recorded, and effective with the next run; the online store could not be told: %w", err)
		}
	}
	return out, nil
}

// Standing is how it stands with one subject: whether it may be profiled, and what it wants of its lists.
type Standing struct {
	Known    bool       `json:"known"`             // the identity table has it
	Profiled bool       `json:"profiled"`          // it may be, and wants to be
	Why      string     `json:"why,omitempty"`     // it is not
	Expires  *time.Time `json:"expires,omitempty"` // when its basis ends, by what is known now
	// Sensitive says whether sensitive items count and are shown; nil: none are declared.
	Sensitive *bool         `json:"sensitive_items,omitempty"`
	Wants     StandingWants `json:"wants"`
}

// StandingWants is what holds of a subject's preferences.
type StandingWants struct {
	Level   string               `json:"level"` // off, broad or full
	Paused  bool                 `json:"paused"`
	Since   *time.Time           `json:"since,omitempty"` // what was known before does not count
	Exclude []string             `json:"exclude,omitempty"`
	Down    []string             `json:"thumbs_down,omitempty"`
	Less    []string             `json:"less,omitempty"`
	New     bool                 `json:"prefer_new,omitempty"`
	Forget  map[string]time.Time `json:"forget,omitempty"` // item → what was known of it before does not count
}

// Standings tells of subjects, by canonical id, how it stands with each as of now. It changes nothing. Cost: policy is read, as for a run.
func (r *Runner) Standings(ctx context.Context, job *Job, canonical []string) ([]Standing, error) {
	w, err := r.asOfNow(ctx, job)
	if err != nil {
		return nil, err
	}
	var out []Standing
	for _, id := range canonical {
		out = append(out, w.standingOf(id))
	}
	return out, nil
}

// standingOf tells of one subject.
func (w *work) standingOf(canonical string) Standing {
	s, known := w.plan.ids.Find(canonical)
	st := Standing{Known: known, Wants: StandingWants{Level: string(policy.Full)}}
	d := w.plan.trainingDecisions.Of(s)
	if !known {
		d = w.plan.trainingDecisions.Unseen()
	}
	if _, gone := w.plan.sup.ErasedAt(canonical); gone && !known {
		d.Why = policy.Erased
	}
	wants := policy.Wants{}
	if known {
		wants = w.plan.wants(s)
	}
	switch {
	case d.Denied():
		st.Why = reasonWords(d.Why)
	case wants.Paused:
		st.Why = "paused"
	case known && w.unprofiled(s):
		st.Why = "level " + string(wants.Level)
	default:
		st.Profiled = true
	}
	if d.Expires != 0 && !d.Denied() {
		at := time.UnixMicro(d.Expires).UTC()
		st.Expires = &at
	}
	if len(w.job.Guards.Sensitive) > 0 {
		shown := known && !d.Denied() && w.plan.trainingDecisions.Sensitive().Shown(s)
		st.Sensitive = &shown
	}
	st.Wants.take(wants)
	return st
}

func (s *StandingWants) take(w policy.Wants) {
	if w.Level != "" {
		s.Level = string(w.Level)
	}
	s.Paused, s.Exclude, s.Down, s.Less, s.New = w.Paused, w.Exclude, w.Down, w.Less, w.New
	if w.Since > 0 {
		at := time.UnixMicro(w.Since).UTC()
		s.Since = &at
	}
	for item, at := range w.Forget {
		if s.Forget == nil {
			s.Forget = map[string]time.Time{}
		}
		s.Forget[item] = time.UnixMicro(at).UTC()
	}
}

// reasonWords is a reason as people read it.
func reasonWords(r policy.Reason) string { return strings.ReplaceAll(r.String(), "_", " ") }
