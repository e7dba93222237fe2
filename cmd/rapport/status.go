package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
)

// errStale makes status exit 1.
var errStale = errors.New("something is stale")

func (p *project) allJobs() ([]*jobs.Job, error) {
	var out []*jobs.Job
	for _, name := range p.JobNames() {
		j, err := p.Job(name)
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say what is live and how the jobs stand; exit 1 if something is stale",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			s, err := p.standing(cmd.Context(), js)
			if err != nil {
				return err
			}
			p.raise(cmd.Context(), js, s)
			faults, err := a.keyFaults(cmd.Context(), p)
			if err != nil {
				return err
			}
			err = a.print(shownStatus{s, faults}, func(w io.Writer) {
				row(w, "clock", clock(s.Clock))
				for _, x := range faults {
					row(w, "pseudonym key", x)
				}
				if f := s.Fallback; f != nil {
					row(w, "fallback", fallbackLine(f))
				}
				printDue(w, s.Requests)
				printRetention(w, s.Retention)
				for _, j := range s.Jobs {
					row(w)
					row(w, "job", j.Job)
					if j.Version == 0 {
						row(w, "live", "nothing")
					} else {
						row(w, "live", fmt.Sprintf("%s is version %d (%s), generation %d, of %s", j.Alias, j.Version, cmp.Or(j.Reviewed, verdict(registry.Verdict(j.Verdict), j.Decision)), j.Generation, j.Interval))
						row(w, "age", (time.Duration(j.Age) * time.Second).String())
					}
					row(w, "online", j.Online)
					if j.PinnedTo != "" {
						row(w, "pinned", j.PinnedTo)
					}
					if j.Candidate != 0 {
						row(w, "waiting", fmt.Sprintf("version %d", j.Candidate))
					}
					if j.Consent != "" {
						row(w, "consent read", j.Consent)
					}
					if j.ConsentHeld != "" {
						row(w, "consent", j.ConsentHeld)
					}
					if j.Owed != nil {
						row(w, "retrain", j.Owed)
					}
					if j.Last != nil {
						row(w, "last run", fmt.Sprintf("%s %s, %s", j.Last.ID, j.Last.Stands(), clock(j.Last.Started)))
						if n := j.Last.Flags; n > 0 {
							row(w, "flagged", fmt.Sprintf("%d things: rapport runs why %s", n, j.Last.ID))
						}
					}
					if j.Paused != "" {
						row(w, "paused", j.Paused)
					}
					row(w, "next due", clock(j.Next))
					if j.Stale {
						row(w, "stale", j.Why)
					}
				}
				printAlerts(w, s.Alerts)
			})
			if err == nil && len(faults) > 0 {
				err = fmt.Errorf("%w: rapport keys check says more", errKeys)
			}
			if err == nil && s.Stale {
				err = errStale
			}
			return err
		},
	}
}

// shownStatus is what status prints.
type shownStatus struct {
	*standing
	Keys []string `json:"key_faults"` // of the secrets that are given
}

// keyFaults says what is wrong with the secrets as they are given here. Who has none may ask how it stands all the same: then nobody looks.
func (a *app) keyFaults(ctx context.Context, p *project) ([]string, error) {
	current, previous, err := p.Secrets(a.env)
	if err != nil {
		return nil, nil
	}
	with := *p.runner
	with.Keys, with.Previous = current, previous
	return with.KeyFaults(ctx)
}
