package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// imported is what an import might find.
func imported() Imported {
	return Imported{
		Project: "shop", From: "orders\n.csv", Raw: "file:./raw/", Now: time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC),
		First: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC),
		Columns: map[string]string{"subject": "customer # 1\u2028: {"}, Kinds: []ImportedKind{{"like", "likes", 1, 5}},
		Basis: "consent", Consent: true, Every: "1d", Schedule: "0 3 * * *", Window: 31, Test: 1, Views: []int{1, 7}, HalfLife: 2, Floor: "0.1", Why: "31 days",
	}
}

// Whatever an import finds, the project file that says so loads.
func TestImportedProjects(t *testing.T) {
	for name, change := range map[string]func(*Imported){
		"little":              func(*Imported) {},
		"legitimate interest": func(p *Imported) { p.Basis, p.Consent = "legitimate-interest", false },
		"weekly":              func(p *Imported) { p.Every, p.Schedule, p.Window, p.Test = "1w", "0 3 * * 1", 364, 7 },
		"four weeks":          func(p *Imported) { p.Every, p.Window, p.Test = "4w", 364, 28 },
		"everything": func(p *Imported) {
			p.Zone, p.Value, p.Declared, p.Context = "Europe/Berlin", true, true, []string{"device", "channel"}
			p.Kinds = []ImportedKind{{`a "strange": {kind} #`, "strange_events", 1, 9}, {"buy", "buy_events", 4, 1}, {"Buy", "buy_events", 4, 1}, {"no", "c_no_events", 0, 1}}
			p.Items = &ImportedSet{Key: "sku", Reads: []string{"category", "price"}, Numbers: []string{"price"}, Unused: []string{"title"}}
			p.Subjects = &ImportedSet{Key: "id", Reads: []string{"region"}}
			p.Cohorts = &ImportedSet{Key: "id", Reads: []string{"gender", "age_band"}, Unused: []string{"age"}}
		},
		"nothing worth reading": func(p *Imported) {
			p.Items, p.Subjects, p.Cohorts = &ImportedSet{Unused: []string{"title"}}, &ImportedSet{}, &ImportedSet{}
		},
	} {
		for _, template := range ImportNames {
			t.Run(template+" "+name, func(t *testing.T) {
				p := imported()
				change(&p)
				if template == "movielens" {
					p.Basis, p.Consent = "consent", true
					p.Kinds = []ImportedKind{{"like", "like", 1, 9}, {"rate", "rate", 0.1, 5}}
					if p.Items != nil {
						p.Items = &ImportedSet{Reads: []string{"category", "year"}, Numbers: []string{"year"}, Unused: []string{"title"}}
					}
					if p.Cohorts != nil {
						p.Cohorts.Reads = []string{"gender"}
					}
				}
				body, err := Import(template, &p)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "rapport.yaml")
				if err := os.WriteFile(path, body, 0o644); err != nil {
					t.Fatal(err)
				}
				got, err := Load(path)
				if err != nil {
					t.Fatalf("%v\n%s", err, body)
				}
				if !got.Clock.Fixed.Equal(p.Now) || len(got.Jobs) != 1 || !strings.HasPrefix(got.Sources.Events.Path, "file:./raw/events/") {
					t.Errorf("clock %s, %d jobs, events %s", got.Clock.Fixed, len(got.Jobs), got.Sources.Events.Path)
				}
				for _, k := range p.Kinds {
					if w, ok := got.Models["home"].Weights[k.Name]; !ok || w != k.Weight {
						t.Errorf("kind %q has the weight %v, want %v", k.Name, w, k.Weight)
					}
				}
				if text := string(body); strings.Contains(text, "<<") || strings.Contains(text, "<no value>") {
					t.Errorf("a placeholder is left:\n%s", text)
				}
			})
		}
	}
	other := imported()
	if _, err := Import("csw", &other); err == nil || !strings.Contains(err.Error(), "there are csv, movielens") {
		t.Errorf("error %v", err)
	}
	bad := imported()
	bad.Project = "9 lives"
	if _, err := Import("csv", &bad); err == nil {
		t.Error("a project without a valid name")
	}
}
