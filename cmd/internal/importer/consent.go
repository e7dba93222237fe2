package importer

import (
	"context"
	"fmt"
	"iter"
	"time"
)

var consentColumns = []column{
	{"subject", keyText},
	{"purpose", keyText},
	{"state", keyText},
	{"effective_at", keyTime},
	{"recorded_at", keyTime},
	{"expires_at", optionTime},
	{"source", keyText},
	{"record_id", keyText},
}

// declare writes one record for each subject and purpose, effective and recorded at the midnight (UTC) before the day of the first event,
// and returns how many subjects there are and that time.
func declare(ctx context.Context, out *output, people iter.Seq2[string, error], first time.Time) (subjects int, from time.Time, err error) {
	from = first.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	page, part, n := newSheet(consentColumns), 0, 0
	flush := func() error {
		err := page.put(ctx, out, fmt.Sprintf("consent/declared-%d.parquet", part))
		page, part = newSheet(consentColumns), part+1
		return err
	}
	for id, err := range people {
		if err != nil {
			return 0, from, err
		}
		subjects++
		for _, purpose := range declaredPurposes {
			n++
			page.text(0, id)
			page.text(1, purpose)
			page.text(2, declaredState)
			page.time(3, from.UnixMicro())
			page.time(4, from.UnixMicro())
			page.time(5, 0)
			page.text(6, declaredSource)
			page.text(7, fmt.Sprintf("declared-%d", n))
			if err := page.end(); err != nil {
				return 0, from, fmt.Errorf("encode consent: %w", err)
			}
		}
		if page.rows >= largest {
			if err := flush(); err != nil {
				return 0, from, err
			}
		}
	}
	if page.rows > 0 {
		return subjects, from, flush()
	}
	return subjects, from, nil
}

func declared(people int, from time.Time) string {
	return fmt.Sprintf("consent: %s for %s and the purposes %s, effective %s (before the first event), source: %s",
		declaredState, plural(int64(people), "subject"), joined(declaredPurposes), from.Format(time.RFC3339), declaredSource)
}
