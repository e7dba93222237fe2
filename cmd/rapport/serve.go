package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/web"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
)

// serveFlags are what serve is told beside the project file.
type serveFlags struct {
	listen   string
	drain    time.Duration
	takeover bool
	simulate string // FROM..TO
}

func (a *app) serveCmd() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve [--listen ADDR] [--drain D] [--takeover]",
		Short: "Start the jobs when their schedules say so, and answer lookups, /healthz, /readyz, /metrics and /v1/status",
		Long: "Start the jobs when their schedules say so, and answer GET /healthz, /readyz, /metrics and /v1/status, and POST /v1/recommend,\n" +
			"/v1/similar, /v1/preferences and /v1/consent, which are what serving systems in any language ask.\n" +
			"Any number of servers may stand over one bucket: each interval is run once. They must have one project file; a server whose file declares\n" +
			"a job otherwise than one that is up already exits with 2, unless --takeover makes the older one give way.\n" +
			"SIGTERM and Ctrl-C drain: no run starts any more, and what runs may end within --drain; then, or at a second signal, it is cancelled, to be\n" +
			"resumed by the next start. SIGHUP reads the tokens of the project file, and what they stand in, anew; any other change of it needs a restart,\n" +
			"and SIGHUP only says whether the file would do.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	c.Flags().StringVar(&f.listen, "listen", "", "host:port to answer at (default: serve.listen of the project file, else "+configs.ListenDefault+")")
	c.Flags().DurationVar(&f.drain, "drain", 10*time.Minute, "how long runs may go on once the server is to stop")
	c.Flags().BoolVar(&f.takeover, "takeover", false, "start jobs also if an older server declares them otherwise; it gives way")
	c.Flags().StringVar(&f.simulate, "simulate", "", "FROM..TO: follow the schedules over a span of time that has passed, at once, and exit")
	if err := c.Flags().MarkHidden("simulate"); err != nil {
		panic(err) // the flag is there
	}
	return c
}

func (a *app) serve(ctx context.Context, f serveFlags) error {
	if f.drain < 0 {
		return usageError{fmt.Errorf("--drain %s: less than nothing", f.drain)}
	}
	p, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer p.Close()
	s := &server{app: a, project: p, flags: f}
	if s.clock, err = s.newClock(); err != nil {
		return err
	}
	p.runner.Progress = nil // a log, not a terminal
	p.runner.Log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	js, err := p.allJobs()
	if err != nil {
		return err
	}
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer l.Close() // again, and harmless, once it has been served from
	s.reads = s.newReadsWatch()
	s.lookAtKeys(ctx)
	metrics := s.wire(js)
	defer s.scheduler.Leave(ctx)
	if err := s.scheduler.Announce(ctx); err != nil {
		if errors.Is(err, jobs.ErrConflict) {
			return usageError{err}
		}
		return err
	}
	if !web.Loopback(l.Addr().String()) {
		fmt.Fprintln(a.err, inTheClear)
	}
	fmt.Fprintf(a.out, "listening on http://%s\n", l.Addr())
	if f.simulate == "" {
		s.agenda(ctx, js)
	}
	return s.until(ctx, l, web.Handler(web.Options{
		Tokens: s.tokens, Now: a.wall, Metrics: metrics.Handler(), Checks: s.checks(), Lookups: s.lookups(js), Looked: metrics.Looked,
		Status: func(ctx context.Context) (any, error) {
			st, err := p.standing(ctx, js)
			if err != nil {
				return nil, err
			}
			faults, err := p.runner.KeyFaults(ctx)
			return servedStanding{st, s.reads.standing(), append([]string{}, faults...)}, err
		},
	}))
}

// servedStanding is how things stand, as a server tells it: with what its callers read.
type servedStanding struct {
	*standing
	Tokens []web.Reading `json:"tokens"`
	Keys   []string      `json:"key_faults"` // of the secrets that it was started with
}

// agenda logs what the server waits for: it may be silent until the night.
func (s *server) agenda(ctx context.Context, js []*jobs.Job) {
	st, err := s.runner.Status(ctx, js)
	if err != nil {
		s.runner.Log.Warn("how the jobs stand could not be read; the schedules go on", "error", err)
		return
	}
	for _, j := range st.Jobs {
		switch {
		case j.Paused != "":
			s.runner.Log.Warn("paused", "job", j.Job, "by", j.Paused)
		case j.Late:
			s.runner.Log.Warn("late: an interval missed for longer than catch_up is left to rapport run", "job", j.Job, "why", j.Why, "next_due", j.Next)
		default:
			s.runner.Log.Info("waits", "job", j.Job, "next_due", j.Next)
		}
	}
}

// server is a running serve.
type server struct {
	*app
	*project
	flags     serveFlags
	clock     jobs.Clock
	tokens    *web.Tokens
	reads     *readsWatch
	scheduler *jobs.Scheduler
	stopping  context.Context // ends when no run starts any more
	fitted    bool            // the secrets did when it started
}

// newClock is the machine's clock, or a simulated one.
func (s *server) newClock() (jobs.Clock, error) {
	if s.flags.simulate == "" {
		if s.Pinned() {
			return nil, usageError{errors.New("clock: the project file pins now, and a schedule needs a clock that goes on: take clock.fixed out, or use rapport run and rapport backfill")}
		}
		return jobs.WallClock(s.wall), nil
	}
	from, to, ok := strings.Cut(s.flags.simulate, "..")
	begin, err := instant(from, time.UTC)
	end, err2 := instant(to, time.UTC)
	if !ok || err != nil || err2 != nil || !begin.Before(end) {
		return nil, usageError{fmt.Errorf("--simulate %s: want FROM..TO, two days or RFC 3339 times", s.flags.simulate)}
	}
	return jobs.NewSimulation(begin, end), nil
}

// inTheClear is said of a server that other machines reach.
const inTheClear = "warning: other machines reach this port over http://: tokens and ids that are not behind a proxy which ends TLS travel unencrypted; with the proxy on this machine, listen on 127.0.0.1"

// listen opens the port, once it is certain that only those may come who should.
func (s *server) listen(ctx context.Context) (net.Listener, error) {
	addr := s.flags.listen
	for _, a := range []string{s.Serve.Listen, configs.ListenDefault} {
		if addr == "" {
			addr = a
		}
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usageError{fmt.Errorf("--listen %s: want host:port, as %s", addr, configs.ListenDefault)}
	}
	tokens, err := s.callers(s.Opened.Project)
	if err == nil {
		s.tokens, err = web.NewTokens(tokens...)
	}
	if err != nil {
		return nil, usageError{err}
	}
	if len(tokens) == 0 && !web.Loopback(addr) {
		return nil, usageError{fmt.Errorf("listening on %s lets other machines in, and there is no token: set serve.tokens in the project file, or listen on 127.0.0.1", addr)}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: the port is in use, perhaps by another rapport serve; --listen names another", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// wire makes the scheduler, and the metrics that count its runs.
func (s *server) wire(js []*jobs.Job) *web.Metrics {
	src := web.Sources{
		Now: s.wall, Revision: s.runner.Revision, Status: func(ctx context.Context) (*jobs.Status, error) { return s.runner.Status(ctx, js) },
		Scheduler: func() jobs.SchedulerState { return s.scheduler.State() },
	}
	for _, j := range js {
		src.Jobs = append(src.Jobs, j.Name)
	}
	if slices.ContainsFunc(js, func(j *jobs.Job) bool { return j.Trust != nil }) {
		src.Trust = func(ctx context.Context) (map[string]eval.TrustWeek, error) { return s.runner.LastWeeks(ctx, js) }
	}
	src.Reads, src.Unlogged = s.reads.standing, s.reads.unlogged
	if s.alerts != nil {
		src.Alerts = func() (sent, failed, suppressed uint64) {
			c := s.alerts.Counts()
			return c.Sent, c.Failed, c.Suppressed
		}
	}
	m := web.NewMetrics(src)
	s.runner.Now = s.clock.Now
	s.runner.Observers = append(s.runner.Observers, m)
	if s.alerts == nil {
		s.runner.Observers = append(s.runner.Observers, rightsKept{s.keeper()})
	}
	s.scheduler = jobs.NewScheduler(s.runner, js, jobs.SchedulerOptions{Clock: s.clock, Drain: s.flags.drain, Takeover: s.flags.takeover})
	return m
}

// rightsKept writes down what people have a right to and is late, where the project file names nobody to be told: status and alerts list show it.
type rightsKept struct{ to *alert.Notifier }

func (rightsKept) Started(context.Context, *jobs.Job, ledger.Run)             {}
func (rightsKept) Ended(context.Context, *jobs.Job, ledger.Run, *jobs.Result) {}

// Overdue implements jobs.OverdueObserver.
func (r rightsKept) Overdue(ctx context.Context, all []jobs.Overdue) { r.to.Overdue(ctx, all) }

// until runs the server until ctx ends, and drains it.
func (s *server) until(ctx context.Context, l net.Listener, h http.Handler) error {
	hurry, unhook := s.signals(ctx)
	defer unhook()
	beside, end := context.WithCancel(context.WithoutCancel(ctx)) // goes on while runs are drained
	ctx, stop := context.WithCancel(ctx)
	s.stopping = ctx
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := web.Serve(beside, l, h); err != nil {
			failed = err
			stop()
		}
	})
	wg.Go(func() { s.reads.run(beside) })
	if s.flags.simulate == "" {
		wg.Go(func() { s.scheduler.Watch(beside) })
	}
	err := s.scheduler.Run(ctx, hurry)
	stop()
	end()
	wg.Wait() // no request is under way any more
	s.reads.last(context.WithoutCancel(ctx))
	return errors.Join(err, failed)
}

// signals closes hurry at the second signal to stop, and answers SIGHUP. The first signal ends the context of the whole program.
func (s *server) signals(ctx context.Context) (hurry <-chan struct{}, unhook func()) {
	stop, hup, done, hurried := make(chan os.Signal, 2), make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		seen := 0
		for {
			select {
			case <-done:
				return
			case <-stop:
				if seen++; seen == 2 {
					close(hurried)
				}
			case <-hup:
				s.reload()
			}
		}
	}()
	return hurried, func() { signal.Stop(stop); signal.Stop(hup); close(done) }
}

// reload takes the tokens of the project file as it is now. All else of it is read at the next start: jobs under way hold what they began with.
func (s *server) reload() {
	p, err := s.load()
	if err != nil {
		s.runner.Log.Error("SIGHUP: the project file would not do; this server goes on with what it read before", "error", err)
		return
	}
	tokens, err := s.callers(p)
	if err == nil && len(tokens) == 0 && len(s.tokens.All()) > 0 {
		err = errors.New("there is no token any more: a server that others may reach needs one; restart it to serve this machine alone")
	}
	if err == nil {
		err = s.tokens.Replace(tokens...)
	}
	if err != nil {
		s.runner.Log.Error("SIGHUP: the tokens would not do; this server goes on with those that it had", "error", err)
		return
	}
	s.runner.Log.Warn("SIGHUP: the tokens are those of the project file now; all else of it is read at the next start", "tokens", len(tokens))
	if key, _, err := p.Secrets(s.env); err != nil || key.ID() != s.runner.Keys.ID() {
		s.runner.Log.Warn("SIGHUP: the pseudonym key of the project file is not the one that this server holds: it takes another only at a start", "holds", s.runner.Keys.ID(), "named", key.ID(), "error", err)
	}
}

// callers are the tokens of a project file. Of one whose file others can read it warns.
func (s *server) callers(p *configs.Project) ([]web.Token, error) {
	found, err := p.ServeTokens(s.env)
	if err != nil {
		return nil, err
	}
	var out []web.Token
	for _, t := range found {
		x := web.Token{Name: t.Name, Secret: t.Secret, Above: t.AlertAbove}
		for _, role := range t.Roles {
			x.Roles = append(x.Roles, web.Role(role))
		}
		out = append(out, x)
	}
	for _, x := range p.OpenSecrets() {
		s.runner.Log.Warn("a secret's file can be read by others than its owner and group", "key", x)
	}
	return out, nil
}

// lookAtKeys notes whether the secrets do when the server starts, and warns if not.
func (s *server) lookAtKeys(ctx context.Context) {
	faults, err := s.runner.KeyFaults(ctx)
	if s.fitted = err == nil && len(faults) == 0; !s.fitted {
		s.runner.Log.Error("people are not recognized by the secrets that are given, and nothing of theirs is recorded", "faults", faults, "error", err)
	}
}

// keysFit fails when people are not recognized by the secrets that are given. A server that a rotation comes upon serves who stands in the live lists as before,
// and records nothing; it is ready until lists are live in which people stand under the new key.
func (s *server) keysFit(ctx context.Context) error {
	faults, err := s.runner.KeyFaults(ctx)
	if err != nil || len(faults) == 0 {
		return err
	}
	if s.fitted {
		if lacks, err := s.runner.LiveLacks(ctx); err != nil || len(lacks) == 0 {
			return err
		}
	}
	return fmt.Errorf("%s. If the project file names that key by now, start this server with it", strings.Join(faults, "; "))
}

// slowTurn is how old the scheduler's last look at its schedules may be.
const slowTurn = 3 * time.Minute

// checks are what must hold for the server to be ready.
func (s *server) checks() []web.Check {
	return []web.Check{
		{Name: "scheduler", Do: func(context.Context) error {
			at := s.scheduler.State().Turned
			switch {
			case s.stopping.Err() != nil:
				return errors.New("draining: no run starts any more")
			case at.IsZero():
				return errors.New("it has not looked at its schedules yet")
			case s.wall().Sub(at) > slowTurn:
				return fmt.Errorf("it last looked at its schedules at %s: the bucket does not answer", at.UTC().Format(time.RFC3339))
			}
			return nil
		}},
		{Name: "storage", Do: func(ctx context.Context) error {
			_, err := s.Bucket.Head(ctx, "leases/publish") // any key will do
			if errors.Is(err, storage.ErrNotFound) {
				return nil
			}
			return err
		}},
		{Name: "online", Do: func(ctx context.Context) error {
			_, err := s.Online.Live(ctx)
			if errors.Is(err, online.ErrNoGeneration) {
				return nil
			}
			return err
		}},
		{Name: "keys", Do: s.keysFit},
		{Name: "access log", Do: s.reads.ready},
		{Name: "live", Do: func(ctx context.Context) error {
			_, err := s.Online.Live(ctx)
			if errors.Is(err, online.ErrNoGeneration) {
				return errors.New("nothing is live: the first run publishes, or rapport online load fills an empty store")
			}
			return err
		}},
	}
}
