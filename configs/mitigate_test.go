package configs

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/lists"
)

// TestRemedied: the file keeps its comments and layout, and has the remedy; what stands there in another form is left to people.
func TestRemedied(t *testing.T) {
	calibrate := &jobs.Remedy{Calibrate: &lists.Calibrate{By: "category", Weight: 0.1}}
	capped := &jobs.Remedy{AtMost: &lists.Limit{Column: "category", Most: 4}}
	floored := &jobs.Remedy{AtLeast: &lists.Floor{Column: "category", In: []string{"tea", "a: b"}, Share: 0.15}}
	fresh := &jobs.Remedy{Fresh: &lists.Fresh{Age: 14 * 24 * time.Hour, Share: 0.05}}
	for name, c := range map[string]struct {
		remedy     *jobs.Remedy
		model, out string // out "": by hand
	}{
		"no lists yet":       {calibrate, "    parts: [popular] # all\n", "    lists: {calibrate: {by: category, weight: 0.1}}\n    parts: [popular] # all\n"},
		"lists in a line":    {capped, "    parts: [popular]\n    lists: {k: 20} # short\n", "    parts: [popular]\n    lists: {at_most: {category: 4}, k: 20} # short\n"},
		"lists over lines":   {floored, "    parts: [popular]\n    lists:\n      # shown\n      k: 20\n", "    parts: [popular]\n    lists:\n      # shown\n      at_least: {category: {of: [\"tea\", \"a: b\"], share: 0.15}}\n      k: 20\n"},
		"another weight":     {calibrate, "    parts: [popular]\n    lists: {calibrate: {by: category, weight: 0.7}}\n", "    parts: [popular]\n    lists: {calibrate: {by: category, weight: 0.1}}\n"},
		"another limit":      {capped, "    parts: [popular]\n    lists: {at_most: {category: 9}}\n", "    parts: [popular]\n    lists: {at_most: {category: 4}}\n"},
		"a limit beside one": {capped, "    parts: [popular]\n    lists: {at_most: {brand: 9}}\n", "    parts: [popular]\n    lists: {at_most: {category: 4, brand: 9}}\n"},
		"another share":      {fresh, "    parts: [popular]\n    lists: {fresh: {age: 14d, share: 0.2}}\n", "    parts: [popular]\n    lists: {fresh: {age: 14d, share: 0.05}}\n"},
		"another floor":      {floored, "    parts: [popular]\n    lists: {at_least: {category: {of: [tea], share: 0.1}}}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := remedyProject(t, c.model)
			got, err := p.Remedied("nightly", c.remedy)
			if c.out == "" {
				if err == nil {
					t.Errorf("edited:\n%s", got)
				}
				return
			}
			holdEdited(t, p, got, err, c.model, c.out)
		})
	}
	p := remedyProject(t, "    parts: [popular]\n")
	got, err := p.Remedied("nightly", &jobs.Remedy{Reweight: &jobs.Reweight{Cohort: "gender", Of: map[string]float64{"female": 1.25}}})
	if err != nil || !strings.Contains(string(got), `reweight: {cohort: gender, of: {"female": 1.25}}`) {
		t.Errorf("%v:\n%s", err, got)
	}
	if _, err := p.Remedied("nightly", &jobs.Remedy{}); err == nil {
		t.Error("a remedy that says nothing is put in")
	}
	if err := os.WriteFile(p.dec.file, append(got, "\n# another\nversion: 3\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Remedied("nightly", calibrate); err == nil {
		t.Error("a file that has become another is edited")
	}
}

// remedyProject is a project that may mitigate, whose model is as given.
func remedyProject(t *testing.T, model string) *Project {
	t.Helper()
	return loaded(t, strings.Replace(remedyFile, "MODEL\n", model, 1))
}

const remedyFile = `project: shop
storage: file:./lake
online: embedded:./online
pseudonyms: {key: "env:RAPPORT_PSEUDONYM_KEY"}
sources:
  events: {path: "file:./raw/dt={date}/*.parquet", subject: user_id, item: sku, at: ts, kind: action}
  items: {path: "file:./raw/items.parquet", item: sku}
  cohorts: {path: "file:./raw/cohorts.parquet", subject: user_id}
purposes:
  recommend:
    says: We use what you bought here to suggest things you may like.
    basis: legitimate-interest
    reads: {events: [kind], items: [category, brand]}
  check_fairness:
    says: We check that suggestions work equally well for everyone.
    basis: legitimate-interest
    reads: {cohorts: [gender]}
    use: evaluation
  close_gaps:
    says: Where suggestions work less well for some, what they do weighs more.
    basis: legitimate-interest
    reads: {cohorts: [gender]}
    use: mitigation
models:
  home:
MODEL
jobs:
  nightly:
    purpose: {train: recommend, evaluate: check_fairness, mitigate: close_gaps}
    train: {model: home, window: 60d}
    evaluate: {cohorts: [gender]}
`

// TestMitigationIsDeclared: training may weigh groups only under a purpose that is declared for that.
func TestMitigationIsDeclared(t *testing.T) {
	text := strings.Replace(remedyFile, "MODEL\n", "    parts: [popular]\n", 1)
	weighing := strings.Replace(text, "window: 60d}", "window: 60d, reweight: {cohort: gender, of: {female: 1.25}}}", 1)
	for want, c := range map[string][3]string{
		"":                            {weighing},
		"is there to evaluate by":     {weighing, ", mitigate: close_gaps", ""},
		"not declared for remedies":   {weighing, "mitigate: close_gaps", "mitigate: recommend"},
		"no purpose \"close\" is":     {weighing, "mitigate: close_gaps", "mitigate: close"},
		"does not read cohorts.gend":  {weighing, "    reads: {cohorts: [gender]}\n    use: mitigation", "    reads: {cohorts: [age_band]}\n    use: mitigation"},
		"declared for mitigation al":  {text, "train: recommend", "train: close_gaps"},
		"is not evaluated":            {weighing, "cohort: gender", "cohort: age_band"},
		"must be from 1/16 to 16":     {weighing, "female: 1.25", "female: 20"},
		"names no group":              {weighing, "{female: 1.25}", "{}"},
		"at_least.brand.share: is 2,": {text, "    parts: [popular]\n", "    parts: [popular]\n    lists: {at_least: {brand: {of: [a], share: 2}}}\n"},
		"\"colour\", which purpose":   {text, "    parts: [popular]\n", "    parts: [popular]\n    lists: {at_least: {colour: {of: [a], share: 0.2}}}\n"},
	} {
		src := c[0]
		if c[1] != "" {
			src = strings.Replace(src, c[1], c[2], 1)
		}
		_, err := parse("rapport.yaml", []byte(src))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
