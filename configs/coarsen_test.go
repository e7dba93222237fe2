package configs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/event"
)

// coarseProject is lockProject with rules for the age of subjects and, of events, the value and the device.
func coarseProject(t *testing.T) *locked {
	l := &locked{t, filepath.Join(t.TempDir(), "rapport.yaml"), strings.NewReplacer(
		"columns: {device: device_type}}", "columns: {device: device_type}, coarsen: {value: {edges: [0, 10, 100]}, device: {hierarchy: devices.csv, level: 1}}}",
		"numbers: [age]}", "numbers: [age], coarsen: {age: {width: 10}}}").Replace(lockProject)}
	l.devices("value,level_1,level_2\niPhone 9,phone,mobile\niPad,tablet,mobile\nPC,desk,fixed\n")
	l.accept("")
	return l
}

func (l *locked) devices(body string) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(l.path), "devices.csv"), []byte(body), 0o600); err != nil {
		l.Fatal(err)
	}
}

// TestLockHoldsRules: a finer rule is a wider use, a coarser one is none, and the review says what became of it.
func TestLockHoldsRules(t *testing.T) {
	l := coarseProject(t)
	for _, c := range []struct {
		name, old, new string
		want           string // of the fault; "": none
	}{
		{"as accepted", "", "", ""},
		{"wider bins", "{width: 10}", "{width: 20}", ""},
		{"edges between bins", "{width: 10}", "{edges: [20, 60]}", ""},
		{"fewer edges", "[0, 10, 100]", "[0, 100]", ""},
		{"a higher level", "level: 1", "level: 2", ""},
		{"levels by size", "level: 1", "level: 1, at_least: 50", ""},
		{"narrower bins", "{width: 10}", "{width: 5}", "purposes.recommend.reads.subjects: reads age, coarsened to width 5, which purposes.lock does not allow"},
		{"other bins", "{width: 10}", "{width: 15}", "reads age, coarsened to width 15"},
		{"edges within bins", "{width: 10}", "{edges: [18, 65]}", "reads age, coarsened to edges 18 65"},
		{"another edge", "[0, 10, 100]", "[0, 50, 100]", "purposes.recommend.reads.events: reads value from amount, coarsened to edges 0 50 100"},
		{"no rule", ", coarsen: {age: {width: 10}}", "", "reads age, which"},
		{"another column", "device: device_type", "device: user_agent", "reads device from user_agent, coarsened to level 1 of hierarchy"},
	} {
		l.write(c.old, c.new)
		if _, err := Load(l.path); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	l.accept("level: 1", "level: 1, at_least: 50")
	for fewer, want := range map[string]string{"level: 1, at_least: 60": "", "level: 1, at_least: 49": ", of at least 49 people, which", "level: 2": "coarsened to level 2 of hierarchy", "level: 1": "coarsened to level 1 of hierarchy"} {
		l.write("level: 1", fewer)
		if _, err := Load(l.path); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s, where 50 people were accepted: %v, want %q", fewer, err, want)
		}
	}
	l.write("", "")
	l.accept("")
	l.devices("value,level_1,level_2\niPhone 9,iPhone,mobile\niPad,tablet,mobile\nWatch,watch,mobile\n")
	edited := "reads device from device_type, coarsened to level 1 of hierarchy devices.csv, which was edited since it was accepted: 1 value stands elsewhere, 1 is new, 1 is gone of 3"
	if _, err := Load(l.path); err == nil || !strings.Contains(err.Error(), edited+", which purposes.lock does not allow") {
		t.Errorf("another hierarchy: %v, want %s", err, edited)
	}
	if got, want := l.accept("").Accepted, []string{"purposes.recommend.reads.events: " + edited}; !slices.Equal(got[len(got)-1].Changes, want) {
		t.Errorf("changes %q, want %q", got[len(got)-1].Changes, want)
	}
	l.devices("value,level_1,level_2\niPad,tablet,mobile\n")
	got := l.accept("level: 1", "level: 2").Accepted
	if says := strings.Join(got[len(got)-1].Changes, "; "); !strings.Contains(says, "no longer reads device from device_type, coarsened to level 1 of hierarchy devices.csv as it was accepted") || !strings.Contains(says, "reads device from device_type, coarsened to level 2 of hierarchy devices.csv") {
		t.Errorf("another rule by another file: %s", says)
	}

	plain := lockedProject(t)
	plain.body = strings.Replace(plain.body, "numbers: [age]}", "numbers: [age], coarsen: {age: {width: 10}}}", 1)
	changes := plain.accept("").Accepted[1].Changes
	if want := []string{"purposes.recommend.reads.subjects: reads only age, coarsened to width 10"}; !slices.Equal(changes, want) {
		t.Errorf("changes %q, want %q", changes, want)
	}
}

// TestRegisterTellsRules: who reads the register sees how coarse a column is.
func TestRegisterTellsRules(t *testing.T) {
	p, err := Load(coarseProject(t).path)
	if err != nil {
		t.Fatal(err)
	}
	reads := p.Register(nil).Purposes
	i := slices.IndexFunc(reads, func(pu RegisterPurpose) bool { return pu.Name == "recommend" })
	var all []string
	for _, r := range reads[i].Reads {
		all = append(all, r.Columns...)
	}
	for _, want := range []string{"age, coarsened to width 10", "value from amount, coarsened to edges 0 10 100"} {
		if !slices.Contains(all, want) {
			t.Errorf("the register has %q, and not %q", all, want)
		}
	}
	o, err := p.Open(t.Context(), func(string) string { return "" }, false)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	j, err := o.Job("nightly")
	if err != nil {
		t.Fatal(err)
	}
	if j.Events.Coarse["value"].Edges == nil || j.Events.Coarse["device"].Hierarchy == nil || j.Subjects.Coarse["age"].Width != 10 {
		t.Errorf("the job reads by %v and %v", j.Events.Coarse, j.Subjects.Coarse)
	}
}

func TestBadCoarsening(t *testing.T) {
	l := coarseProject(t)
	for _, c := range []struct{ old, new, want string }{
		{"age: {width: 10}", "age: {width: -10}", "sources.subjects.coarsen.age: width must be above 0"},
		{"age: {width: 10}", "age: {}", "want one of width"},
		{"age: {width: 10}", "age: {prefix: 2}", "the column holds numbers"},
		{"age: {width: 10}", "agee: {width: 10}", "did you mean age?"},
		{"value: {edges: [0, 10, 100]}", "value: {clock: hour}", "the column holds numbers"},
		{"value: {edges", "kind: {edges", "an event's kind is what it is"},
		{"devices.csv", "missing.csv", "sources.events.coarsen.device.hierarchy: read hierarchy: list missing.csv"},
		{"devices.csv", "\"*.csv\"", "is no path of one file"},
		{"level: 1", "level: 3", "level must be between 1 and 2"},
		{"level: 1", "level: 0", "level must be between 1 and 2"},
		{"level: 1", "at_least: 10", "sources.events.coarsen.device.at_least: groups of fewer than 11 people are told nowhere"},
		{"{width: 10}", "{width: 10, at_least: 20}", "there is none"},
		{"item: sku}\n  subjects", "item: sku, coarsen: {category: {prefix: 1}}}\n  subjects", "items are things"},
	} {
		l.write(c.old, c.new)
		if _, err := Load(l.path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rapport.yaml:") {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}

// TestRulesInLocks: a column whose name is a text of the lock is no other column's rule.
func TestRulesInLocks(t *testing.T) {
	rule := coarsenedTo + event.Coarsening{Width: 10}.String()
	for _, c := range []struct {
		is, was string
		want    bool
	}{
		{"age" + rule, "age", true},
		{"age" + rule, "age from years", false},
		{"age" + rule, "zip", false},
		{"age", "age" + rule, false},
		{"age" + rule + "0", "age" + rule, true},
		{plain("age" + rule), "age", false},
		{plain("age" + rule), `"age`, false},
		{plain("age"+rule) + rule, plain("age" + rule), false /* to be on the safe side */},
		{"age" + coarsenedTo + "nothing", "age", false},
	} {
		if got := coarserThan(c.is, c.was); got != c.want {
			t.Errorf("%q is coarser than %q: %v", c.is, c.was, got)
		}
	}
}
