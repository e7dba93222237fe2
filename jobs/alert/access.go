package alert

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

const accessCommand = "rapport access-log"

// Reads says that a token has touched the records of so many people within the last hour, more than it may (above) without somebody being told. The
// condition is of no job. Each call counts once, so it should come once an hour; from the second on it says that the condition goes on.
func (n *Notifier) Reads(ctx context.Context, token string, people, above int64) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	now := n.Now()
	at := now.UTC().Format(time.RFC3339)
	c := n.see(ctx, &jobs.Job{}, finding{
		kind: Access, subject: token, run: at, fingerprint: at,
		summary: Clean(fmt.Sprintf("token %s has touched the records of about %d people within an hour, more than %d", token, people, above), maxSummary),
		details: []string{
			"What it has asked for is in the access log, by its name.",
			"If that is a use that is meant, raise its alert_above. If not, change the token where serve.tokens says it stands, or take it out there, and send SIGHUP to serve.",
		},
		command: accessCommand,
	}, now)
	if c != nil {
		n.deliver(ctx, []*condition{c}, true)
	}
}

// OpenReads lists the tokens of which Reads has an open condition, ascending; what cannot be read is in the error, beside the rest. Cost: one listing,
// one GET a condition.
func (n *Notifier) OpenReads(ctx context.Context) (tokens []string, err error) {
	if n == nil {
		return nil, nil
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	all, err := n.store.all(ctx, n.Project)
	for _, c := range all {
		if c.Open && c.Kind == Access {
			tokens = append(tokens, c.Subject)
		}
	}
	slices.Sort(tokens)
	return tokens, err
}

// ReadsOver says that a token touches the records of no more people than it may, or why else that is over. Where no condition of it is open it says nothing.
func (n *Notifier) ReadsOver(ctx context.Context, token, why string) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	c, err := n.store.update(ctx, n.fresh("", Access, token), func(c *condition) bool {
		if !c.resolve("", table.Interval{}, why, n.Now()) {
			return false
		}
		c.Command = accessCommand
		return true
	})
	if err != nil {
		n.Log.Warn("alert not resolved", "kind", Access, "token", token, "error", err)
		return
	}
	n.deliver(ctx, []*condition{c}, true)
}
