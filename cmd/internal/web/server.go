package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Options are what the endpoints answer from.
type Options struct {
	Tokens  *Tokens // what callers must send as a bearer token; nil, or none: anybody on this machine may ask
	Now     func() time.Time
	Status  func(context.Context) (any, error) // what GET /v1/status prints
	Checks  []Check                            // what must hold for /readyz
	Metrics http.Handler
	Lookups Lookups                                        // nil: none are answered
	Looked  func(path, outcome string, took time.Duration) // is told of each lookup; nil: nobody is
}

// Check is one thing that must hold for a server to be ready.
type Check struct {
	Name string
	Do   func(context.Context) error
}

// How long an answer may take to find, and how long it is given again to those who ask next.
const (
	patience = 10 * time.Second
	fresh    = 2 * time.Second
)

// everybody are those who may see how things stand: it is of nobody in particular.
var everybody = Roles

// Handler answers GET /healthz, /readyz, /metrics and /v1/status, and lookups if there are any.
func Handler(o Options) http.Handler {
	if o.Tokens == nil {
		o.Tokens, _ = NewTokens() // none are never wrong
	}
	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]bool{"alive": true}) })
	open.Handle("/", o.Tokens.authenticate(guarded(o).mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		open.ServeHTTP(w, r)
	})
}

// guarded is every path but /healthz, with who may ask for it.
func guarded(o Options) *routes {
	ready := &cached{now: o.Now, find: func(ctx context.Context) (any, error) { return check(ctx, o.Checks), nil }}
	status := &cached{now: o.Now, find: o.Status}
	s := newRoutes()
	s.handle("GET /readyz", []Role{Reader, Operator}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, err := ready.get(r.Context())
		if err != nil {
			fault(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		code := http.StatusOK
		if !found.(readiness).Ready {
			code = http.StatusServiceUnavailable
		}
		answer(w, code, found)
	}))
	s.handle("GET /v1/status", everybody, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, err := status.get(r.Context())
		if err != nil {
			fault(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, found)
	}))
	s.handle("GET /metrics", []Role{Reader, Operator}, o.Metrics)
	if o.Lookups != nil {
		newLookups(o).route(s)
	}
	return s
}

// Loopback reports whether an address, with or without a port, can be reached from this machine alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// cached finds an answer once for all who ask within a moment.
type cached struct {
	now  func() time.Time
	find func(context.Context) (any, error)

	mu    sync.Mutex
	at    time.Time
	value any
	err   error
}

func (c *cached) get(ctx context.Context) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := c.now().Sub(c.at); c.at.IsZero() || age < 0 || age > fresh {
		// Who asked first may leave; the others still want the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		c.value, c.err = c.find(ctx)
		c.at = c.now()
	}
	return c.value, c.err
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool      `json:"ready"`
	Checks []checked `json:"checks"`
}

type checked struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// check does all checks at once. One that does not answer in time has failed.
func check(ctx context.Context, all []Check) readiness {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	out := readiness{Ready: true, Checks: make([]checked, len(all))}
	results := make([]chan error, len(all))
	for i, c := range all {
		results[i] = make(chan error, 1)
		go func() { results[i] <- c.Do(ctx) }()
	}
	for i, c := range all {
		var err error
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			err = errors.New("no answer in time")
		}
		out.Checks[i] = checked{Name: c.Name, OK: err == nil}
		if err != nil {
			out.Ready, out.Checks[i].Error = false, err.Error()
		}
	}
	return out
}

func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // who asked has gone, and nobody is left to tell
}

func fault(w http.ResponseWriter, code int, says string) {
	answer(w, code, map[string]string{"error": says})
}

// Limits of a connection: a caller that is slow, or sends much, holds nothing up.
const (
	headerTime  = 5 * time.Second
	answerTime  = 30 * time.Second
	idleTime    = 2 * time.Minute
	headerBytes = 16 << 10
	goodbye     = 5 * time.Second // for answers under way when the server stops
)

// Serve answers on l until ctx ends, and then lets the answers under way end.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: bounded(h), ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if err := s.Shutdown(end); err != nil {
		return errors.Join(fmt.Errorf("http: %w", err), s.Close())
	}
	return nil
}
