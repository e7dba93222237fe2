package jobs

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// TestAckCovers: who knows of a column's drift knows of one cause; what a model makes of its inputs has none, and can be known of all the same.
func TestAckCovers(t *testing.T) {
	shift, broken := &drift.Cause{Kind: drift.PopulationShift}, &drift.Cause{Kind: drift.UpstreamBreak}
	for _, tt := range []struct {
		name string
		ack  Ack
		of   drift.Column
		want bool
	}{
		{"the same", Ack{Column: "price", Cause: drift.PopulationShift}, drift.Column{Name: "price", Cause: shift}, true},
		{"another cause", Ack{Column: "price", Cause: drift.PopulationShift}, drift.Column{Name: "price", Cause: broken}, false},
		{"another column", Ack{Column: "price", Cause: drift.PopulationShift}, drift.Column{Name: "kind", Cause: shift}, false},
		{"scores", Ack{Column: scoreColumn}, drift.Column{Name: scoreColumn}, true},
		{"no cause was known, one is now", Ack{Column: "price"}, drift.Column{Name: "price", Cause: broken}, false},
	} {
		if got := tt.ack.covers(&tt.of); got != tt.want {
			t.Errorf("%s: covered %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestKnownChooses: one cause is silenced at a time. Where a run has called several columns and nobody says which is meant, all are named with their causes and none
// is chosen; what is known already does not count.
func TestKnownChooses(t *testing.T) {
	column := func(name string, cause drift.CauseKind, does eval.Effect) DriftVerdict {
		v := DriftVerdict{Column: name, Verdict: drift.Drifted, Does: does}
		if cause != "" {
			v.Cause = &drift.Cause{Kind: cause}
		}
		return v
	}
	price, spend, kind := column("price", drift.UpstreamBreak, eval.Refuses), column("activity:spend", drift.UpstreamBreak, eval.Refuses), column("kind", drift.BehaviourShift, eval.Warns)
	scores, old := column(scoreColumn, "", eval.Warns), column("old", drift.ConsentShift, eval.NoEffect)
	still := DriftVerdict{Column: "still", Verdict: drift.Stable}
	for _, tt := range []struct {
		name  string
		of    []DriftVerdict
		known Known
		want  string // columns, or what the error says
		err   error
	}{
		{"the only one", []DriftVerdict{still, price}, Known{}, "price", nil},
		{"the only one that is not known", []DriftVerdict{price, old}, Known{}, "price", nil},
		{"the only one, known, for longer", []DriftVerdict{old}, Known{}, "old", nil},
		{"several", []DriftVerdict{price, spend, kind, scores, old}, Known{}, "called price (upstream), activity:spend (upstream), kind (behaviour), " + scoreColumn, ErrWhichDrift},
		{"several of one cause", []DriftVerdict{price, spend}, Known{}, "price (upstream), activity:spend (upstream)", ErrWhichDrift},
		{"by name", []DriftVerdict{price, spend, kind}, Known{Columns: []string{"kind"}}, "kind", nil},
		{"by names", []DriftVerdict{price, spend, kind}, Known{Columns: []string{"kind", "price"}}, "price kind", nil},
		{"by cause", []DriftVerdict{price, spend, kind}, Known{Cause: drift.UpstreamBreak}, "price activity:spend", nil},
		{"without a cause, by name", []DriftVerdict{price, scores}, Known{Columns: []string{scoreColumn}}, scoreColumn, nil},
		{"a column that is still", []DriftVerdict{price, still}, Known{Columns: []string{"price", "still"}}, "it has not called still; it called price (upstream)", ErrNothingToAcknowledge},
		{"a column for another cause", []DriftVerdict{price}, Known{Columns: []string{"price"}, Cause: drift.ConsentShift}, "price for the cause consent", ErrNothingToAcknowledge},
		{"a cause that nothing has", []DriftVerdict{price}, Known{Cause: drift.ConsentShift}, "for the cause consent: it called price (upstream)", ErrNothingToAcknowledge},
		{"nothing called", []DriftVerdict{still}, Known{}, "it called none", ErrNothingToAcknowledge},
	} {
		body, err := json.Marshal(Drifted{Columns: tt.of})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tt.known.choose(&ledger.Run{ID: "r1", Drift: body})
		var names []string
		for _, c := range got {
			names = append(names, c.Column)
		}
		if !errors.Is(err, tt.err) || tt.err == nil && !slices.Equal(names, strings.Fields(tt.want)) || tt.err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", tt.name, names, err, tt.want)
		}
	}
}
