package configs

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
)

// tuneProject is a project file whose model has the given parts.
func tuneProject(t *testing.T, parts string) *Project {
	t.Helper()
	src, err := os.ReadFile("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	at := strings.Index(text, "\nmodels:")
	end := at + 1 + strings.Index(text[at+1:], "\njobs:")
	if at < 0 || end <= at {
		t.Fatalf("minimal.yaml has no models before its jobs:\n%s", text)
	}
	text = text[:at] + "\nmodels: # ä, two bytes\n  home:\n" + parts + text[end:]
	return loaded(t, text)
}

// Every algorithm's space is valid for its hyperparameters, and its defaults come through it unchanged.
func TestSpaces(t *testing.T) {
	p := &Project{dec: &decoder{lines: map[string]int{}, broken: map[string]bool{}}}
	for _, name := range partNames {
		s, ok := p.trainer(Part{Name: name})
		if !ok {
			t.Fatalf("part %s: %v", name, p.dec.faults)
		}
		x := tunable(s)
		if err := x.Space.Validate(s.Hyper); err != nil {
			t.Errorf("part %s: %v", name, err)
		}
		trainer, err := x.Trainer(x.Now)
		if err != nil || !reflect.DeepEqual(trainer, s.trainer) {
			t.Errorf("part %s: %+v with its own values is %+v, %v", name, s.trainer, trainer, err)
		}
		for _, u := range []float64{0, 0.5, 0.999} {
			at := make([]float64, len(x.Space))
			for i := range at {
				at[i] = u
			}
			trainer, err := x.Trainer(x.Space.At(at))
			if err != nil {
				t.Fatalf("part %s at %v: %v", name, u, err)
			}
			h := reflect.ValueOf(trainer).Elem().FieldByName("Hyper").Interface().(interface{ Validate() error })
			if err := h.Validate(); err != nil {
				t.Errorf("part %s at %v: %v", name, u, err)
			}
		}
	}
}

// The file keeps its comments and layout, and has the values.
func TestRetuned(t *testing.T) {
	values := map[string]models.Values{
		"als":   {"dim": 96, "weight": 0.03, "regularization": 0, "exponent": 1, "half_life": 90},
		"again": {"half_life": 365, "depletion": 0.45},
	}
	for name, c := range map[string]struct{ parts, want string }{
		"names in a line": {
			"    parts: [popular, again, als] # each, \"and\" all\n    seed: 7\n",
			"    parts: [popular, again: {depletion: 0.45}, als: {dim: 96, weight: 0.03, half_life: 90d}] # each, \"and\" all\n    seed: 7\n",
		},
		"mappings in a line": {
			"    parts: [als: {dim: 64, epochs: 4}, {again: {depletion: 0.30}}, popular]\n",
			"    parts: [als: {weight: 0.03, half_life: 90d, dim: 96, epochs: 4}, {again: {depletion: 0.45}}, popular]\n",
		},
		"a list": {
			"    parts:\n      # what they repeat\n      - again   # personal\n      - als:    # factors\n          epochs: 4 # few\n          half_life: 7d # short\n      - popular\n",
			"    parts:\n      # what they repeat\n      - again: {depletion: 0.45}   # personal\n      - als:    # factors\n          dim: 96\n          weight: 0.03\n          epochs: 4 # few\n          half_life: 90d # short\n      - popular\n",
		},
		"one key": {
			"    parts:\n      - {again: {depletion: 0.1}}\n      - als:\n          weight: 0.5\n",
			"    parts:\n      - {again: {depletion: 0.45}}\n      - als:\n          dim: 96\n          half_life: 90d\n          weight: 0.03\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := tuneProject(t, c.parts)
			got, err := p.Retuned("home", values)
			holdEdited(t, p, got, err, c.parts, c.want)
		})
	}
	p := tuneProject(t, "    parts: [als]\n")
	if _, err := p.Retuned("home", map[string]models.Values{"ease": {"regularization": 5}}); err == nil {
		t.Error("a part that is not there is tuned")
	}
	if _, err := p.Retuned("home", map[string]models.Values{"als": {"epochs": 5}}); err == nil {
		t.Error("what is in no space is set")
	}
	src, err := os.ReadFile(p.dec.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []string{
		"models: {other: {parts: [als]}}\n", "models: {home: {parts: als}}\n", "",
		strings.Replace(string(src), "[als]", "[als, again, popular]", 1), // a search takes its time, and somebody goes on working
		strings.Replace(string(src), "[als]", "[again]", 1),
		strings.Replace(string(src), "[als]", "[als: {epochs: 9}]", 1),
	} {
		if err := os.WriteFile(p.dec.file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Retuned("home", map[string]models.Values{"als": {"dim": 96}}); err == nil {
			t.Errorf("a file that has become another is edited:\n%s", got)
		}
	}
}

// A model's parts are tuned around what the project file says of them.
func TestTuning(t *testing.T) {
	p := tuneProject(t, "    parts: [popular, als: {dim: 48, half_life: 30d}]\n")
	tuning := p.Tuning("home")
	if len(tuning.Parts) != 2 || tuning.Parts[1].Now["dim"] != 48 || tuning.Parts[1].Now["half_life"] != 30 {
		t.Fatalf("%+v", tuning.Parts)
	}
	trainer, err := tuning.Parts[1].Trainer(models.Values{"dim": 80})
	if err != nil {
		t.Fatal(err)
	}
	if h := trainer.(*als.Trainer).Hyper; h.Dim != 80 || h.HalfLife.Hours() != 720 {
		t.Errorf("%+v", h)
	}
}
