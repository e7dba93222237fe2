package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

const (
	requestPrefix = "policy/requests/"

	answerWithin = 30 * 24 * time.Hour // from when a request came in
	extendBy     = 60 * 24 * time.Hour // once, for a reason that the person is told

	maxRequestText  = 500    // bytes of a reason
	maxRequestMarks = 10_000 // people of one request
)

// RequestKind is what a person asks for.
type RequestKind string

// The kinds of requests, as of articles 15, 16, 17, 20 and 21 of the GDPR.
const (
	RequestAccess      RequestKind = "access"
	RequestRectify     RequestKind = "rectify"
	RequestErase       RequestKind = "erase"
	RequestPortability RequestKind = "portability"
	RequestObject      RequestKind = "object"
)

// RequestKinds are all kinds.
var RequestKinds = []RequestKind{RequestAccess, RequestErase, RequestObject, RequestRectify, RequestPortability}

// The outcomes with which a request is closed.
const (
	OutcomeDone    = "done"
	OutcomeRefused = "refused"   // with a reason
	OutcomeTaken   = "withdrawn" // by the person
	OutcomeUnknown = "unknown"   // nothing is held of the person, or it could not be told who asked
)

// Outcomes are all outcomes.
var Outcomes = []string{OutcomeDone, OutcomeRefused, OutcomeTaken, OutcomeUnknown}

// Errors of the register.
var (
	// ErrNoRequest says that there is no request of this number.
	ErrNoRequest = errors.New("no such request")
	// ErrBadRequest says that what was asked of the register cannot be.
	ErrBadRequest = errors.New("the register of requests")
)

// Request is one entry of the register: who asked for what, by when it is due, and how it ended. People stand in it as marks.
type Request struct {
	Format   int          `json:"format"` // 1
	Number   int          `json:"number"` // 1, 2, …
	Kind     RequestKind  `json:"kind"`
	Subjects []event.Mark `json:"subjects"`
	Received time.Time    `json:"received"`
	Due      time.Time    `json:"due"`
	Extended *Extension   `json:"extended,omitempty"`
	Closed   *Closing     `json:"closed,omitempty"`
	Opened   string       `json:"opened_by"` // who wrote it down
	Nonce    string       `json:"nonce"`
}

// Extension is more time, which is given once.
type Extension struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why"`
}

// Closing is how a request ended.
type Closing struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why,omitempty"`
}

// Late reports whether the request is open beyond its day.
func (q *Request) Late(now time.Time) bool { return q.Closed == nil && now.After(q.Due) }

// of reports whether the request is of one of the people.
func (q *Request) of(marks []event.Mark) bool {
	return slices.ContainsFunc(q.Subjects, func(m event.Mark) bool { return slices.Contains(marks, m) })
}

// requestRegister holds them.
var requestRegister = numbered[Request]{
	what: "the register of requests", one: "request", prefix: requestPrefix, decode: decodeRequest, number: func(q *Request) *int { return &q.Number },
}

// marksOf returns the marks of people under the current key, or, with all, under every key that is given and by every form of an id.
func (r *Runner) marksOf(canonical []string, all bool) []event.Mark {
	keys := []event.Keys{r.Keys}
	if all {
		keys = append(keys, r.Previous...)
	}
	var out []event.Mark
	for _, id := range canonical {
		forms := event.Forms(id)
		if !all {
			forms = forms[:1]
		}
		for _, form := range forms {
			for _, k := range keys {
				out = append(out, event.MarkOf(k, form))
			}
		}
	}
	slices.SortFunc(out, func(a, b event.Mark) int { return strings.Compare(a.KeyID+a.MAC, b.KeyID+b.MAC) })
	return slices.Compact(out)
}

// Requests reads the register, by number. Cost: one listing, one GET a request.
func (r *Runner) Requests(ctx context.Context) ([]Request, error) {
	return requestRegister.all(ctx, r.Bucket)
}

// decodeRequest reads an entry of the register. Its errors repeat nothing of it.
func decodeRequest(body []byte) (*Request, error) {
	if err := knownFormat(body); err != nil {
		return nil, err
	}
	q := new(Request)
	if err := strictJSON(body, q); err != nil || q.Number < 1 || !slices.Contains(RequestKinds, q.Kind) || q.Due.Before(q.Received) {
		return nil, errDamaged
	}
	return q, nil
}

// errDamaged says that an object is not as it was written.
var errDamaged = errors.New("it is damaged: restore it")

// knownFormat checks the number of an object's format, which is 1.
func knownFormat(body []byte) error {
	var head struct {
		Format int `json:"format"`
	}
	switch err := json.Unmarshal(body, &head); {
	case err != nil || head.Format < 1:
		return errDamaged
	case head.Format > 1:
		return fmt.Errorf("format %d was made by a newer rapport; this one reads up to 1", head.Format)
	}
	return nil
}

// OpenRequest writes down that people, by canonical id, have asked for something. received is when: not before the last two years, not in the
// future. The request is due 30 days later. Keys by which a run would not recognize everybody are refused: no erasure would close what is under their marks.
// Cost: the identity table, and about 2 log₂(n) HEADs.
func (r *Runner) OpenRequest(ctx context.Context, kind RequestKind, canonical []string, received time.Time, by string) (*Request, error) {
	now := r.Wall()
	switch {
	case r.Keys.IsZero():
		return nil, fmt.Errorf("open a request: %w", event.ErrNoKey)
	case !slices.Contains(RequestKinds, kind):
		return nil, fmt.Errorf("%w: no kind of this name: want one of %v", ErrBadRequest, RequestKinds)
	case received.After(now), now.Sub(received) > 2*365*24*time.Hour:
		return nil, fmt.Errorf("%w: received %s: want a time of the last two years", ErrBadRequest, received.UTC().Format(time.RFC3339))
	case len(canonical) == 0 || len(canonical) > maxRequestMarks:
		return nil, fmt.Errorf("%w: %d people, want 1 to %d in one request", ErrBadRequest, len(canonical), maxRequestMarks)
	}
	if _, err := event.OpenIdentities(ctx, r.Bucket, r.Keys, r.Previous...); err != nil {
		return nil, fmt.Errorf("open a request: %w", err)
	}
	q := &Request{Format: 1, Kind: kind, Subjects: r.marksOf(canonical, false), Received: received.UTC(), Due: received.UTC().Add(answerWithin), Opened: by, Nonce: r.NewID(now)}
	if err := requestRegister.add(ctx, r.Bucket, q, nil); err != nil {
		return nil, fmt.Errorf("open a request: %w", err)
	}
	return q, nil
}

// CloseRequest closes an open request. A refusal needs a reason.
func (r *Runner) CloseRequest(ctx context.Context, number int, outcome, why, by string) (*Request, error) {
	if !slices.Contains(Outcomes, outcome) {
		return nil, fmt.Errorf("%w: no outcome of this name: want one of %v", ErrBadRequest, Outcomes)
	}
	if outcome == OutcomeRefused && why == "" {
		return nil, fmt.Errorf("%w: who is refused is told why: give a reason", ErrBadRequest)
	}
	return r.changeRequest(ctx, number, func(q *Request) error {
		if q.Closed != nil {
			return fmt.Errorf("%w: request %d was closed %s", ErrBadRequest, number, q.Closed.At.Format(time.DateOnly))
		}
		q.Closed = &Closing{At: r.Wall().UTC(), By: by, Outcome: outcome, Why: why}
		return r.checkReason(q, why)
	})
}

// ExtendRequest gives an open request 60 days more, once, and before it is late.
func (r *Runner) ExtendRequest(ctx context.Context, number int, why, by string) (*Request, error) {
	if why == "" {
		return nil, fmt.Errorf("%w: who waits longer is told why: give a reason", ErrBadRequest)
	}
	return r.changeRequest(ctx, number, func(q *Request) error {
		switch now := r.Wall(); {
		case q.Closed != nil:
			return fmt.Errorf("%w: request %d was closed %s", ErrBadRequest, number, q.Closed.At.Format(time.DateOnly))
		case q.Extended != nil:
			return fmt.Errorf("%w: request %d was extended before, which is done once", ErrBadRequest, number)
		case q.Late(now):
			return fmt.Errorf("%w: request %d is late: more time is given before it is due, or not at all", ErrBadRequest, number)
		default:
			q.Extended, q.Due = &Extension{At: now.UTC(), By: by, Why: why}, q.Due.Add(extendBy)
		}
		return r.checkReason(q, why)
	})
}

// changeRequest replaces an entry by compare-and-set.
func (r *Runner) changeRequest(ctx context.Context, number int, change func(*Request) error) (*Request, error) {
	q, err := requestRegister.change(ctx, r.Bucket, number, func(q *Request) error {
		q.Nonce = r.NewID(r.Wall())
		return change(q)
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: %d", ErrNoRequest, number)
	}
	return q, err
}

// checkReason refuses a text that is too long, or that names a person of the request: each word of it is held against their marks.
func (r *Runner) checkReason(q *Request, text string) error {
	if len(text) > maxRequestText {
		return fmt.Errorf("%w: the reason has %d bytes, at most %d are kept", ErrBadRequest, len(text), maxRequestText)
	}
	for _, w := range wordsOf(text) {
		id, err := event.Canonical(w)
		if err == nil && !r.Keys.IsZero() && q.of(r.marksOf([]string{id}, true)) {
			return fmt.Errorf("%w: the reason names the person by id, which stands in no object: write it without", ErrBadRequest)
		}
	}
	return nil
}

// wordsOf are the words of a text as somebody's id may stand in it, and the whole text.
func wordsOf(text string) []string {
	words := strings.Fields(text)
	for _, w := range slices.Clone(words) {
		words = append(words, strings.TrimFunc(w, func(c rune) bool { return unicode.IsPunct(c) || unicode.IsSymbol(c) }))
		words = append(words, strings.FieldsFunc(w, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '-' && c != '_' })...)
	}
	return append(words, text)
}

// closeRequests closes what is open of a kind for people who are all among the marks, and returns the numbers.
func (r *Runner) closeRequests(ctx context.Context, kind RequestKind, marks []event.Mark, outcome, why string) ([]int, error) {
	all, err := r.Requests(ctx)
	if err != nil {
		return nil, err
	}
	closed := []int{}
	for _, q := range all {
		stranger := func(m event.Mark) bool { return !slices.Contains(marks, m) }
		if q.Kind != kind || q.Closed != nil || slices.ContainsFunc(q.Subjects, stranger) {
			continue
		}
		_, err := r.CloseRequest(ctx, q.Number, outcome, why, r.Holder)
		if err != nil && !errors.Is(err, ErrBadRequest) { // somebody else has closed it
			return closed, err
		}
		if err == nil {
			closed = append(closed, q.Number)
		}
	}
	return closed, nil
}

// RequestDue is how the register stands.
type RequestDue struct {
	Open int        `json:"open"`
	Late int        `json:"late"`
	Next *time.Time `json:"next_due,omitempty"` // of those that are not late
	// Since is when the first of the late ones was due.
	Since *time.Time `json:"late_since,omitempty"`
}

// RequestsDue says how many requests are open, how many are late, and which is the next.
func (r *Runner) RequestsDue(ctx context.Context) (RequestDue, error) {
	var out RequestDue
	all, err := r.Requests(ctx)
	now := r.Wall()
	for _, q := range all {
		if q.Closed != nil {
			continue
		}
		out.Open++
		first := &out.Next
		if q.Late(now) {
			out.Late++
			first = &out.Since
		}
		if *first == nil || q.Due.Before(**first) {
			*first = &q.Due
		}
	}
	return out, err
}
