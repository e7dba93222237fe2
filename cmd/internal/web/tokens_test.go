package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/event"
)

// tokens are those of a test's server.
func tokens(t testing.TB, all ...Token) *Tokens {
	t.Helper()
	out, err := NewTokens(all...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// oneEach is a token for each role.
func oneEach(t testing.TB) *Tokens {
	var all []Token
	for _, r := range Roles {
		all = append(all, Token{Name: string(r), Roles: []Role{r}, Secret: "secret of the " + string(r)})
	}
	return tokens(t, all...)
}

// TestRoles: who may ask for what is this table, path by path and role by role. A path that is added stands in it, or this fails; what is refused says which
// role is missing, and no token.
func TestRoles(t *testing.T) {
	allowed := map[string][]Role{
		"GET /readyz":          {Reader, Operator},
		"GET /metrics":         {Reader, Operator},
		"GET /v1/status":       {Reader, Operator, Approver, Privacy},
		"POST /v1/recommend":   {Reader},
		"POST /v1/similar":     {Reader},
		"POST /v1/preferences": {Privacy},
		"POST /v1/consent":     {Privacy},
		"POST /v1/approve":     {Approver},
		"POST /v1/reject":      {Approver},
	}
	o := options()
	o.Lookups, o.Tokens = recorded{}, oneEach(t)
	o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	has := guarded(o).needs
	if a, b := slices.Sorted(maps.Keys(has)), slices.Sorted(maps.Keys(allowed)); !slices.Equal(a, b) {
		t.Fatalf("paths %v, and roles are stated for %v", a, b)
	}
	h := Handler(o)
	for pattern := range has {
		method, path, _ := strings.Cut(pattern, " ")
		for _, role := range Roles {
			w := post(h, path, "secret of the "+string(role), `{"id": "u-1", "item": "a"}`)
			if method == http.MethodGet {
				w = ask(h, method, path, "example.test", "Bearer secret of the "+string(role))
			}
			switch may := slices.Contains(allowed[pattern], role); {
			case may && (w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized):
				t.Errorf("%s by %s: %d %s", pattern, role, w.Code, w.Body)
			case !may && w.Code != http.StatusForbidden, !may && !strings.Contains(w.Body.String(), string(allowed[pattern][0])), strings.Contains(w.Body.String(), "secret"):
				t.Errorf("%s by %s: %d %s", pattern, role, w.Code, w.Body)
			}
		}
	}
}

// A path that names no role is answered to nobody, not even to who has all of them.
func TestNoRoleIsNobody(t *testing.T) {
	s := newRoutes()
	s.handle("GET /new", nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	all := tokens(t, Token{Name: "all", Roles: Roles, Secret: "secret"})
	if w := ask(all.authenticate(s.mux), http.MethodGet, "/new", "localhost", "Bearer secret"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "nobody") {
		t.Errorf("with every role: %d %s", w.Code, w.Body)
	}
	if w := ask(tokens(t).authenticate(s.mux), http.MethodGet, "/new", "localhost", ""); w.Code != http.StatusForbidden {
		t.Errorf("without tokens: %d", w.Code)
	}
}

// Tokens are replaced while the server answers; what would not do changes nothing, and none prints.
func TestTokensReplaced(t *testing.T) {
	s := tokens(t, Token{Name: "shop", Roles: []Role{Reader}, Secret: "one"})
	h := s.authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, Caller(r.Context()).Name) }))
	is := func(secret string, code int, name string) {
		t.Helper()
		w := ask(h, http.MethodGet, "/", "example.test", "Bearer "+secret)
		if w.Code != code || code == http.StatusOK && w.Body.String() != name {
			t.Errorf("%s: %d %s", secret, w.Code, w.Body)
		}
	}
	is("one", http.StatusOK, "shop")
	if err := s.Replace(Token{Name: "shop", Roles: []Role{Reader}, Secret: "two"}, Token{Name: "desk", Roles: []Role{Privacy}, Secret: "three"}); err != nil {
		t.Fatal(err)
	}
	is("one", http.StatusUnauthorized, "")
	is("two", http.StatusOK, "shop")
	is("three", http.StatusOK, "desk")
	for want, bad := range map[string][]Token{
		"one token":  {{Name: "a", Roles: Roles, Secret: "same"}, {Name: "b", Roles: Roles, Secret: "same"}},
		"two tokens": {{Name: "a", Roles: Roles, Secret: "x"}, {Name: "a", Roles: Roles, Secret: "y"}},
		"no role":    {{Name: "a", Secret: "x"}},
		"is no role": {{Name: "a", Roles: []Role{"root"}, Secret: "x"}},
		"is empty":   {{Name: "a", Roles: Roles}},
	} {
		if err := s.Replace(bad...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "same") {
			t.Errorf("%s: %v", want, err)
		}
	}
	is("two", http.StatusOK, "shop")
	for _, x := range s.All() {
		if x.Secret != "" {
			t.Errorf("%s is told with its secret", x.Name)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", Token{Name: "a", Secret: "geheim"}, Token{Name: "a", Secret: "geheim"}, Token{Name: "a", Secret: "geheim"}); strings.Contains(got, "geheim") {
		t.Errorf("a token prints as %s", got)
	}
}

// person is the hash and the mark of the n-th person.
func person(n int) (uint64, event.Mark) {
	return aggregate.HashBits(uint64(n)), event.Mark{KeyID: "k1", MAC: fmt.Sprintf("%032x", n)}
}

func touch(r *Reads, token, path string, at time.Time, people ...int) {
	hashes := make([]uint64, len(people))
	for i, n := range people {
		hashes[i], _ = person(n)
	}
	r.Touch(token, path, at, hashes, func(i int) event.Mark { _, m := person(people[i]); return m })
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// A batch counts each person once, names them while they are few, and is due after its time; one that could not be written down comes again with what came
// since, and nobody is counted twice.
func TestReadBatches(t *testing.T) {
	r := NewReads()
	for range 3 {
		touch(r, "shop", PathRecommend, noon, 1, 2, 2)
	}
	touch(r, "desk", PathConsent, noon.Add(time.Minute), upTo(500)...)
	if got := r.Take(noon.Add(BatchTime-time.Second), false); got != nil {
		t.Errorf("%d batches before their time", len(got))
	}
	got := r.Take(noon.Add(BatchTime), false)
	if len(got) != 1 || got[0].Token != "shop" || got[0].Requests != 3 || got[0].People() != 2 || len(got[0].Marks()) != 2 || !r.Oldest().Equal(noon) {
		t.Fatalf("%+v", got)
	}
	touch(r, "shop", PathRecommend, noon.Add(BatchTime), 2, 3)
	r.Return(got[0], errors.New("the bucket is away"))
	if !r.Oldest().Equal(noon) {
		t.Errorf("the oldest is of %s", r.Oldest())
	}
	got = r.Take(noon.Add(BatchTime), true)
	if len(got) != 2 || got[1].Requests != 4 || got[1].People() != 3 || len(got[1].Marks()) != 3 {
		t.Fatalf("%+v", got)
	}
	if n := got[0].People(); n < 480 || n > 520 || got[0].Marks() != nil { // 500 ± 4 %, about four standard errors of a sketch of few
		t.Errorf("%d people of 500, %d are named", n, len(got[0].Marks()))
	}
	if !r.Oldest().Equal(noon) {
		t.Errorf("while lines are being written, the oldest is of %s", r.Oldest())
	}
	for _, b := range got {
		r.Wrote(b)
	}
	if !r.Oldest().IsZero() {
		t.Errorf("something is left of %s", r.Oldest())
	}
	touch(r, "shop", PathRecommend, noon, upTo(60)...)
	first := r.Take(noon, true)[0]
	touch(r, "shop", PathRecommend, noon, append(upTo(0), 100, 101, 102, 103, 104)...)
	for i := range 60 {
		touch(r, "shop", PathRecommend, noon, 200+i)
	}
	r.Return(first, errors.New("the bucket is away"))
	if b := r.Take(noon, true)[0]; b.Marks() != nil || b.People() <= 100 || b.People() > 130 || b.Requests != 62 {
		t.Errorf("%d people of 125, %d are named, %d requests", b.People(), len(b.Marks()), b.Requests)
	}
	for _, younger := range []bool{false, true} { // two of one path may be on their way at once, and come back in either order
		r := NewReads()
		var out []*Batch
		for i := range 2 {
			touch(r, "shop", PathRecommend, noon.Add(time.Duration(i)*time.Minute), i)
			out = append(out, r.Take(noon, true)...)
		}
		if younger {
			slices.Reverse(out)
		}
		for _, b := range out {
			r.Return(b, errors.New("the bucket is away"))
		}
		if !r.Oldest().Equal(noon) {
			t.Errorf("the younger one comes back first: %v; the oldest is of %s", younger, r.Oldest())
		}
	}
}

// The people of the last hour are counted once however often they are asked for, slide out of it, and take bounded memory.
func TestReadsOfAnHour(t *testing.T) {
	r := NewReads()
	all := []Token{{Name: "shop", Above: 1000}, {Name: "desk"}}
	at := noon
	for minute := range 90 { // 20 new people a minute, and one who comes each time
		for i := range 20 {
			touch(r, "shop", PathRecommend, at, 1_000_000, minute*20+i)
		}
		at = at.Add(time.Minute)
	}
	got := r.Hour(at.Add(-time.Second), all)
	if n := got[0].People; n < 1140 || n > 1260 || !got[0].Over || got[1] != (Reading{Token: "desk"}) { // 60 × 20 + 1, ± 5 %
		t.Errorf("%+v", got)
	}
	if got := r.Hour(at.Add(30*time.Minute), all); got[0].People < 560 || got[0].People > 640 || got[0].Over { // 29 minutes and a bit of them
		t.Errorf("half an hour later: %+v", got[0])
	}
	if got := r.Hour(at.Add(2*time.Hour), all); got[0].People != 0 || got[0].Over || len(r.hours) != 0 {
		t.Errorf("two hours later: %+v, %d sketches", got[0], len(r.hours))
	}
	for i := range 300_000 {
		touch(r, "shop", PathRecommend, noon.Add(time.Duration(i)*time.Millisecond*12), i)
	}
	if n := r.Hour(noon.Add(time.Hour), all)[0].People; n < 285_000 || n > 315_000 {
		t.Errorf("%d people of 300,000", n)
	}
	if n := len(*r.hours["shop"]) * 16; n > 512<<10 {
		t.Errorf("%d bytes of 300,000 people", n)
	}
}

// BenchmarkCaller is what a token and the count of its reads add to a request.
func BenchmarkCaller(b *testing.B) {
	s := oneEach(b)
	open := newRoutes()
	reads := NewReads()
	n := 0
	open.handle("GET /x", []Role{Privacy}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h, m := person(n % 50_000)
		reads.Touch(Caller(r.Context()).Name, PathRecommend, noon.Add(time.Duration(n)*time.Millisecond), []uint64{h}, func(int) event.Mark { return m })
		n++
	}))
	h := s.authenticate(open.mux)
	r := httptest.NewRequest(http.MethodGet, "/x", http.NoBody)
	r.Header.Set("Authorization", "Bearer secret of the privacy")
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
