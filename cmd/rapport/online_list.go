package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// onlineListCmd shows the published lists that are nobody's: what serving systems read for a visitor who is not known, for one value of a column, and
// beside an item.
func (a *app) onlineListCmd() *cobra.Command {
	var by, beside, kind string
	var k int
	c := &cobra.Command{
		Use:   "list [--by COLUMN=LEVEL | --beside ITEM [--kind similar|together]] [-k N]",
		Short: "A published list that is nobody's: everybody's, of one category or market, or beside an item",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			column, level, ok := strings.Cut(by, "=")
			switch {
			case by != "" && (!ok || column == "" || level == ""):
				return usageError{fmt.Errorf("--by %q: want COLUMN=LEVEL, as category=tea", by)}
			case by != "" && beside != "":
				return usageError{errors.New("online list: --by and --beside are two lists: give one of them")}
			case kind != models.RelatedSimilar && kind != models.RelatedTogether:
				return usageError{fmt.Errorf("--kind %q: want %s or %s", kind, models.RelatedSimilar, models.RelatedTogether)}
			case k < 0:
				return usageError{fmt.Errorf("-k %d: must be at least 1", k)}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			if k == 0 {
				k = p.listLength(cmd.Context())
			}
			l, ptr, err := a.anonymousList(cmd.Context(), p, column, level, beside, kind, k)
			switch {
			case errors.Is(err, online.ErrNoGeneration):
				return notFoundError{fmt.Errorf("%w; rapport run JOB publishes one", err)}
			case errors.Is(err, online.ErrNotFound) && beside != "":
				return notFoundError{fmt.Errorf("no list of what is %s stands beside this item: lists.related publishes them, and little may be known of it", kind)}
			case errors.Is(err, online.ErrNotFound):
				return notFoundError{fmt.Errorf("no list of %s is published: lists.unprofiled_by publishes them, without what few people took", by)}
			case err != nil:
				return err
			}
			return a.print(answered("", l, ptr, true), func(w io.Writer) {
				row(w, "list", fmt.Sprintf("not based on profiling, version %s, generation %d", l.Version, ptr.Generation))
				for i, item := range l.Items {
					row(w, fmt.Sprintf("  %d", i+1), item.Item, fmt.Sprintf("%.4f", item.Score))
				}
			})
		},
	}
	c.Flags().StringVar(&by, "by", "", "of one value of an item attribute or a context column, as category=tea")
	c.Flags().StringVar(&beside, "beside", "", "beside this item")
	c.Flags().StringVar(&kind, "kind", models.RelatedSimilar, "beside an item: similar, or together: what is taken with it")
	c.Flags().IntVarP(&k, "k", "k", 0, "how many items (default: lists.k of the model that is live)")
	return c
}

func (a *app) anonymousList(ctx context.Context, p *project, column, level, beside, kind string, k int) (online.List, online.Pointer, error) {
	now := table.Micros(p.runner.Now())
	switch {
	case beside != "":
		return online.LookupRelated(ctx, p.Online, kind, beside, k, now)
	case column != "":
		return online.LookupUnprofiledBy(ctx, p.Online, column, level, k, now)
	}
	return online.Recommend(ctx, p.Online, "", k, now) // nobody's key: nobody is known
}
