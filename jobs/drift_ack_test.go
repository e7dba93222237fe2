package jobs

import (
	"testing"

	"github.com/rapport-ml/rapport/eval/drift"
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
