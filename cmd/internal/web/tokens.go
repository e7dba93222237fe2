package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// Role is what a token may be used for.
type Role string

// The roles of a project file. A token may have several.
const (
	Reader   Role = "reader"   // asks for lists, as a serving system does, and how things stand
	Operator Role = "operator" // sees how things stand: health, metrics, jobs; no list
	Approver Role = "approver" // approves and rejects versions, and sees how things stand; no list
	Privacy  Role = "privacy"  // reads and records what people want and consent to, and sees how things stand
)

// Roles are all roles.
var Roles = []Role{Reader, Operator, Approver, Privacy}

// Token is what one caller sends, and what it may do with it. It prints without the secret.
type Token struct {
	Name   string // stands in logs in place of the token
	Roles  []Role
	Secret string
	Above  int64 // how many people's records it may touch within an hour before somebody is told; 0: any
}

// String leaves the secret out.
func (t Token) String() string { return fmt.Sprintf("token %s of %v", t.Name, t.Roles) }

// GoString leaves the secret out.
func (t Token) GoString() string { return t.String() }

// Local is the caller of a server without tokens: whoever asks from its own machine. It may read lists and see how things stand, and record nothing.
var Local = Token{Name: "local", Roles: []Role{Reader, Operator}}

// Tokens are those that are valid now. They may be replaced while requests are answered.
type Tokens struct {
	now atomic.Pointer[[]known]
}

// known is a token by its digest: of what is compared none has another length, and no memory keeps a token longer than it must.
type known struct {
	Token
	digest [sha256.Size]byte
}

// NewTokens returns the tokens of a server; without any it answers its own machine alone.
func NewTokens(all ...Token) (*Tokens, error) {
	t := &Tokens{}
	return t, t.Replace(all...)
}

// Replace takes tokens in place of those that were valid. It changes nothing if it fails: one token under two names, a name that is given twice,
// a token without a role or text.
func (t *Tokens) Replace(all ...Token) error {
	next := make([]known, 0, len(all))
	for _, x := range all {
		k := known{x, sha256.Sum256([]byte(x.Secret))}
		k.Secret = ""
		switch {
		case x.Secret == "":
			return fmt.Errorf("token %s is empty", x.Name)
		case len(x.Roles) == 0:
			return fmt.Errorf("token %s has no role", x.Name)
		}
		for _, role := range x.Roles {
			if !slices.Contains(Roles, role) {
				return fmt.Errorf("token %s: %q is no role", x.Name, role)
			}
		}
		for _, other := range next {
			switch {
			case other.Name == x.Name:
				return fmt.Errorf("two tokens are named %s", x.Name)
			case other.digest == k.digest:
				return fmt.Errorf("%s and %s are one token: give each caller its own, or nobody can tell who asked", other.Name, x.Name)
			}
		}
		next = append(next, k)
	}
	t.now.Store(&next)
	return nil
}

// All lists what is valid, without the secrets.
func (t *Tokens) All() []Token {
	var out []Token
	for _, k := range *t.now.Load() {
		out = append(out, k.Token)
	}
	return out
}

// find returns the token that was sent. How long it takes tells nothing of any token, nor which of them it was: all are compared, whole.
func (t *Tokens) find(sent string) (Token, bool) {
	digest := sha256.Sum256([]byte(sent))
	all, at := *t.now.Load(), -1
	for i := range all {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], all[i].digest[:]), i, at)
	}
	if at < 0 {
		return Token{}, false
	}
	return all[at].Token, true
}

// may reports whether a token has one of some roles.
func (t *Token) may(need []Role) bool {
	return slices.ContainsFunc(need, func(r Role) bool { return slices.Contains(t.Roles, r) })
}

type callerKey struct{}

// Caller is the token that a request came with.
func Caller(ctx context.Context) Token {
	t, _ := ctx.Value(callerKey{}).(Token)
	return t
}

var errNoToken = errors.New("send a token of serve.tokens or serve.token, as Authorization: Bearer TOKEN")

// authenticate lets through who sends a token; without tokens, who asks under a name of this machine.
func (t *Tokens) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := Local
		if len(*t.now.Load()) == 0 {
			if !Loopback(r.Host) {
				fault(w, http.StatusForbidden, "without a token this server answers only under a name of its own machine, as 127.0.0.1")
				return
			}
		} else {
			kind, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			found, ok := t.find(strings.TrimSpace(sent))
			if !ok || !strings.EqualFold(kind, "Bearer") {
				w.Header().Set("WWW-Authenticate", `Bearer realm="rapport"`)
				fault(w, http.StatusUnauthorized, errNoToken.Error())
				return
			}
			caller = found
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

// routes are the paths that want a token. A path is added with the roles that may ask for it, and there is no other way to add one: what names none is
// answered to nobody.
type routes struct {
	mux   *http.ServeMux
	needs map[string][]Role // by pattern
}

func newRoutes() *routes { return &routes{http.NewServeMux(), map[string][]Role{}} }

// handle adds a path for callers with one of some roles.
func (s *routes) handle(pattern string, need []Role, h http.Handler) {
	s.needs[pattern] = need
	s.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := Caller(r.Context())
		if !caller.may(need) {
			fault(w, http.StatusForbidden, forbidden(need, caller.Name == Local.Name))
			return
		}
		h.ServeHTTP(w, r)
	}))
}

// forbidden says which role is missing.
func forbidden(need []Role, local bool) string {
	names := make([]string, 0, len(need))
	for _, r := range need {
		names = append(names, string(r))
	}
	switch {
	case len(need) == 0:
		return "nobody may ask for this"
	case local:
		return fmt.Sprintf("this is answered only where callers send a token, to the role %s: set serve.tokens in the project file", strings.Join(names, " or "))
	}
	return fmt.Sprintf("this needs a token with the role %s (serve.tokens of the project file)", strings.Join(names, " or "))
}
