package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
)

// maxCart bounds the items of a cart: each is scored without once.
const maxCart = 50

// similarCmd asks the live artifact, not the online store: what is asked of an item needs nobody's row.
func (a *app) similarCmd() *cobra.Command {
	var k int
	var kind string
	c := &cobra.Command{
		Use:   "similar ITEM [-k N] [--kind similar|together]",
		Short: "The items that stand beside an item, by the live model",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if k < 1 {
				return usageError{fmt.Errorf("similar: %d items: must be at least 1", k)}
			}
			if kinds := []string{models.RelatedSimilar, models.RelatedTogether}; !slices.Contains(kinds, kind) {
				return usageError{fmt.Errorf("similar: --kind %q: want %s", kind, strings.Join(kinds, " or "))}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.onlineJob(nil)
			if err != nil {
				return err
			}
			l, err := p.runner.Related(cmd.Context(), j, args[0], kind, k)
			if err != nil {
				return anonymousFault(err)
			}
			return a.print(l, func(w io.Writer) { printAnonymous(w, l) })
		},
	}
	c.Flags().IntVarP(&k, "k", "k", 10, "how many items")
	c.Flags().StringVar(&kind, "kind", models.RelatedSimilar, "similar: what may stand in its place; together: what is taken with it")
	return c
}

// cartList answers recommend --cart.
func (a *app) cartList(ctx context.Context, cart string, k int, explain bool) error {
	var items []string
	for _, id := range strings.Split(cart, ",") {
		if id = strings.TrimSpace(id); id != "" && !slices.Contains(items, id) {
			items = append(items, id)
		}
	}
	if len(items) == 0 || len(items) > maxCart {
		return usageError{fmt.Errorf("--cart: want 1 to %d items, joined by commas", maxCart)}
	}
	p, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer p.Close()
	j, err := p.onlineJob(nil)
	if err != nil {
		return err
	}
	if k == 0 {
		k = p.listLength(ctx)
	}
	if k < 1 {
		return usageError{fmt.Errorf("recommend %d items: must be at least 1", k)}
	}
	l, err := p.runner.Cart(ctx, j, items, k, explain)
	if err != nil {
		return anonymousFault(err)
	}
	return a.print(l, func(w io.Writer) { printAnonymous(w, l) })
}

// anonymousFault makes what is not there an error that exits 5.
func anonymousFault(err error) error {
	for _, missing := range []error{jobs.ErrNothingPublished, jobs.ErrUnknownItem, jobs.ErrItemExcluded, jobs.ErrNoRelated} {
		if errors.Is(err, missing) {
			return notFoundError{err}
		}
	}
	return err
}

func printAnonymous(w io.Writer, l *jobs.AnonymousList) {
	row(w, l.Kind+" "+strings.Join(l.Of, ", "), fmt.Sprintf("%s version %d", l.Model, l.Version))
	for i, e := range l.Items {
		row(w, fmt.Sprintf("  %d", i+1), e.Item, fmt.Sprintf("%.4f", e.Score), explained(e))
	}
	if len(l.Items) == 0 {
		row(w, "", "nothing: too little is known of it")
	}
}

// explained prints why an entry stands there, what it would score otherwise, and how far that is to be trusted.
func explained(e jobs.Entry) string {
	var parts []string
	for _, r := range e.Reasons {
		parts = append(parts, fmt.Sprintf("%s %s %+.4f", r.Kind, r.Ref, r.Contribution))
	}
	for _, x := range e.Without {
		parts = append(parts, fmt.Sprintf("without %s %.4f", x.Item, x.Score))
	}
	for _, d := range e.Doubts {
		parts = append(parts, "little is known: "+string(d))
	}
	return strings.Join(parts, "; ")
}
