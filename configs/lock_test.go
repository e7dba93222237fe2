package configs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
)

// locked is a project and its lock, in a folder of their own.
type locked struct {
	*testing.T
	path string
	body string
}

const lockProject = `project: shop
storage: file:./lake
online: embedded:./online
pseudonyms: {key: env:KEY}
sources:
  events: {path: "file:raw/*.parquet", subject: user, item: sku, at: ts, kind: action, value: amount, columns: {device: device_type}}
  items: {path: "file:items.parquet", item: sku}
  subjects: {path: "file:people.parquet", subject: user, numbers: [age]}
  consent: {path: "file:consent.parquet"}
sensitive_items: {where: [{category: [pregnancy, faith]}]}
protected_subjects: [{age: {max: 15}}]
purposes:
  recommend:
    says: We suggest what you may like.
    basis: consent
    reads: {events: [kind, value, device], items: [category], subjects: [age]}
    keep: {events: 90d}
  health: {says: We may show what concerns your health., basis: consent}
models: {home: {parts: [popular]}}
jobs:
  nightly:
    schedule: "0 3 * * *"
    every: 1d
    purpose: {train: recommend}
    train: {model: home, window: 60d}
    evaluate: {split: {last: 7d}, k: [10]}
    publish: {alias: live}
`

func lockedProject(t *testing.T) *locked {
	l := &locked{t, filepath.Join(t.TempDir(), "rapport.yaml"), lockProject}
	l.accept("")
	return l
}

func (l *locked) write(old, new string) {
	l.Helper()
	if old != "" && !strings.Contains(l.body, old) {
		l.Fatalf("the project has no %q", old)
	}
	if err := os.WriteFile(l.path, []byte(strings.Replace(l.body, old, new, 1)), 0o600); err != nil {
		l.Fatal(err)
	}
}

// accept locks the project as it is written.
func (l *locked) accept(old string, new ...string) *Lock {
	l.Helper()
	l.write(old, strings.Join(new, ""))
	p, err := Draft(l.path)
	if err != nil {
		l.Fatal(err)
	}
	before, err := ReadLock(l.path)
	if err != nil {
		l.Fatal(err)
	}
	lock := p.Locked(before, Acceptance{At: time.Unix(1e9, 5), Role: "privacy", Why: "agreed: \"yes\"\nin the meeting"})
	body, err := lock.Bytes()
	if err == nil {
		err = os.WriteFile(LockPath(l.path), body, 0o600)
	}
	if err != nil {
		l.Fatal(err)
	}
	return lock
}

// TestLock: what goes beyond the lock is a fault where it stands, and what stays within is none.
func TestLock(t *testing.T) {
	l := lockedProject(t)
	for _, c := range []struct {
		name, old, new string
		want           string // of the fault; "": none
	}{
		{"as accepted", "", "", ""},
		{"reads less", "[kind, value, device]", "[kind]", ""},
		{"keeps shorter", "90d", "70d", ""},
		{"withholds more", "[{category: [pregnancy, faith]}]", "[{category: [pregnancy, faith]}, {category: [alcohol]}]", ""},
		{"withholds one value more", "[pregnancy, faith]", "[pregnancy, alcohol, faith]", ""},
		{"values in another order", "[pregnancy, faith]", "[faith, pregnancy]", ""},
		{"reads a column", "items: [category]", "items: [category, brand]", "purposes.recommend.reads.items: reads brand, which purposes.lock does not allow (rapport purposes accept --role privacy --why TEXT"},
		{"reads another column by the same name", "device: device_type", "device: diagnosis", "reads device from diagnosis"},
		{"reads another value", "value: amount", "value: salary", "reads value from salary"},
		{"reads another data set", "subjects: [age]}", "subjects: [age, income]}", "reads income"},
		{"keeps longer", "90d", "365d", "purposes.recommend.keep.events: keeps 365d, where 90d was accepted"},
		{"keeps for ever", "    keep: {events: 90d}\n", "", "keeps events for ever, where 90d was accepted"},
		{"a purpose that keeps longer begins to read", "concerns your health., basis: consent}", "concerns your health., basis: consent, reads: {events: [kind]}}", "purposes.health.keep: keeps events for ever, and did not read them, where 90d was accepted, by recommend"},
		{"one that keeps no longer begins to read", "concerns your health., basis: consent}", "concerns your health., basis: consent, reads: {events: [kind]}, keep: {events: 80d}}", "reads kind from action, which"},
		{"a new purpose keeps longer", "models:", "  more: {says: More., basis: consent, reads: {events: [kind]}}\nmodels:", "purposes.more.keep: keeps events for ever"},
		{"another basis", "basis: consent", "basis: legitimate-interest", "purposes.recommend.basis: is legitimate-interest, where consent was accepted"},
		{"another sentence", "may like", "may buy", "purposes.recommend.says: is another sentence"},
		{"another use", "    basis: consent\n", "    basis: consent\n    use: training\n", ""},
		{"withholds less", "[pregnancy, faith]", "[faith]", `sensitive_items: no longer withholds items with category in "pregnancy"`},
		{"one value in place of two", "[pregnancy, faith]", `["faith, pregnancy"]`, `no longer withholds items with category in "faith"`},
		{"withholds by another column", "item: sku}\n  subjects", "item: sku, columns: {category: shelf}}\n  subjects", `no longer withholds items with category in "faith"`},
		{"withholds unless somebody consents", "where: [{category: [pregnancy, faith]}]", "where: [{category: [pregnancy, faith]}], purpose: health", `no longer withholds items with category in "faith"`},
		{"protects by another column", "numbers: [age]", "numbers: [age], columns: {age: visits}", "no longer protects people with age at most 15"},
		{"things by another column", "item: sku, at: ts", "item: email, at: ts", "sources.events: reads item from email"},
		{"things by the column of their name", "item: sku, at: ts", "item: item, at: ts", "sources.events: reads item,"},
		{"people by another column", "subject: user, numbers", "subject: household, numbers", "sources.subjects: reads subject from household"},
		{"consent by another column", "consent.parquet\"", "consent.parquet\", columns: {state: newsletter}", "sources.consent: reads state from newsletter"},
		{"a column whose name is a text of the lock", "device: device_type", "\"device from device_type\": diagnosis, device: device_type", ""},
		{"withholds nothing", "sensitive_items: {where: [{category: [pregnancy, faith]}]}\n", "", "no longer withholds"},
		{"protects others", "{max: 15}", "{max: 12}", "protected_subjects: no longer protects people with age at most 15"},
		{"other files", "file:raw/*.parquet", "file:clinic/*.parquet", "sources.events.path: reads files file:clinic/*.parquet, which purposes.lock does not allow"},
		{"another consent feed", "file:consent.parquet", "file:assumed.parquet", "sources.consent.path: reads files file:assumed.parquet"},
		{"events inside a list", "subject: user, item: sku, at", "explode: diagnoses, subject: user, item: \"diagnoses[].sku\", at", "sources.events.explode: reads each of diagnoses"},
		{"fewer kinds", "device_type}}", "device_type}, kinds: {BUY: buy, search: \"-\"}}", ""},
		{"a term", "    basis: consent\n", "    basis: consent\n    term: tcf:5\n", "purposes.recommend.term: is tcf:5, where none was accepted"},
		{"a new purpose", "models:", "  more: {says: More., basis: consent}\nmodels:", "purposes.more: is a new purpose"},
	} {
		l.write(c.old, c.new)
		_, err := Load(l.path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case c.want != "" && !strings.Contains(err.Error(), "rapport.yaml:"):
			t.Errorf("%s: no line is named: %v", c.name, err)
		}
		if _, err := Draft(l.path); err != nil {
			t.Errorf("%s: a draft is held against the lock: %v", c.name, err)
		}
	}
}

// TestLockHoldsKinds: a kind that was not accepted is a wider use, and so is every kind where some were accepted.
func TestLockHoldsKinds(t *testing.T) {
	l := lockedProject(t)
	l.body = strings.Replace(l.body, "device_type}}", "device_type}, kinds: {BUY: buy, search: \"-\"}}", 1)
	lock := l.accept("")
	if got := lock.Accepted[1].Changes; !slices.Equal(got, []string{"sources.events: no longer reads every kind"}) {
		t.Errorf("accepted: %q", got)
	}
	for _, c := range []struct{ kinds, want string }{
		{`, kinds: {BUY: buy, search: "-"}}`, ""},
		{`, kinds: {search: "-", BUY: buy, view: "-"}}`, ""},
		{`, kinds: {BUY: buy, search: search}}`, "sources.events.kinds: reads kind search"},
		{`, kinds: {DIAGNOSIS: buy, search: "-"}}`, "sources.events.kinds: reads kind buy from DIAGNOSIS"},
		{"}", "sources.events.kinds: reads every kind"},
	} {
		l.write(`, kinds: {BUY: buy, search: "-"}}`, c.kinds)
		if _, err := Load(l.path); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.kinds, err, c.want)
		}
	}
}

// TestTerms: a term that is none, or that stands for another basis, is refused with what to write; the others stand in the register in plain words.
func TestTerms(t *testing.T) {
	read := func(term, basis string) (*Project, error) {
		return parse("rapport.yaml", []byte(strings.Replace(lockProject, "    basis: consent\n", "    basis: "+basis+"\n    term: "+term+"\n", 1)))
	}
	for _, c := range []struct{ term, basis, want string }{
		{"dpv:Consent", "consent", ""},
		{"[eu-gdpr:A6-1-f, tcf:10]", "legitimate-interest", ""},
		{"dpv:LegitimateInterest", "consent", "dpv:LegitimateInterest says: somebody's interest"},
		{"tcf:5", "legitimate-interest", "basis: consent, or another term"},
		{"dpv:Concent", "consent", "did you mean dpv:Consent?"},
		{"tcf:12", "consent", `"tcf:12" is no term`},
		{"[tcf:5, tcf:5]", "consent", "given twice"},
	} {
		_, err := read(c.term, c.basis)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "purposes.recommend.term")) {
			t.Errorf("%s under %s: %v, want %q", c.term, c.basis, err, c.want)
		}
	}
	p, err := read("[dpv:Consent, tcf:6]", "consent")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Register(nil).Purposes, func(x RegisterPurpose) bool { return x.Name == "recommend" })
	got := p.Register(nil).Purposes[i].Terms
	if len(got) != 2 || got[1].String() != "tcf:6 (choosing personalised content by profiles)" {
		t.Errorf("the register says %v", got)
	}
	if pu := p.purpose("recommend"); len(pu.Terms) != 2 || pu.Terms[1] != got[1].String() {
		t.Errorf("jobs are told %v", pu.Terms)
	}
	for name, x := range terms {
		if x.says == "" || x.basis != "" && x.basis != policy.Consent && x.basis != policy.LegitimateInterest {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// TestAccept: what was accepted is read as it was written, keeps what was accepted before, and says what became wider.
func TestAccept(t *testing.T) {
	l := lockedProject(t)
	lock := l.accept("items: [category]", "items: [category, brand]")
	if _, err := Load(l.path); err != nil {
		t.Fatal(err)
	}
	if n := len(lock.Accepted); n != 2 || !slices.Equal(lock.Accepted[1].Changes, []string{"purposes.recommend.reads.items: reads brand"}) || lock.Accepted[0].Changes != nil {
		t.Errorf("accepted: %+v", lock.Accepted)
	}
	read, err := ReadLock(l.path)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := read.Bytes()
	b, _ := lock.Bytes()
	if string(a) != string(b) || read.Accepted[1].Why != lock.Accepted[1].Why {
		t.Errorf("read:\n%s\nwritten:\n%s", a, b)
	}
	if !strings.Contains(string(b), "device from device_type") || !strings.Contains(string(b), "events: 90d") {
		t.Errorf("the lock says\n%s", b)
	}
}

// TestLockTellsApart: a text of the lock stands for one thing, and is read as it was written.
func TestLockTellsApart(t *testing.T) {
	condition := func(c string) []map[string]condition {
		p, err := parse("rapport.yaml", []byte(strings.NewReplacer("{category: [pregnancy, faith]}", c, "items: [category]", `items: [category, brand, "not category", 'category in "a" and brand']`).Replace(lockProject)))
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		return p.SensitiveItems.Where
	}
	seen := map[string]string{}
	for _, c := range []string{
		`{category: ["a, b"]}`, `{category: [a]}`, `{category: ['a", "b']}`, `{category: {not: [a, b]}}`, `{category: {not: ["a, b"]}}`,
		`{category: [a, b], brand: [c, d]}`, `{category: [a, b], brand: ["c, d"]}`, `{'category in "a" and brand': [c]}`, `{category: [a], brand: [c]}`,
		`{"not category": [a]}`, `{category: {not: [a]}}`,
	} {
		text := strings.Join(guards("", condition(c), nil), "\n")
		if seen[text] != "" {
			t.Errorf("%s and %s are both %q", seen[text], c, text)
		}
		seen[text] = c
	}
	if a, b := from("device", "type"), from("device from type", ""); a == b {
		t.Errorf("a column and its name are both %q", a)
	}
	p, err := parse("rapport.yaml", []byte(lockProject))
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"a\nb\n", " a", "a: b", "# a", "a\n\n  b\n\n", "\ta", "yes", "1", "~", "|", "-", "a #b", "'", `"`, "a\u0085b", "ä—\u2028", "\nb", "  a\nb"} {
		pu := p.Purposes["recommend"]
		pu.Says = says
		p.Purposes["recommend"] = pu
		body, err := p.Locked(nil, Acceptance{Role: "privacy", Why: strings.TrimSpace(says)}).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseLock("purposes.lock", body)
		if err != nil {
			t.Errorf("%q: %v", says, err)
			continue
		}
		if w := p.Wider(l); len(w) > 0 || l.Accepted[0].Why != strings.TrimSpace(says) {
			t.Errorf("%q is read as another text: %v, %q\n%s", says, w, l.Accepted[0].Why, body)
		}
	}
}

// TestNarrower: what is not allowed any more is a line of the review as well.
func TestNarrower(t *testing.T) {
	l := lockedProject(t)
	l.body = strings.NewReplacer("[kind, value, device]", "[kind]", "90d", "70d", "[{age: {max: 15}}]", "[{age: {max: 15}}, {age: {min: 90}}]").Replace(l.body)
	got := l.accept("").Accepted[1].Changes
	want := []string{
		"purposes.recommend.reads.events: no longer reads device from device_type", "purposes.recommend.reads.events: no longer reads value from amount",
		"purposes.recommend.keep.events: keeps 70d only", "protected_subjects: protects people with age at least 90",
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}

func TestNoLock(t *testing.T) {
	l := lockedProject(t)
	if err := os.Remove(LockPath(l.path)); err != nil {
		t.Fatal(err)
	}
	l.write("items: [category]", "items: [category, brand]")
	if _, err := Load(l.path); err != nil {
		t.Error(err)
	}
}

// TestBadLock: a lock that cannot be read allows nothing, and says where it came from.
func TestBadLock(t *testing.T) {
	l := lockedProject(t)
	for name, body := range map[string]string{
		"empty": "", "no YAML": "format: [", "an unknown key": "format: 1\npurpose: []\n", "a later format": "format: 2\npurposes: []\naccepted: []\n",
		"two of a name": "format: 1\npurposes: [{name: a, says: s, basis: consent, use: training, reads: {}}, {name: a, says: s, basis: consent, use: training, reads: {}}]\naccepted: []\n",
		"nobody's":      "format: 1\npurposes: []\nkeys: {}\naccepted: []\n",
		"no duration":   "format: 1\npurposes: [{name: a, says: s, basis: consent, use: training, reads: {}, keep: {events: long}}]\naccepted: []\n",
		"a conflict":    "<<<<<<< HEAD\nformat: 1\n=======\nformat: 1\n>>>>>>> other\n",
	} {
		if err := os.WriteFile(LockPath(l.path), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(l.path); err == nil || !strings.Contains(err.Error(), "purposes.lock") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte("format: 1\npurposes: [{name: a, says: s, basis: consent, use: training, reads: {events: [kind]}, keep: {events: 90d}}]\naccepted: []\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := parseLock("purposes.lock", body)
		if err != nil {
			return
		}
		p, err := parse("rapport.yaml", []byte(lockProject))
		if err != nil {
			t.Fatal(err)
		}
		p.Wider(l)
	})
}
