package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// Lookups answer what serving systems in any language ask for a visitor. What they return is encoded as it is. An error that is a *Fault is told with its
// code; any other is one of the server. No error may hold a raw id.
type Lookups interface {
	Recommend(ctx context.Context, ask RecommendRequest) (any, error)
	Similar(ctx context.Context, ask SimilarRequest) (any, error)
	Preferences(ctx context.Context, ask PreferencesRequest) (any, error)
	Consent(ctx context.Context, ask ConsentRequest) (any, error)
	ConsentFile(ctx context.Context, ask ConsentFile) (any, error)
	Decide(ctx context.Context, ask DecideRequest) (any, error)
}

// RecommendRequest is the body of POST /v1/recommend: the list of a person, of a cart, of one value of a column, or without any of these that of everybody.
type RecommendRequest struct {
	ID      ID                `json:"id"`
	Cart    []string          `json:"cart"`
	By      map[string]string `json:"by"` // one column and its value
	K       int               `json:"k"`  // 0: lists.k of what is live
	Explain bool              `json:"explain"`
	Context map[string]string `json:"context"` // levels of the request's context columns: a personal list is ranked again
	At      time.Time         `json:"at"`      // of the request; with Context
}

// SimilarRequest is the body of POST /v1/similar.
type SimilarRequest struct {
	Item string `json:"item"`
	Kind string `json:"kind"` // similar if left out
	K    int    `json:"k"`
}

// PreferencesRequest is the body of POST /v1/preferences. Without a preference it asks what holds.
type PreferencesRequest struct {
	ID         ID     `json:"id"`
	Preference string `json:"preference"`
	Value      string `json:"value"`
}

// ConsentRequest is the body of POST /v1/consent: records of one or several people, which are taken all or not at all.
type ConsentRequest struct {
	Records []ConsentRecord `json:"records"`
}

// ConsentRecord is what somebody has consented to, or has taken back.
type ConsentRecord struct {
	ID        ID        `json:"id"`
	Purpose   string    `json:"purpose"`
	State     string    `json:"state"`
	Effective time.Time `json:"effective_at"` // now if left out
	Recorded  time.Time `json:"recorded_at"`  // now if left out
	Expires   time.Time `json:"expires_at"`   // never if left out
	Source    string    `json:"source"`       // where it was said
	RecordID  string    `json:"record_id"`    // the sender's own: one that comes again changes nothing
}

// DecideRequest is the body of POST /v1/approve and /v1/reject: what an approver has decided about a version.
type DecideRequest struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
	Why     string `json:"why"`

	Verb string `json:"-"` // approve or reject, as the path says
}

// ID is a raw id, given as text or as an integer. It prints as nothing.
type ID struct{ text string }

// UnmarshalJSON takes text, or an integer's digits.
func (i *ID) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte{'"'}) {
		return json.Unmarshal(b, &i.text)
	}
	if i.text = string(b); i.text == "null" {
		i.text = ""
	}
	for _, c := range bytes.TrimPrefix(b, []byte{'-'}) {
		if i.text != "" && (c < '0' || c > '9') {
			return errors.New("id: want text or an integer")
		}
	}
	return nil
}

// Raw is the id as it was sent, "" if none was.
func (i ID) Raw() string { return i.text }

// String hides the id.
func (ID) String() string { return "(an id)" }

// GoString hides the id.
func (i ID) GoString() string { return i.String() }

// Fault is an answer that says why there is none.
type Fault struct {
	Code int
	Says string
}

func (f *Fault) Error() string { return f.Says }

// Limits of a lookup.
const (
	maxBody    = 64 << 10
	lookupTime = 10 * time.Second
)

// busyAbove is how many lookups are answered at once; who comes beyond is asked to come again.
var busyAbove = 32 * runtime.GOMAXPROCS(0)

// lookups answers POST /v1/recommend, /v1/similar, /v1/preferences, /v1/consent, /v1/approve and /v1/reject.
type lookups struct {
	of     Lookups
	turns  chan struct{}
	file   chan struct{} // held by who sends one
	now    func() time.Time
	looked func(path, outcome string, took time.Duration)
}

// The outcomes of a lookup.
const (
	outcomeOK      = "ok"
	outcomeRefused = "refused" // the caller's fault
	outcomeFailed  = "failed"
	outcomeBusy    = "busy"
)

func newLookups(o Options) *lookups {
	l := &lookups{of: o.Lookups, turns: make(chan struct{}, busyAbove), file: make(chan struct{}, 1), now: o.Now, looked: o.Looked}
	if l.looked == nil {
		l.looked = func(string, string, time.Duration) {}
	}
	return l
}

// The paths of lookups, as the access log names those that touch people's records.
const (
	PathRecommend   = "/v1/recommend"
	PathSimilar     = "/v1/similar"
	PathPreferences = "/v1/preferences"
	PathConsent     = "/v1/consent"
	PathApprove     = "/v1/approve"
	PathReject      = "/v1/reject"
)

// route adds the paths of lookups.
func (l *lookups) route(s *routes) {
	handle := func(path string, need Role, find func(ctx context.Context, r *http.Request) (any, error)) {
		s.handle("POST "+path, []Role{need}, patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun := l.now()
			outcome := l.answer(w, r, find)
			l.looked(path, outcome, l.now().Sub(begun))
		})))
	}
	handle(PathRecommend, Reader, func(ctx context.Context, r *http.Request) (any, error) {
		var ask RecommendRequest
		if err := decode(r, &ask); err != nil {
			return nil, err
		}
		if err := ask.check(); err != nil {
			return nil, err
		}
		if r.Header.Get("Sec-GPC") == "1" { // who asks not to be tracked is served what everybody is
			ask.ID, ask.Cart, ask.Context, ask.At = ID{}, nil, nil, time.Time{}
		}
		return l.of.Recommend(ctx, ask)
	})
	handle(PathSimilar, Reader, func(ctx context.Context, r *http.Request) (any, error) {
		var ask SimilarRequest
		if err := decode(r, &ask); err != nil {
			return nil, err
		}
		if ask.Item == "" || ask.K < 0 || ask.K > maxK {
			return nil, &Fault{http.StatusBadRequest, fmt.Sprintf("want item, and k from 1 to %d if it is given", maxK)}
		}
		return l.of.Similar(ctx, ask)
	})
	handle(PathPreferences, Privacy, func(ctx context.Context, r *http.Request) (any, error) {
		var ask PreferencesRequest
		if err := decode(r, &ask); err != nil {
			return nil, err
		}
		if ask.ID.Raw() == "" {
			return nil, &Fault{http.StatusBadRequest, "id is missing"}
		}
		return l.of.Preferences(ctx, ask)
	})
	handle(PathConsent, Privacy, func(ctx context.Context, r *http.Request) (any, error) {
		if kind := fileKind(r); kind != "" {
			return l.consentFile(r, kind)
		}
		var ask ConsentRequest
		if err := decode(r, &ask); err != nil {
			return nil, err
		}
		if len(ask.Records) == 0 || len(ask.Records) > maxRecords {
			return nil, &Fault{http.StatusBadRequest, fmt.Sprintf("records: want 1 to %d", maxRecords)}
		}
		for i, x := range ask.Records {
			if x.ID.Raw() == "" || x.Source == "" {
				return nil, &Fault{http.StatusBadRequest, fmt.Sprintf("record %d: id and source must be given: who has said it, and where", i+1)}
			}
		}
		return l.of.Consent(ctx, ask)
	})
	for path, verb := range map[string]string{PathApprove: "approve", PathReject: "reject"} {
		handle(path, Approver, func(ctx context.Context, r *http.Request) (any, error) {
			ask := DecideRequest{Verb: verb}
			if err := decode(r, &ask); err != nil {
				return nil, err
			}
			if ask.Why = strings.TrimSpace(ask.Why); ask.Model == "" || ask.Version < 1 || ask.Why == "" {
				return nil, &Fault{http.StatusBadRequest, "want model, version and why: for what reason, which stands in the model's history"}
			}
			return l.of.Decide(ctx, ask)
		})
	}
}

// Bounds of what is asked for.
const (
	maxK    = 1000
	maxCart = 50

	maxRecords = 500 // of consent, in one request
)

func (a *RecommendRequest) check() error {
	given := 0
	for _, yes := range []bool{a.ID.Raw() != "", len(a.Cart) > 0, len(a.By) > 0} {
		if yes {
			given++
		}
	}
	switch {
	case given > 1:
		return &Fault{http.StatusBadRequest, "id, cart and by are three lists: give one of them, or none for that of everybody"}
	case a.K < 0 || a.K > maxK:
		return &Fault{http.StatusBadRequest, fmt.Sprintf("k is not between 1 and %d", maxK)}
	case len(a.Cart) > maxCart:
		return &Fault{http.StatusBadRequest, fmt.Sprintf("a cart of %d items: at most %d are taken", len(a.Cart), maxCart)}
	case len(a.By) > 1:
		return &Fault{http.StatusBadRequest, `by: want one column and its value, as {"category": "tea"}`}
	case (len(a.Context) > 0 || !a.At.IsZero()) && a.ID.Raw() == "":
		return &Fault{http.StatusBadRequest, "context and at are of a person's list: give id"}
	case (len(a.Context) > 0 || !a.At.IsZero()) && a.Explain:
		return &Fault{http.StatusBadRequest, "explain and context do not go together: the reasons are those of the published list, and a request has an order of its own"}
	}
	return nil
}

// decode reads a body strictly. What is wrong is told without what was sent, which may be an id.
func decode(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		others := ""
		if r.URL.Path == PathConsent {
			others = ", or a file as text/csv, application/x-ndjson or application/vnd.apache.parquet"
		}
		// A page in a browser cannot send this without asking first.
		return &Fault{http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json" + others}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one value")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &Fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case err != nil:
		return &Fault{http.StatusBadRequest, "the body is no JSON object of the fields that this path takes, each of its type: see docs/contracts.md"}
	}
	return nil
}

// answer finds an answer in time and writes it.
func (l *lookups) answer(w http.ResponseWriter, r *http.Request, find func(ctx context.Context, r *http.Request) (any, error)) (outcome string) {
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	default:
		w.Header().Set("Retry-After", "1")
		fault(w, http.StatusServiceUnavailable, "too many ask at once: ask again")
		return outcomeBusy
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTime)
	defer cancel()
	found, err := find(ctx, r)
	var no *Fault
	switch {
	case errors.As(err, &no):
		fault(w, no.Code, no.Says)
		return outcomeRefused
	case err != nil:
		fault(w, http.StatusServiceUnavailable, err.Error())
		return outcomeFailed
	}
	answer(w, http.StatusOK, found)
	return outcomeOK
}
