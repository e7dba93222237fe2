package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/web"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
)

// front is a shop's HTTP side, as serve has it.
type front struct {
	*shop
	server *server
	h      http.Handler
}

func newFront(s *shop) *front {
	p := &project{Opened: s.opened, runner: s.runner, names: s.runner.Names()}
	srv := &server{app: &app{wall: time.Now}, project: p}
	var err error
	if srv.tokens, err = web.NewTokens(web.Token{Name: "shop", Roles: web.Roles, Secret: "open sesame"}); err != nil {
		s.Fatal(err)
	}
	srv.reads = srv.newReadsWatch()
	return &front{s, srv, web.Handler(web.Options{
		Tokens: srv.tokens, Now: time.Now, Metrics: http.NotFoundHandler(), Lookups: srv.lookups([]*jobs.Job{s.job}),
	})}
}

// ask sends a body.
func (f *front) ask(path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer open sesame")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w
}

// post asks, and decodes the answer, which must have the code.
func (f *front) post(code int, path, body string, header ...string) (out map[string]any) {
	f.Helper()
	w := f.ask(path, body, header...)
	if w.Code != code {
		f.Fatalf("%s %s: %d, want %d: %s", path, body, w.Code, code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		f.Fatal(err)
	}
	return out
}

// items are the items of an answer.
func itemsOf(answer map[string]any) (out []string) {
	for _, x := range answer["items"].([]any) {
		out = append(out, x.(map[string]any)["item"].(string))
	}
	return out
}

// TestApproveOverHTTP: an approver decides about a version over HTTP as on the command line: by its token's name, in its role, for a reason, and nothing that is live moves.
func TestApproveOverHTTP(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	v := s.night(6).Model
	f := newFront(s)
	reg, err := registry.Open(s.opened.Bucket, v.Name)
	if err != nil {
		t.Fatal(err)
	}
	before, err := reg.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"model": %q, "version": %d, "why": "not before the sale"}`, v.Name, v.Version)
	f.post(http.StatusOK, "/v1/reject", body)
	f.post(http.StatusOK, "/v1/approve", strings.Replace(body, "not before the sale", "it may go on", 1))
	live, err := reg.Live(t.Context())
	if err != nil || live.Fence != before.Fence+2 || !maps.Equal(live.Aliases, before.Aliases) {
		t.Fatalf("%+v\nwas %+v, %v", live, before, err)
	}
	last := live.History[len(live.History)-2:]
	for i, want := range []registry.Change{{Action: registry.Disallowed, Why: "not before the sale"}, {Action: registry.Approved, Why: "it may go on"}} {
		if x := last[i]; x.Action != want.Action || x.Why != want.Why || x.By != "token shop" || x.Role != "approver" || x.Version != v.Version {
			t.Errorf("it stands in the history as %+v", x)
		}
	}
	for body, want := range map[string]string{`{"model": "nobody's", "version": 1, "why": "x"}`: "no job", fmt.Sprintf(`{"model": %q, "version": 99, "why": "x"}`, v.Name): "no version 99"} {
		if got := f.post(http.StatusNotFound, "/v1/approve", body); !strings.Contains(fmt.Sprint(got["error"]), want) {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// TestLookupsOfServe: a serving system gets over HTTP what readers of the online store get, and what people want is taken there: no profile at once, all else
// with the next generation, with its reason.
func TestLookupsOfServe(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.job.Model.Lists.UnprofiledBy = []string{"category"}
	s.job.Model.Lists.Seen = "keep"
	s.job.Preferences = &event.DataSet{} // people ask one by one
	s.night(6)
	f := newFront(s)
	ids := s.admitted(30)
	slices.SortStableFunc(ids, func(a, b string) int { return len(s.itemsTaken(b)) - len(s.itemsTaken(a)) }) // those who have taken something
	ids = ids[:6]
	off, less, down, newer, twice, other := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]
	ask := func(id, rest string) map[string]any {
		return f.post(http.StatusOK, "/v1/recommend", `{"id": "`+id+`", "k": 100`+rest+`}`)
	}
	plain := map[string][]string{}
	for _, id := range ids {
		got, want := ask(id, ""), s.listOf(id)
		plain[id] = itemsOf(got)
		if got["personalized"] != true || got["list"] != want.ID || got["version"] != want.Version || got["generation"] != 1.0 ||
			!slices.EqualFunc(plain[id], want.Items, func(a string, b online.ListItem) bool { return a == b.Item }) {
			t.Fatalf("over HTTP the list is %v, in the store %+v", got, want)
		}
		if strings.Contains(toJSON(t, got), "reasons") || !strings.Contains(toJSON(t, ask(id, `, "explain": true`)), "reasons") {
			t.Error("reasons are told where nobody asks, or not where somebody does")
		}
	}
	everybody := f.post(http.StatusOK, "/v1/recommend", `{"k": 100}`)
	for _, c := range []map[string]any{
		f.post(http.StatusOK, "/v1/recommend", `{"id": "nobody", "k": 100}`), f.post(http.StatusOK, "/v1/recommend", `{"id": "`+other+`", "k": 100}`, "Sec-GPC", "1"),
		f.post(http.StatusOK, "/v1/recommend", `{"cart": ["`+plain[other][0]+`"], "k": 100}`, "Sec-GPC", "1"), f.post(http.StatusOK, "/v1/recommend", `{"by": {"category": "none such"}, "k": 100}`),
	} {
		if c["personalized"] != false || !slices.Equal(itemsOf(c), itemsOf(everybody)) {
			t.Errorf("who is to be nobody gets %v", c)
		}
	}
	items := s.catalogOf()
	category := items[plain[less][0]]["category"]
	for _, x := range itemsOf(f.post(http.StatusOK, "/v1/recommend", `{"by": {"category": "`+category+`"}}`)) {
		if items[x]["category"] != category {
			t.Errorf("%s stands in the list of another category", x)
		}
	}
	cart := f.post(http.StatusOK, "/v1/recommend", `{"cart": ["`+plain[other][0]+`"], "k": 5, "explain": true}`)
	if cart["personalized"] != true || cart["subject"] != "" || cart["version"] != everybody["version"] || fmt.Sprint(cart["cart"]) != fmt.Sprint([]string{plain[other][0]}) ||
		len(itemsOf(cart)) != 5 || slices.Contains(itemsOf(cart), plain[other][0]) {
		t.Errorf("the list of a cart is %v", cart)
	}
	if err := s.opened.Online.SetFallback(t.Context(), &online.Fallback{By: "test", Why: "odd lists"}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"id": "` + other + `", "k": 100}`, `{"cart": ["` + plain[other][0] + `"], "k": 100}`, `{"k": 100}`} {
		if got := f.post(http.StatusOK, "/v1/recommend", body); got["personalized"] != false || !slices.Equal(itemsOf(got), itemsOf(everybody)) {
			t.Errorf("%s under the fallback: %v", body, got)
		}
	}
	if err := s.opened.Online.SetFallback(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := f.post(http.StatusOK, "/v1/recommend", `{"cart": ["none such"], "k": 100}`); !slices.Equal(itemsOf(got), itemsOf(everybody)) {
		t.Errorf("a cart of which no item is known reads %v", got)
	}
	if got := f.post(http.StatusOK, "/v1/recommend", `{"cart": ["`+plain[other][0]+`", "none such"], "k": 5}`); !slices.Equal(itemsOf(got), itemsOf(cart)) {
		t.Errorf("a cart with an item that is not known reads %v", got)
	}
	f.post(http.StatusNotFound, "/v1/similar", `{"item": "none such"}`)
	if got := f.post(http.StatusOK, "/v1/recommend", `{"id": "`+other+`", "context": {"device": "app"}, "k": 5}`); !slices.Equal(itemsOf(got), plain[other][:5]) {
		t.Errorf("a context, with nothing live that it could change, reads %v", got)
	}

	// What people want.
	prefer := func(id, preference, value string) map[string]any {
		return f.post(http.StatusOK, "/v1/preferences", `{"id": "`+id+`", "preference": "`+preference+`", "value": "`+value+`"}`)
	}
	s.runner.Now = func() time.Time { return nightAfter(6).Add(time.Hour) }
	if got := prefer(off, "level", "off"); got["denied"] != 1.0 || s.listOf(off).Personalized {
		t.Errorf("somebody who wants no profile: %v", got)
	}
	top := plain[down][0]
	prefer(less, "less", "category="+category)
	prefer(less, "less", plain[less][len(plain[less])-1])
	prefer(down, "thumbs-down", top)
	prefer(newer, "prefer", "new")
	prefer(twice, "less", "category="+category)
	s.runner.Now = func() time.Time { return nightAfter(6).Add(2 * time.Hour) }
	prefer(twice, "usual", "category="+category)
	for body, code := range map[string]int{
		`{"id": "x", "preference": "mute"}`: 400, `{"id": "x", "preference": "level", "value": "some"}`: 400, `{"id": "x", "preference": "reset", "value": "x"}`: 400,
		`{"id": "x", "preference": "exclude", "value": "tea"}`: 400, `{"id": "` + other + `", "preference": "less", "value": "` + other + `"}`: 422,
	} {
		if got := f.post(code, "/v1/preferences", body); strings.Contains(toJSON(t, got), other) {
			t.Errorf("%s: the answer repeats an id", body)
		}
	}
	traces := map[string]map[string][]byte{down: s.traces(down)}
	if found := s.find(traces[down]); found["number, little-endian"] == "" && found["number"] == "" {
		t.Fatalf("what somebody wants cannot be traced: %v", found)
	}
	run := func() {
		t.Helper()
		now := s.runner.Now()
		s.runner.Now = func() time.Time { return now }
		if _, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughPublish}); err != nil {
			t.Fatal(err)
		}
	}
	run()
	for info, err := range s.opened.Bucket.List(t.Context(), "done/wishes/", storage.ListOpt{}) {
		t.Fatalf("a snapshot has taken what came in, and %s stands there still (%v)", info.Key, err)
	}
	if s.listOf(off).Personalized {
		t.Error("the next run lets somebody back in who wants no profile")
	}
	rank := func(id string) (sum int) {
		for i, x := range s.listOf(id).Items {
			if items[x.Item]["category"] == category {
				sum += i
			}
		}
		return sum
	}
	before := 0
	for i, x := range plain[less] {
		if items[x]["category"] == category {
			before += i
		}
	}
	if got := rank(less); got <= before || len(s.listOf(less).Items) != len(plain[less]) {
		t.Errorf("the places of what less is wanted of add up to %d, and did to %d", got, before)
	}
	told := func(id, rule string) bool {
		return slices.ContainsFunc(s.listOf(id).Items, func(x online.ListItem) bool {
			return slices.ContainsFunc(x.Reasons, func(r online.Reason) bool { return r.Kind == "rule" && r.Ref == rule })
		})
	}
	if a, b, c := told(less, "less"), told(other, "less"), told(newer, "prefer"); !a || b || !c {
		t.Errorf("reasons do not say which wish moved what: less %v, who wants nothing %v, prefer new %v", a, b, c)
	}
	if slices.ContainsFunc(s.listOf(down).Items, func(x online.ListItem) bool { return x.Item == top }) {
		t.Error("an item with a thumb down stands in the list")
	}
	for _, id := range []string{twice, other} {
		if got := itemsOf(ask(id, "")); !slices.Equal(got, plain[id]) {
			t.Error("the list of somebody who wants nothing, or took it back, has changed")
		}
	}
	st := f.post(http.StatusOK, "/v1/preferences", `{"id": "`+less+`"}`)
	if wants := st["wants"].(map[string]any); st["profiled"] != true || len(wants["less"].([]any)) != 2 || wants["level"] != "full" {
		t.Errorf("how it stands: %v", st)
	}
	if st := f.post(http.StatusOK, "/v1/preferences", `{"id": "`+off+`"}`); st["profiled"] != false || st["why"] != "level off" {
		t.Errorf("how it stands with who wants no profile: %v", st)
	}

	// Who leaves when what it wants has been recorded is denied all the same.
	gone, leave := context.WithCancel(t.Context())
	r := s.newRunner(&leaving{s.opened.Bucket, leave}, "leaving")
	r.Now = s.runner.Now
	if _, err := r.Preferrer([]*jobs.Job{s.job}).Prefer(gone, []string{newer}, []policy.Wish{{Name: policy.WishPause, Value: "on"}}); err != nil || gone.Err() == nil || s.personalized(newer) {
		t.Errorf("somebody who asks for a pause and leaves: %v", err)
	}

	// Two who snapshot at one moment: nothing of either is lost.
	s.runner.Now = func() time.Time { return nightAfter(6).Add(3 * time.Hour) }
	prefer(other, "less", "category="+category)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := s.newRunner(s.opened.Bucket, string(rune('a'+i)))
			r.Now = s.runner.Now
			p := r.Preferrer([]*jobs.Job{s.job})
			if _, err := p.Prefer(t.Context(), []string{ids[i]}, []policy.Wish{{Name: policy.WishForget, Value: "none such"}}); err != nil {
				t.Error(err)
			}
			if _, err := r.Run(t.Context(), s.job, s.interval(i+2), jobs.Options{Through: jobs.ThroughIngest}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	found, err := s.runner.Standings(t.Context(), s.job, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range found[:4] {
		if _, ok := st.Wants.Forget["none such"]; !ok {
			t.Errorf("what person %d wants was lost", i)
		}
	}
	if len(found[5].Wants.Less) != 1 || len(found[1].Wants.Less) != 2 {
		t.Error("an earlier wish was lost")
	}
	numbers := map[string]int{}
	for info, err := range s.opened.Bucket.List(t.Context(), "done/preferences/", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		if numbers[strings.Split(info.Key, "/")[2]]++; numbers[strings.Split(info.Key, "/")[2]] > 1 {
			t.Errorf("two snapshots have one number: %s", info.Key)
		}
	}

	// An erasure takes what somebody wants with it, also what no snapshot has taken yet.
	prefer(down, "prefer", "new")
	if _, err := s.erase(down); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", traces)
	if log := s.log.String(); strings.Contains(log, less) {
		t.Error("the log names a person")
	}
}

// leaving is a bucket whose reader leaves when a wish is recorded.
type leaving struct {
	storage.Bucket
	leave context.CancelFunc
}

func (l *leaving) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	info, err := l.Bucket.Put(ctx, key, b, c)
	if strings.HasPrefix(key, "done/wishes/") {
		l.leave()
	}
	return info, err
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
