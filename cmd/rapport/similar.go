package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
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
			return a.print(l, func(w io.Writer) { printAnonymous(w, l, nil) })
		},
	}
	c.Flags().IntVarP(&k, "k", "k", 10, "how many items")
	c.Flags().StringVar(&kind, "kind", models.RelatedSimilar, "similar: what may stand in its place; together: what is taken with it")
	return c
}

// cartList answers recommend --cart, and tells its reasons in a language.
func (a *app) cartList(ctx context.Context, cart, language string, k int, explain bool) error {
	said, err := configs.Reasons(language)
	if err != nil {
		return usageError{fmt.Errorf("--language: %w", err)}
	}
	items := distinct(strings.Split(cart, ","))
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
	now := table.Micros(p.runner.Now())
	return a.print(ofCart(l), func(w io.Writer) {
		printAnonymous(w, l, &spokenCart{said, func(id string) string {
			title, err := online.LookupTitle(ctx, p.Online, id, now)
			if err != nil { // the list is the artifact's: the store that knows the titles may be empty, or gone
				return id
			}
			return cmp.Or(title, id)
		}})
	})
}

// recommendedToCart is the list of a visitor of whom nothing is known but a cart: what a subject gets, of no subject and no stored list, and made for
// what is in the cart.
type recommendedToCart struct {
	recommended
	Cart  []string   `json:"cart"` // what the list was made for
	Items []cartItem `json:"items"`
}

type cartItem struct {
	online.ListItem
	Without []jobs.Counterfact `json:"without,omitempty"` // what it would score if the cart had never held an item
}

func ofCart(l *jobs.AnonymousList) recommendedToCart {
	out := recommendedToCart{recommended{Version: strconv.Itoa(l.Version), Personalized: true}, l.Of, make([]cartItem, len(l.Items))}
	for i, e := range l.Items {
		item := online.ListItem{Item: e.Item, Score: e.Score}
		for _, r := range e.Reasons {
			item.Reasons = append(item.Reasons, online.Reason{Kind: r.Kind, Ref: r.Ref, Contribution: r.Contribution})
		}
		for _, d := range e.Doubts {
			item.Doubts = append(item.Doubts, string(d))
		}
		out.Items[i] = cartItem{item, e.Without}
	}
	return out
}

// spokenCart tells the reasons of a list that is made of items alone.
type spokenCart struct {
	*configs.Sentences
	title func(item string) string
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

// printAnonymous prints a list; said is nil where none has reasons.
func printAnonymous(w io.Writer, l *jobs.AnonymousList, said *spokenCart) {
	row(w, l.Kind+" "+strings.Join(l.Of, ", "), fmt.Sprintf("%s version %d", l.Model, l.Version))
	for i, e := range l.Items {
		why := ""
		if said != nil {
			why = said.why(e)
		}
		row(w, fmt.Sprintf("  %d", i+1), e.Item, fmt.Sprintf("%.4f", e.Score), why)
	}
	if len(l.Items) == 0 {
		row(w, "", "nothing: too little is known of it")
	}
}

// why says why an entry stands there, how far that is to be trusted, and what it would score otherwise.
func (s *spokenCart) why(e jobs.Entry) string {
	var parts []string
	for _, r := range e.Reasons {
		if text := s.Say(online.Reason{Kind: r.Kind, Ref: r.Ref, Contribution: r.Contribution}, s.title); !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	if len(parts) > 0 {
		for _, d := range e.Doubts {
			parts = append(parts, s.Doubt(string(d)))
		}
	}
	for _, x := range e.Without {
		parts = append(parts, fmt.Sprintf("%.4f without %s", x.Score, s.title(x.Item)))
	}
	return strings.Join(parts, "; ")
}
