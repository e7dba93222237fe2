package jobs

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestSettingsThatDiffer: settings are named as a project file names them, and one that says nothing is as one that is not there.
func TestSettingsThatDiffer(t *testing.T) {
	was := `{"trust":{"Conversion":["buy"]},"views":{"x":{"features":[{"Op":"count"}]}},"k":10,"same":1}`
	now := `{"trust":{"Conversion":["cart"]},"views":{"x":{"features":[{"Op":"count","Column":"","HalfLife":0}],"HalfLife":"7d"}},"k":20,"same":1,"gone":false}`
	got := fmt.Sprint(specDifferences(json.RawMessage(was), json.RawMessage(now)))
	if want := "[{project file: k 10 20} {project file: trust.conversion[0] buy cart} {project file: views.x.half_life none 7d}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
