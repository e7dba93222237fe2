package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded answers lookups with what it was asked.
type recorded struct{ err error }

func (r recorded) Recommend(_ context.Context, ask RecommendRequest) (any, error) {
	return map[string]any{"id": ask.ID.Raw(), "cart": ask.Cart, "by": ask.By, "k": ask.K, "context": ask.Context}, r.err
}

func (r recorded) Similar(_ context.Context, ask SimilarRequest) (any, error) {
	return map[string]any{"item": ask.Item}, r.err
}

func (r recorded) Consent(_ context.Context, ask ConsentRequest) (any, error) {
	return map[string]int{"records": len(ask.Records)}, nil
}

func (r recorded) ConsentFile(_ context.Context, ask ConsentFile) (any, error) {
	return map[string]any{"kind": ask.Kind, "bytes": len(ask.Body)}, r.err
}

func (r recorded) Preferences(_ context.Context, ask PreferencesRequest) (any, error) {
	return map[string]any{"id": ask.ID.Raw(), "preference": ask.Preference}, r.err
}

func (r recorded) Decide(_ context.Context, ask DecideRequest) (any, error) {
	return fmt.Sprintf("%s %s %d: %s", ask.Verb, ask.Model, ask.Version, ask.Why), r.err
}

// TestDecide: what is decided comes through as the path says, with its reason; without one, a model or a version nothing is.
func TestDecide(t *testing.T) {
	o := options()
	o.Lookups, o.Tokens = recorded{}, oneEach(t)
	h := Handler(o)
	for verb, path := range map[string]string{"approve": PathApprove, "reject": PathReject} {
		w := post(h, path, "secret of the approver", `{"model": "home", "version": 7, "why": " seen the report "}`)
		if want := strconv.Quote(verb + " home 7: seen the report"); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
		for _, body := range []string{
			`{"version": 7, "why": "x"}`, `{"model": "home", "why": "x"}`, `{"model": "home", "version": 7, "why": " "}`, `{"model": "home", "version": 7}`, `{"model": "home", "version": -1, "why": "x"}`,
			`{"model": "home", "version": 7, "why": "x", "verb": "approve"}`, `{"model": "home", "version": 7, "why": "x", "by": "ann"}`,
		} {
			if w := post(h, path, "secret of the approver", body); w.Code != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
			}
		}
	}
}

// post sends a body as JSON.
func post(h http.Handler, path, token, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	bounded(h).ServeHTTP(w, r)
	return w
}

// TestLookups: what is asked comes through as it was asked; what is wrong is refused with a reason that does not repeat it; who asks not to be tracked is
// nobody.
func TestLookups(t *testing.T) {
	o := options()
	seen := map[string]int{}
	o.Lookups, o.Tokens, o.Looked = recorded{}, tokens(t, Token{Name: "all", Roles: Roles, Secret: "secret"}), func(path, outcome string, took time.Duration) { seen[path+" "+outcome]++ }
	h := Handler(o)
	for body, want := range map[string]string{
		`{"id": "u-1", "k": 5}`: `{"by":null,"cart":null,"context":null,"id":"u-1","k":5}`,
		`{"id": 123}`:           `{"by":null,"cart":null,"context":null,"id":"123","k":0}`,
		`{"id": -9007199254740993, "context": {"device": "app"}}`: `{"by":null,"cart":null,"context":{"device":"app"},"id":"-9007199254740993","k":0}`,
		`{"cart": ["a", "b"]}`:                    `{"by":null,"cart":["a","b"],"context":null,"id":"","k":0}`,
		`{"by": {"category": "tea"}, "id": null}`: `{"by":{"category":"tea"},"cart":null,"context":null,"id":"","k":0}`,
		`{}`: `{"by":null,"cart":null,"context":null,"id":"","k":0}`,
	} {
		w := post(h, "/v1/recommend", "secret", body)
		var got any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		if b, _ := json.Marshal(got); string(b) != want {
			t.Errorf("%s: asked for %s", body, b)
		}
	}
	for _, body := range []string{`{"id": "u-1", "context": {"device": "app"}}`, `{"cart": ["a"]}`} {
		if w := post(h, "/v1/recommend", "secret", body, "Sec-GPC", "1"); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "u-1") || strings.Contains(w.Body.String(), `"a"`) {
			t.Errorf("%s with Sec-GPC: %d %s", body, w.Code, w.Body)
		}
	}
	if w := post(h, "/v1/recommend", "secret", `{"by": {"category": "tea"}}`, "Sec-GPC", "1"); !strings.Contains(w.Body.String(), "tea") {
		t.Errorf("a list of a category with Sec-GPC: %s", w.Body)
	}
	const secret = "u-7788-secret"
	refused := map[string]int{
		"": 400, "null garbage": 400, `{"id": "` + secret + `"} {}`: 400, `{"id": "` + secret + `", "name": 1}`: 400, `{"id": {"a": "` + secret + `"}}`: 400, `{"id": 1.5}`: 400,
		`{"id": true}`: 400, `["` + secret + `"]`: 400, `{"id": "` + secret + `", "cart": ["a"]}`: 400, `{"id": "` + secret + `", "k": 1001}`: 400, `{"k": -1}`: 400,
		`{"by": {"a": "b", "c": "d"}}`: 400, `{"context": {"device": "app"}}`: 400, `{"id": "` + secret + `", "context": {"d": "a"}, "explain": true}`: 400,
		`{"cart": ["a"` + strings.Repeat(`, "a"`, maxCart) + `]}`: 400, `{"id": "` + strings.Repeat(secret, maxBody/10) + `"}`: 413,
	}
	for body, want := range refused {
		if w := post(h, "/v1/recommend", "secret", body); w.Code != want || strings.Contains(w.Body.String(), secret) || !strings.Contains(w.Body.String(), "error") {
			t.Errorf("%.60s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		if w := post(h, "/v1/recommend", "secret", `{}`, "Content-Type", kind); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: %d", kind, w.Code)
		}
	}
	if w := post(h, "/v1/recommend", "secret", `{}`, "Content-Type", "application/json; charset=utf-8"); w.Code != http.StatusOK {
		t.Errorf("JSON with a charset: %d", w.Code)
	}
	for _, path := range []string{"/v1/recommend", "/v1/similar", "/v1/preferences"} {
		if w := post(h, path, "wrong", `{}`); w.Code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d", path, w.Code)
		}
		if w := ask(h, http.MethodGet, path+"?id="+secret, "localhost", "Bearer secret"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if w := post(h, "/v1/similar", "secret", `{"item": "a"}`); w.Code != http.StatusOK {
		t.Errorf("similar: %d", w.Code)
	}
	if w := post(h, "/v1/similar", "secret", `{"kind": "similar"}`); w.Code != http.StatusBadRequest {
		t.Errorf("similar to nothing: %d", w.Code)
	}
	if w := post(h, "/v1/preferences", "secret", `{"id": "u-1", "preference": "less", "value": "a"}`); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "less") {
		t.Errorf("a preference: %d %s", w.Code, w.Body)
	}
	if w := post(h, "/v1/preferences", "secret", `{"preference": "less"}`); w.Code != http.StatusBadRequest {
		t.Errorf("nobody's preference: %d", w.Code)
	}
	if seen["/v1/recommend ok"] == 0 || seen["/v1/recommend refused"] < len(refused) || seen["/v1/preferences ok"] != 1 {
		t.Errorf("counted were %v", seen)
	}

	// Without a token nobody's preference is taken, and lookups are this machine's.
	o.Tokens = nil
	if w := post(Handler(o), "/v1/preferences", "", `{"id": "u-1", "preference": "reset"}`); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "serve.token") {
		t.Errorf("a preference without a token: %d %s", w.Code, w.Body)
	}
	if w := post(Handler(o), "/v1/recommend", "", `{}`); w.Code != http.StatusOK {
		t.Errorf("a list without a token: %d", w.Code)
	}
	if w := ask(Handler(options()), http.MethodPost, "/v1/recommend", "localhost", ""); w.Code != http.StatusNotFound {
		t.Errorf("a server without lookups: %d", w.Code)
	}
	if got := fmt.Sprintf("%v %s %+v %#v", ID{secret}, ID{secret}, RecommendRequest{ID: ID{secret}}, ID{secret}); strings.Contains(got, secret) {
		t.Errorf("an id prints as %s", got)
	}
}

// TestLookupFaults: an error that names its code is told with it, any other as one of the server; who comes when all turns are taken is asked to come again.
func TestLookupFaults(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{{&Fault{404, "no such item"}, 404}, {fmt.Errorf("cart: %w", &Fault{400, "bad"}), 400}, {errors.New("the store is away"), 503}} {
		o := options()
		o.Lookups = recorded{c.err}
		if w := post(Handler(o), "/v1/recommend", "", `{}`); w.Code != c.code || !strings.Contains(w.Body.String(), "error") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	o := options()
	o.Lookups = recorded{}
	l := newLookups(o)
	open := newRoutes()
	l.route(open)
	mux := tokens(t).authenticate(open.mux)
	for range cap(l.turns) {
		l.turns <- struct{}{}
	}
	if w := post(mux, "/v1/recommend", "", `{}`); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("when all turns are taken: %d", w.Code)
	}
	<-l.turns
	for range 3 {
		if w := post(mux, "/v1/recommend", "", `{}`); w.Code != http.StatusOK {
			t.Errorf("when one is free: %d", w.Code)
		}
	}
}

// FuzzRecommendBody: no body makes the server fall, and no answer repeats what was sent.
func FuzzRecommendBody(f *testing.F) {
	for _, seed := range []string{`{"id": "u-1"}`, `{"id": 12, "k": 3}`, `{"cart": ["a"]}`, `{"by": {"a": "b"}}`, `{"at": "2026-03-01T10:00:00Z", "id": "x"}`, `{`, `[]`, `{"id": "\ud800"}`} {
		f.Add(seed)
	}
	o := options()
	o.Lookups = recorded{}
	h := Handler(o)
	f.Fuzz(func(t *testing.T, body string) {
		w := post(h, "/v1/recommend", "", body)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer is no JSON: %s", w.Body)
		}
	})
}

// slowly records whether a connection was given more time.
type slowly struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (s *slowly) SetReadDeadline(until time.Time) error {
	s.until = until
	return nil
}

func (s *slowly) SetWriteDeadline(time.Time) error { return nil }

// Only who may send a file has the time for one: who sends no token, or one of another role, holds a connection no longer than others do.
func TestTimeForFiles(t *testing.T) {
	o := options()
	o.Lookups, o.Tokens = recorded{}, oneEach(t)
	h := Handler(o)
	for token, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, "secret of the reader": http.StatusForbidden, "secret of the privacy": http.StatusOK} {
		r := httptest.NewRequest(http.MethodPost, PathConsent, strings.NewReader("subject\n1\n"))
		r.Header.Set("Content-Type", "text/csv")
		r.Header.Set("Authorization", "Bearer "+token)
		w := &slowly{ResponseRecorder: httptest.NewRecorder()}
		bounded(h).ServeHTTP(w, r)
		if w.Code != want || w.until.IsZero() != (want != http.StatusOK) {
			t.Errorf("token %q: %d, its body may come until %v", token, w.Code, w.until)
		}
	}
}
