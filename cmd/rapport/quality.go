package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// printQuality prints what came of a run's expectations and what was left out of its sources.
func printQuality(w io.Writer, r *ledger.Run) {
	if len(r.Verdicts) > 0 {
		row(w)
		row(w, "EXPECTED OF", "WHAT", "VERDICT", "SAYS")
		for _, v := range r.Verdicts {
			what := v.Expectation
			if v.Column != "" {
				what += " of " + v.Column
			}
			says := v.Says
			if v.Outcome != expect.Passed {
				says = v.String()
			}
			row(w, v.Set, what, v.Outcome, says)
		}
	}
	for _, q := range r.Quarantine {
		row(w)
		row(w, "QUARANTINED", q.Set, fmt.Sprintf("%d of %d rows", q.Rows, q.Of))
		for _, column := range slices.Sorted(maps.Keys(q.Reasons)) {
			for _, why := range slices.Sorted(maps.Keys(q.Reasons[column])) {
				row(w, "", cmp.Or(column, "the whole row"), fmt.Sprintf("%d %s", q.Reasons[column][why], why))
			}
		}
		for i, p := range q.First {
			label := ""
			if i == 0 {
				label = "as"
			}
			row(w, label, placeOf(p))
		}
		if int64(len(q.First)) < q.Rows {
			row(w, "", "rapport runs show "+r.ID+" --quarantine lists more")
		}
	}
}

// placeOf says where a row stands.
func placeOf(p expect.Place) string {
	return fmt.Sprintf("%s, row group %d, row %d: %s", p.File, p.Group, p.Row, strings.TrimSpace(p.Column+" "+string(p.Reason)))
}

// printPlaces lists where quarantined rows stand.
func printPlaces(w io.Writer, all []expect.Place, r *ledger.Run) {
	if len(all) == 0 {
		row(w, "no row was quarantined that a step still lists")
		return
	}
	row(w, "FILE", "ROW GROUP", "ROW", "COLUMN", "REASON")
	for _, p := range all {
		row(w, p.File, p.Group, p.Row, p.Column, p.Reason)
	}
	var n int64
	for _, q := range r.Quarantine {
		n += q.Rows
	}
	if rest := n - int64(len(all)); rest > 0 {
		row(w, fmt.Sprintf("… and %d more, which are counted and not listed", rest))
	}
}
