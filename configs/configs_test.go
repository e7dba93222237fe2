package configs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/expect"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// files lists the files of a pattern, of which there must be some.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	fs, err := filepath.Glob(pattern)
	if err != nil || len(fs) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(fs), err)
	}
	return fs
}

// Every bad file tells all of its faults at once, each with its file and line, as its golden shows.
func TestBadFiles(t *testing.T) {
	for _, f := range files(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(f), func(t *testing.T) {
			p, err := Load(f)
			if err == nil || p != nil {
				t.Fatal("no fault was found")
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("not Faults: %v", err)
			}
			for i, x := range faults {
				if x.File != f || x.Line < 0 {
					t.Errorf("%v has no place", x)
				}
				if i > 0 && x.Line < faults[i-1].Line {
					t.Errorf("faults are not in line order: %v", err)
				}
				for j := range i {
					if faults[j].String() == x.String() {
						t.Errorf("told twice: %v", x)
					}
				}
			}
			golden := strings.TrimSuffix(f, ".yaml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Whatever stands where a secret belongs is not repeated: not in the fault, not in part.
func TestSecretsAreNotPrinted(t *testing.T) {
	for _, f := range files(t, "testdata/bad/secret*.yaml") {
		_, err := Load(f)
		if err == nil {
			t.Fatalf("%s: no fault", f)
		}
		for _, secret := range []string{"6d7953657372", "aHVudGVy", "horse"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: printed in %v", f, err)
			}
		}
	}
}

// Files that a project names stand beside it, wherever the program is started.
func TestFilesStartAtTheProject(t *testing.T) {
	p := &Project{dir: "/etc/rapport"}
	p.Storage.CAFile = "ca.pem"
	if got := p.storageOptions().S3.CAFile; got != "/etc/rapport/ca.pem" {
		t.Errorf("storage.ca_file: %s", got)
	}
}

// Every template and every good file loads, and its jobs resolve.
func TestGoodFiles(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, name := range TemplateNames {
		body, err := Template(name, time.Date(2026, 1, 31, 3, 0, 0, 0, time.UTC), "file:./raw")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte("@NOW@")) || bytes.Contains(body, []byte("@RAW@")) {
			t.Errorf("template %s: a placeholder is left", name)
		}
		path := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	embedded, err := templates.ReadDir("templates")
	if err != nil || len(embedded) != len(TemplateNames)+len(ImportNames) {
		t.Errorf("%d templates are embedded, %d are named (%v)", len(embedded), len(TemplateNames)+len(ImportNames), err)
	}
	for _, path := range append(paths, files(t, "testdata/good/*.yaml")...) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for name, j := range p.Jobs {
				if j.Drift.Of != "" { // it has what it watches
					continue
				}
				if p.Models[j.Train.Model].Lists.K == 0 || j.Train.Window == 0 || j.Evaluate.Split.Last == 0 || j.Every == "" {
					t.Errorf("job %s lacks defaults: %+v", name, j)
				}
			}
		})
	}
}

// The file with every key decodes to what it says, shorthands included.
func TestEveryKey(t *testing.T) {
	p, err := Load("testdata/good/every_key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	activity := p.view("activity")
	byName := map[string]features.Feature{}
	for _, f := range activity.Features {
		byName[f.Name] = f
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"storage", p.Storage, Storage{URL: "s3://shop-rapport/prod", Endpoint: "https://s3.example.test", Region: "eu-central-1", PathStyle: true, CAFile: "./ca.pem", Credentials: "env", SSE: "s3", Checksums: true}},
		{"previous keys", p.Pseudonyms.Previous, []PreviousKey{{Key: "file:./old.key", KeyID: "k1"}}},
		{"clock", p.Clock.Fixed, time.Date(2026, 1, 31, 3, 0, 0, 0, time.UTC)},
		{"lateness", p.Sources.Events.Lateness, 2 * day},
		{"folded text", p.Purposes["recommend"].Says, "We use what you looked at and bought here to suggest things you may like."},
		{"1.5w", p.Purposes["recommend"].Keep["events"], 252 * time.Hour}, // 1.5 × 7 × 24
		{"windows", activity.Windows, []time.Duration{day, 36 * time.Hour, 28 * day}},
		{"one kind", byName["views"], features.Feature{Name: "views", Op: "count", Kinds: []string{"view"}}},
		{"two kinds", byName["acts"], features.Feature{Name: "acts", Op: "count", Kinds: []string{"cart", "buy"}}},
		{"no argument", byName["all"], features.Feature{Name: "all", Op: "count"}},
		{"a column alone", byName["spend"], features.Feature{Name: "spend", Op: "sum", Column: "value"}},
		{"half-life", byName["recent"], features.Feature{Name: "recent", Op: "decayed", HalfLife: 7 * day}},
		{"a column and a kind", byName["paid"], features.Feature{Name: "paid", Op: "sum", Column: "value", Kinds: []string{"buy"}}},
		{"implicit and explicit weights", byName["interest"], features.Feature{
			Name: "interest", Op: "decayed", Column: "value", HalfLife: 7 * day, Weights: map[string]float64{"view": 1, "cart": 3, "buy": 0.5}, Explicit: []string{"buy"},
		}},
		{"a weight that is the value", byName["worth"], features.Feature{Name: "worth", Op: "sum", Column: "value", Weights: map[string]float64{"view": 0, "buy": 1}, Explicit: []string{"buy"}}},
		{"quantile", byName["typical"], features.Feature{Name: "typical", Op: "quantile", Column: "value", Quantile: 0.5}},
		{"share of a column", byName["on_app"], features.Feature{Name: "on_app", Op: "share", Column: "device", Share: []string{"app", "tablet"}, Kinds: []string{"view"}}},
		{"share of kinds among all", byName["buys"], features.Feature{Name: "buys", Op: "share", Share: []string{"buy"}}},
		{"share of kinds among some", byName["carts"], features.Feature{Name: "carts", Op: "share", Share: []string{"cart"}, Kinds: []string{"cart", "buy"}}},
		{"conditions", byName["large"], features.Feature{Name: "large", Op: "count", Kinds: []string{"buy"}, Where: []features.Condition{
			{Column: "basket", Min: number(5), Max: number(100)},
			{Column: "basket", Min: number(20), Max: number(30), Not: true},
			{Column: "device", In: []string{"app", "web"}},
			{Column: "item", In: []string{"gift"}, Not: true},
		}}},
		{"a condition's one value", byName["small"], features.Feature{Name: "small", Op: "count", Where: []features.Condition{
			{Column: "basket", Max: number(4)}, {Column: "device", In: []string{"app"}},
		}}},
		{"top", byName["devices"], features.Feature{Name: "devices", Op: "top", Column: "device", N: 3}},
		{"sequence", byName["history"], features.Feature{Name: "history", Op: "sequence", N: 20}},
		{"a pair", p.view("pairs"), features.View{Name: "pairs", Key: "subject+item", Windows: []time.Duration{7 * day}, Hop: time.Hour, Features: []features.Feature{{Name: "events", Op: "count"}}}},
		{"views of the job", p.Jobs["nightly"].jobViews(), []string{"activity", "pairs", "devices"}},
		{"weights", p.Models["home"].Weights, map[string]float64{"view": 1, "buy": 4.5, "return": -1}},
		{"second part", p.Models["home"].Parts[1].Name, "als"},
		{"what is expected of events", p.expected("events", p.Sources.Events.Expect), expect.Set{
			Name: "events", Volume: expect.Volume{Most: 3, OnLeast: expect.Warn, OnMost: expect.Fail, Where: "sources.events.expect.volume, every_key.yaml:31"},
			Fresh:      &expect.Fresh{Within: 6 * time.Hour, OnMiss: expect.Fail, Where: "sources.events.expect.fresh, every_key.yaml:32"},
			Schema:     &expect.Schema{OnMiss: expect.Warn, Where: "sources.events.expect.schema, every_key.yaml:33"},
			Duplicates: &expect.Duplicates{Share: expect.Share{Most: 0.01, OnMiss: expect.Fail, Where: "sources.events.expect.duplicates, every_key.yaml:34"}, Drop: true},
			Bad:        &expect.Share{Most: 0.05, OnMiss: expect.Warn, Where: "sources.events.expect.bad, every_key.yaml:35"},
			Columns: map[string]expect.Column{
				"value": {
					Rule: expect.Rule{Min: number(0), Max: number(1e5)}, Nulls: &expect.Share{Most: 0.2, OnMiss: expect.Fail, Where: "sources.events.expect.columns.value.nulls, every_key.yaml:37"},
					Bad: &expect.Share{Most: 0.01, OnMiss: expect.Fail, Where: "sources.events.expect.columns.value, every_key.yaml:37"},
				},
				"device": {
					Rule: expect.Rule{Required: true, Known: []string{"web", "app", "3"}},
					Bad:  &expect.Share{Most: 0.02, OnMiss: expect.Fail, Where: "sources.events.expect.columns.device.bad, every_key.yaml:38"},
				},
			},
		}},
		{"what is expected of items", p.expected("items", p.Sources.Items.Expect), expect.Set{
			Name: "items", Volume: expect.Volume{Least: 0.9, OnLeast: expect.Fail, OnMost: expect.Warn, Where: "sources.items.expect.volume, every_key.yaml:39"},
			Fresh:      &expect.Fresh{Within: 2 * day, OnMiss: expect.Warn, Where: "sources.items.expect.fresh, every_key.yaml:39"},
			Duplicates: &expect.Duplicates{Share: expect.Share{OnMiss: expect.Warn, Where: "sources.items.expect.duplicates, every_key.yaml:39"}},
		}},
		{"what is expected where nothing is said", p.expected("events", nil), expect.Set{Name: "events", Volume: expect.Volume{Most: 2, OnLeast: expect.Fail, OnMost: expect.Warn}}},
		{"k", p.Jobs["nightly"].Evaluate.K, []int{5, 10}},
		{"floor", *p.Jobs["nightly"].MinVolume, 0.3},
		{"split", p.Jobs["nightly"].Evaluate.Split.Last, 3 * day},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
	als, ok := p.trainer(p.Models["home"].Parts[1])
	if text := fmt.Sprintf("%+v", als.Hyper); !ok || !strings.Contains(text, "Dim:16") || !strings.Contains(text, "Epochs:3") {
		t.Errorf("als: %v", text)
	}
}

func number(x float64) *float64 { return &x }

// What the least file leaves out.
func TestDefaults(t *testing.T) {
	p, err := Load("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	m, j := p.Models["home"], p.Jobs["nightly"]
	var parts []string
	for _, x := range m.Parts {
		parts = append(parts, x.Name)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"parts", parts, []string{"popular", "again", "als", "content"}},
		{"lists", m.Lists, Lists{K: 20, Seen: "auto"}},
		{"seed", m.Seed, uint64(1)},
		{"key id", p.Pseudonyms.KeyID, "k1"},
		{"every", j.Every, "1d"},
		{"zone", j.TimeZone, "UTC"},
		{"window", j.Train.Window, 180 * day},
		{"split", j.Evaluate.Split, Split{Last: day, Validation: 4 * day}}, // four times as long, and less than 180/4 days
		{"drift", j.Drift.Action, "warn"},
		{"floor", *j.MinVolume, 0.5},
		{"alias", j.Publish.Alias, "champion"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90m": 90 * time.Minute, "12h": 12 * time.Hour, "7d": 168 * time.Hour, "4w": 672 * time.Hour, "0.5d": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "-1h", "-7d", "1y", "d", "NaNd", "Infw", "1e9d", "36501d", "7 d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// A slip of up to a third of a name, at most three letters, still finds it; ties go to the first by name.
func TestNearest(t *testing.T) {
	known := []string{"schedule", "storage", "sources", "k", "kind", "als"}
	for got, want := range map[string]string{
		"shedule": "schedule", "scehdule": "schedule", "schedules": "schedule", "stroage": "storage", "ksources": "sources", // one letter less, two swapped, one more
		"kinds": "kind", "alls": "als", "K": "k", "colour": "", "xyz": "", "": "k",
	} {
		if near := nearest(got, known); near != want {
			t.Errorf("%q: %q, want %q", got, near, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"größe", "grösse", 2}} {
		if d := editDistance(c.a, c.b); d != c.want || editDistance(c.b, c.a) != d {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, d, c.want)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"KeyID": "key_id", "URL": "url", "CAFile": "ca_file", "PathStyle": "path_style", "K": "k", "MinN": "min_n", "SSE": "sse"} {
		if got := snake(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A job that is asked for by a wrong name gets the nearest one, and paths start at the project file's folder.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	body, err := os.ReadFile("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	body = append(body, "\ncalendar: {sale: {days: [2026-11-27], drift: warn, weight: 0.5}}\n"...)
	path := filepath.Join(dir, "rapport.yaml")
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if _, err := p.Open(t.Context(), none, true); err == nil || !strings.Contains(err.Error(), "RAPPORT_PSEUDONYM_KEY is not set") {
		t.Errorf("without the secret: %v", err)
	}
	o, err := p.Open(t.Context(), none, false)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Job("nightyl"); err == nil || !strings.Contains(err.Error(), "did you mean nightly?") {
		t.Errorf("misspelt job: %v", err)
	}
	if _, err := o.Job("monthly"); err == nil || !strings.Contains(err.Error(), "declared: nightly") {
		t.Errorf("unknown job: %v", err)
	}
	j, err := o.Job("nightly")
	if err != nil || j.Model.Name != "home" || j.Events.Path != "*.parquet" {
		t.Errorf("job: %+v, %v", j, err)
	}
	if c := j.Calendar; len(c) != 1 || c[0].Name != "sale" || !c[0].Drift || *c[0].Weight != 0.5 || j.Every.Label(c[0].Days[0]) != "2026-11-27" {
		t.Errorf("calendar: %+v", c)
	}
	if got, want := p.Locate("reports/x.html"), filepath.Join(dir, "lake", "reports", "x.html"); got != want {
		t.Errorf("located at %s, want %s", got, want)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// FuzzLoad: no input makes the decoder panic; what loads has all that a run relies on; every fault has its file, and is one line of text.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "templates/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := parse("f.yaml", src)
		var faults Faults
		if err != nil && (!errors.As(err, &faults) || len(faults) == 0 || p != nil) {
			t.Fatalf("no faults in %v", err)
		}
		last := bytes.Count(src, []byte("\n")) + bytes.Count(src, []byte("\r")) + 1
		for _, x := range faults {
			if x.File != "f.yaml" || x.Msg == "" || x.Line < 0 || x.Line > last {
				t.Errorf("fault without a place: %+v of %d lines", x, last)
			}
		}
		if err != nil {
			return
		}
		for name, j := range p.Jobs {
			if j.Drift.Of != "" {
				continue
			}
			if _, ok := p.Models[j.Train.Model]; !ok || j.Evaluate.Split.Last <= 0 || j.Train.Window <= 0 || j.MinVolume == nil {
				t.Errorf("job %s loaded as %+v", name, j)
			}
		}
	})
}
