package inspect

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

func write[T any](t *testing.T, dir, key string, rows []T) {
	t.Helper()
	path := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, url string, h Hints) *Export {
	t.Helper()
	e, err := Look(t.Context(), url, storage.Options{}, h)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// column returns a column as one line: its role, what it is suspected of, its range and how its times are written.
func column(t *testing.T, e *Export, name string) string {
	t.Helper()
	i := slices.IndexFunc(e.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no column %s", name)
	}
	c := e.Columns[i]
	return strings.Join([]string{c.Role, c.Suspected, c.Min, c.Max, c.Time, c.Problem}, "|")
}

func TestGeneralize(t *testing.T) {
	for want, keys := range map[string][]string{
		"dt={date}/*.parquet":                         {"dt=2026-01-05/part-0.parquet", "dt=2026-01-06/part-1.parquet"},
		"dt={date}/part-0.parquet":                    {"dt=2026-01-05/part-0.parquet", "dt=2026-01-06/part-0.parquet"},
		"events-{date}.parquet":                       {"events-2026-01-05.parquet", "events-2026-01-06.parquet"},
		"{date}*.parquet":                             {"2026-01-05-a.parquet", "2026-01-06-b.parquet"},
		"y/year={yyyy}/month={mm}/day={dd}/*.parquet": {"y/year=2026/month=01/day=05/a.parquet", "y/year=2026/month=02/day=5/b.parquet"},
		"*/{yyyy}/{mm}/{dd}/a.parquet":                {"web/2026/01/05/a.parquet", "app/2026/01/06/a.parquet"},
		"*/*.parquet":                                 {"run-1/a.parquet", "run-2/b.parquet"},
		"*.parquet":                                   {"a.parquet", "b.parquet"},
		"**/*.parquet":                                {"a.parquet", "x/b.parquet"},
		"a={date}/*/x.parquet":                        {"a=2026-01-05/b=2026-01-04/x.parquet", "a=2026-01-06/b=2026-01-05/x.parquet"},
	} {
		var files []storage.Info
		for _, k := range keys {
			files = append(files, storage.Info{Key: k})
		}
		if got := generalize(files); got != want {
			t.Errorf("%v: %s, want %s", keys, got, want)
		}
	}
}

// No least and no greatest is told of what may name a person though no name says so: a card number that recurs, a date of birth in another language.
func TestLookTellsNoRangeOfPeople(t *testing.T) {
	type row struct {
		User  string    `parquet:"user_id"`
		SKU   string    `parquet:"sku"`
		At    time.Time `parquet:"at,timestamp(microsecond)"`
		Card  int64     `parquet:"karte"`
		Born  time.Time `parquet:"geboren,timestamp(microsecond)"`
		Seen  time.Time `parquet:"seen,timestamp(microsecond)"`
		Floor int64     `parquet:"floor"`
		Price int64     `parquet:"price"`
	}
	var rows []row
	for i := range 2000 {
		who, at := i%97, time.Date(2026, 1, 5, 0, 0, i, 0, time.UTC)
		rows = append(rows, row{
			fmt.Sprintf("u%d", who), fmt.Sprintf("sku-%d", i%31), at, int64(700_000 + who), time.Date(1931+who, 2, 3, 0, 0, 0, 0, time.UTC), at, int64(i % 4), int64(i % 700),
		})
	}
	dir := t.TempDir()
	write(t, dir, "a.parquet", rows)
	e := look(t, "file:"+dir, Hints{})
	for name, want := range map[string]string{
		"karte":   "|whole numbers of which the name does not say that they count something: perhaps ids||||",
		"geboren": "|times that lie decades apart: perhaps dates of birth|||declared by the file, with an offset or in UTC|",
		"seen":    "another time||2026-01-05T00:00:00Z|2026-01-05T00:33:19Z|declared by the file, with an offset or in UTC|",
		"floor":   "||0|3||",
		"price":   "value||0|699||",
	} {
		if got := column(t, e, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A column may be called anything: no name of one ends a comment of the project file.
func TestProjectKeepsCommentsOnTheirLine(t *testing.T) {
	list := "items\nonline: \"redis://elsewhere\"\r\u2028#"
	e := &Export{Columns: []Column{{Name: list + "[].sku", Role: "item", Why: "its name, in the list " + list}}, Events: Mapping{Item: list + "[].sku", Explode: list}}
	for line := range strings.Lines(string(e.Project(Plan{Project: "shop"}))) {
		if strings.HasPrefix(line, "online:") && !strings.HasPrefix(line, "online: embedded:./online") || strings.ContainsAny(line, "\r\u2028") {
			t.Errorf("a line of the project file: %q", line)
		}
	}
}

// TestLookAtFlatFiles: integers since 1970 told from ids by their size, a date in the path, a blob that is no text, a column that is new.
func TestLookAtFlatFiles(t *testing.T) {
	type old struct {
		UserID   string  `parquet:"userId"`
		Product  int64   `parquet:"product_id"`
		TS       int64   `parquet:"ts"`
		Event    string  `parquet:"event"`
		Amount   float64 `parquet:"amount,optional"`
		Session  string  `parquet:"session_id"`
		Blob     []byte  `parquet:"blob"`
		Phone    string  `parquet:"contact"`
		Updated  int64   `parquet:"updated_at,timestamp(millisecond)"`
		Category string  `parquet:"category"`
		Comment  string  `parquet:"remark"`
	}
	type row struct {
		old
		Platform string `parquet:"platform"`
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 3))
	gen := func(day, n int) []row {
		var out []row
		for i := range n {
			who := rng.IntN(150)
			kind := []string{"view_item", "add_to_cart", "purchase", "remove_from_cart", "heartbeat"}[rng.IntN(5)]
			if i == 0 {
				kind = "odd_one"
			}
			at := time.Date(2026, 1, day, 0, 0, rng.IntN(86400), 0, time.UTC)
			out = append(out, row{old{
				fmt.Sprintf("%08x-0000-4000-8000-%012x", who, who), int64(rng.IntN(40)), at.UnixMilli(), kind, float64(rng.IntN(900)) / 4, fmt.Sprintf("s%d", rng.IntN(1e9)),
				[]byte{0xff, byte(i)},
				fmt.Sprintf("+49 30 %07d", who), at.Add(time.Hour).UnixMilli(), "shoes", fmt.Sprintf("dear shop, I am person %d-%d", who, i),
			}, []string{"ios", "web"}[who%2]})
		}
		return out
	}
	for day := 5; day < 9; day++ {
		if day == 5 {
			var older []old
			for _, r := range gen(day, 300) {
				older = append(older, r.old)
			}
			write(t, dir, "dt=2026-01-05/part-0.parquet", older)
			continue
		}
		write(t, dir, fmt.Sprintf("dt=2026-01-%02d/part-0.parquet", day), gen(day, 300))
	}
	if err := os.WriteFile(filepath.Join(dir, "dt=2026-01-05/_SUCCESS"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e := look(t, "file:"+dir, Hints{})
	if e.Path != "file:"+dir+"/dt={date}/part-0.parquet" || !e.Dated || !e.Success || e.Files != 4 || len(e.Looked) != 3 || e.Sample != 900 {
		t.Errorf("%+v", e)
	}
	m := e.Events
	if got := fmt.Sprint(m.Subject, " ", m.Item, " ", m.At, " ", m.TimeUnit, " ", m.Kind, " ", m.Value, " ", m.Explode, " ", m.Columns, " ", m.LocalTimes); got != "userId product_id ts ms event amount  map[device:platform] false" {
		t.Errorf("taken for %s", got)
	}
	if e.First.Format(time.DateOnly) != "2026-01-05" || e.Last.Format(time.DateOnly) != "2026-01-08" {
		t.Errorf("from %s to %s", e.First, e.Last)
	}
	for name, want := range map[string]string{
		"userId":     "subject|identifies the subject||||",
		"session_id": "|by its name, personal data||||",
		"contact":    "|phone numbers||||",
		"remark":     "|many distinct values: ids, or text of people's own||||",
		"blob":       "|||||holds bytes that are not text, or numbers over 2⁶³−1",
		"category":   "category|||||",
		"platform":   "device|||||",
	} {
		if got := column(t, e, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := column(t, e, "ts"); !strings.HasPrefix(got, "time||2026-01-05T") || !strings.HasSuffix(got, "|ms since 1970|") {
		t.Errorf("ts is %q", got)
	}
	if got := column(t, e, "updated_at"); !strings.HasPrefix(got, "another time||2026-01-05T") {
		t.Errorf("updated_at is %q", got)
	}
	want := map[string]string{"view_item": "view", "add_to_cart": "cart", "purchase": "buy", "remove_from_cart": "-", "heartbeat": "-"}
	if fmt.Sprint(m.Kinds) != fmt.Sprint(want) {
		t.Errorf("kinds %v", m.Kinds)
	}
	if !slices.ContainsFunc(e.Notes, func(n string) bool { return strings.Contains(n, "1 kinds have fewer than 11 rows") }) || slices.ContainsFunc(e.Kinds, func(k Kind) bool { return k.Name == "odd_one" || k.Rows < 11 }) {
		t.Errorf("rare kinds: %v, %q", e.Kinds, e.Notes)
	}
}

// TestLookAtAmbiguousTimes: what reads as March or as April is left open, until somebody says which.
func TestLookAtAmbiguousTimes(t *testing.T) {
	type row struct {
		Customer string `parquet:"customer_id"`
		SKU      string `parquet:"sku"`
		At       string `parquet:"order_date"`
	}
	dir := t.TempDir()
	var rows []row
	for i := range 60 {
		rows = append(rows, row{fmt.Sprintf("c%d", i%20), fmt.Sprintf("p%d", i%7), fmt.Sprintf("%02d/%02d/2026 10:%02d", 1+i%3, 4+i%5, i)})
	}
	write(t, dir, "all.parquet", rows)
	e := look(t, "file:"+dir+"/all.parquet", Hints{})
	if m := e.Events; m.At != "order_date" || m.TimeFormat != "" || !slices.Equal(m.Candidates, []string{"%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%-d/%-m/%Y %-H:%M"}) || !e.Last.IsZero() {
		t.Errorf("%+v", m)
	}
	open := e.Open(Plan{Basis: "legitimate-interest"})
	if len(open) != 2 || !strings.Contains(open[0], "--time-format") || !strings.Contains(open[1], "--zone") {
		t.Errorf("open: %q", open)
	}
	e = look(t, "file:"+dir+"/all.parquet", Hints{TimeFormat: "%d/%m/%Y %H:%M", Zone: "America/New_York"})
	if m := e.Events; m.TimeFormat != "%d/%m/%Y %H:%M" || m.Candidates != nil || e.First.Format(time.RFC3339) != "2026-04-01T14:00:00Z" {
		t.Errorf("%+v, from %s", m, e.First)
	}
	if open := e.Open(Plan{Basis: "legitimate-interest"}); len(open) != 0 {
		t.Errorf("open: %q", open)
	}
}

// TestProjectsAreRead: every project file is one that Load takes, or one whose only faults are what was left open, each with a line.
func TestProjectsAreRead(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	full := Export{
		Path: `s3://lake/a "b"/dt={date}/*.parquet`, Dated: true, Success: true, Files: 5, Looked: []string{"x"}, Last: now.AddDate(0, -1, 0),
		Kinds: []Kind{{"order: completed", 20}, {"true", 12}, {"Öffnen", 11}},
		Events: Mapping{
			Subject: "customer.id", Item: "items[].sku", At: "at", Kind: "event type", Value: "items[].price", Explode: "items", Columns: map[string]string{"device": "ctx.device"},
			Kinds: map[string]string{"order: completed": "buy", "true": "-", "Öffnen": "view"}, TimeFormat: `%d.%m.%Y "%H:%M"`, Zone: "Europe/Berlin", LocalTimes: true,
		},
	}
	flat := Export{Path: "file:./raw/**/*.parquet", Looked: []string{"x"}, Files: 1, Events: Mapping{Subject: "u", Item: "i", At: "t", TimeUnit: "ms"}}
	bare := Export{Path: "file:./raw/*.parquet", Looked: []string{"x"}, Files: 1, Events: Mapping{Candidates: []string{"%m/%d/%Y", "%d/%m/%Y"}, LocalTimes: true, Kind: "k", Kinds: map[string]string{}}}
	for name, c := range map[string]struct {
		e      Export
		p      Plan
		faults []string
	}{
		"full":       {full, Plan{Project: "shop", Basis: "consent", Consent: "file:../consent/*.csv", Now: now}, nil},
		"flat":       {flat, Plan{Project: "shop", Basis: "legitimate-interest", Path: "file:../raw/*.parquet", Endpoint: "http://localhost:9000", Now: now}, nil},
		"no basis":   {flat, Plan{Project: "shop", Now: now}, []string{"purposes.recommend", "purposes.recommend.basis"}},
		"no consent": {flat, Plan{Project: "shop", Basis: "consent", Now: now}, []string{"purposes.recommend.basis"}},
		"bare":       {bare, Plan{Project: "shop", Basis: "legitimate-interest", Now: now}, []string{"sources.events.subject", "sources.events.item", "sources.events.at", "sources.events.time_format", "sources.events.zone"}},
	} {
		file := filepath.Join(t.TempDir(), "rapport.yaml")
		body := c.e.Project(c.p)
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := configs.Load(file)
		if len(c.faults) == 0 {
			if err != nil || len(c.e.Open(c.p)) != 0 {
				t.Errorf("%s: %v, open %q\n%s", name, err, c.e.Open(c.p), body)
			}
			continue
		}
		if len(c.e.Open(c.p)) == 0 {
			t.Errorf("%s: nothing is said to be open", name)
		}
		var got []string
		for _, line := range strings.Split(fmt.Sprint(err), "\n") {
			rest, ok := strings.CutPrefix(line, file+":")
			_, rest, found := strings.Cut(rest, ": ")
			path, _, _ := strings.Cut(rest, ": ")
			if !ok || !found {
				t.Errorf("%s: a fault without a line: %s", name, line)
			}
			got = append(got, path)
		}
		if !slices.Equal(got, c.faults) {
			t.Errorf("%s: faults of %q, want %q:\n%v", name, got, c.faults, err)
		}
	}
	if at := full.Pinned(now); at.Format(time.RFC3339) != "2026-05-02T01:00:00Z" { // three in the morning in Berlin, after 1 May
		t.Errorf("pinned to %s", at)
	}
	full.Last = now.Add(-time.Hour)
	if at := full.Pinned(now); !at.IsZero() {
		t.Errorf("data of today are pinned to %s", at)
	}
}

func TestCalled(t *testing.T) {
	for kind, want := range map[string]string{
		"order_completed": "buy", "OrderCompleted": "buy", "purchase": "buy", "checkout_started": "-", "checkout completed": "buy", "Product Viewed": "view", "pageview": "-", "page_view": "view",
		"view_item": "view", "AddToCart": "cart", "remove_from_cart": "-", "product_clicked": "click", "refund": "-", "wishlist_add": "like", "heartbeat": "-", "payment_failed": "-", "order": "buy",
	} {
		if got := called(kind); got != want {
			t.Errorf("%s is %s, want %s", kind, got, want)
		}
	}
}
