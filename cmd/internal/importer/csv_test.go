package importer

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

// files writes files into a folder of the test and returns it.
func files(t testing.TB, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// orders is the plainest import, of the file f.csv with the columns when, who, what, kind, price and device.
func orders(dir string) CSV {
	return CSV{
		Files: []string{filepath.Join(dir, "f.csv")}, Subject: "who", Item: "what", At: "when", Kind: "kind", Value: "price",
		Context: []ContextColumn{{"device", "Device"}}, Basis: ByDeclaration, Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Scratch: dir,
	}
}

const header = "when,who,what,kind,price,Device\n"

// plainEvent is a row of the events that CSV.Import writes.
type plainEvent struct {
	Subject string   `parquet:"subject"`
	Item    string   `parquet:"item"`
	At      int64    `parquet:"ts,timestamp(microsecond)"`
	Kind    string   `parquet:"kind"`
	Value   *float64 `parquet:"value,optional"`
	Device  *string  `parquet:"device,optional"`
}

func ptr[T any](v T) *T { return &v }

func keysOf(t testing.TB, b storage.Bucket) (keys []string) {
	t.Helper()
	for info, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func TestCSV(t *testing.T) {
	dir := files(t, map[string]string{
		"f.csv": "\ufeff" + strings.ReplaceAll(header+
			"2026-01-03 10:00,B,x,view,,phone\n"+
			"2026-01-01 23:30,A,\"y, \"\"big\"\"\",buy,2.50,NULL\n"+
			"2026-01-02 10:00,A,x,junk,1,tv\n"+
			"2026-01-02 10:00,A,x,view,,\n"+
			"2026-01-02 10:00,A,x,view,,\n", "\n", "\r\n"),
		"items.csv":  "what,Title,Category,Price,Zip Code\nx,Ex,tea,1.25,00123\n\"y, \"\"big\"\"\",Wy,cups,,123\nz,Zed,tea,3.5,1\n",
		"people.csv": "who,Age Band,E-Mail,gender\nA,20-29,a@example.com,f\nC,,c@example.com,m\n",
	})
	c := orders(dir)
	c.Kinds = map[string]string{"view": "view", "buy": "purchase", "junk": ""}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c.Zone = berlin
	c.Items, c.Cohorts = &Table{filepath.Join(dir, "items.csv"), "what"}, &Table{filepath.Join(dir, "people.csv"), "who"}
	b := memory()
	facts, project, err := c.Import(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys := []string{
		"cohorts.parquet", "consent/declared-0.parquet", "events/dt=2026-01-01/part-0.parquet", "events/dt=2026-01-02/part-0.parquet",
		"events/dt=2026-01-03/part-0.parquet", "items.parquet",
	}
	if keys := keysOf(t, b); !slices.Equal(keys, wantKeys) {
		t.Errorf("files %q, want %q", keys, wantKeys)
	}
	hour := func(day, hour, minute int) int64 {
		return time.Date(2026, 1, day, hour-1, minute, 0, 0, time.UTC).UnixMicro() // Berlin's winter
	}
	for day, want := range map[int][]plainEvent{
		1: {{"A", `y, "big"`, hour(1, 23, 30), "purchase", ptr(2.5), nil}},
		2: {{"A", "x", hour(2, 10, 0), "view", nil, nil}, {"A", "x", hour(2, 10, 0), "view", nil, nil}},
		3: {{"B", "x", hour(3, 10, 0), "view", nil, ptr("phone")}},
	} {
		key := fmt.Sprintf("events/dt=2026-01-%02d/part-0.parquet", day)
		if got := read[plainEvent](t, b, key); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
	type item struct {
		Item     string   `parquet:"item"`
		Title    *string  `parquet:"title,optional"`
		Category *string  `parquet:"category,optional"`
		Price    *string  `parquet:"price,optional"` // two levels: a category
		Zip      *string  `parquet:"zip_code,optional"`
		None     *float64 `parquet:"none,optional"`
	}
	wantItems := []item{
		{"x", ptr("Ex"), ptr("tea"), ptr("1.25"), ptr("00123"), nil},
		{`y, "big"`, ptr("Wy"), ptr("cups"), nil, ptr("123"), nil},
		{"z", ptr("Zed"), ptr("tea"), ptr("3.5"), ptr("1"), nil},
	}
	if got := read[item](t, b, "items.parquet"); !reflect.DeepEqual(got, wantItems) {
		t.Errorf("items %+v", got)
	}
	type person struct {
		Subject string  `parquet:"subject"`
		Age     *string `parquet:"age_band,optional"`
		Gender  *string `parquet:"gender,optional"`
		Mail    *string `parquet:"e_mail,optional"`
	}
	if got, want := read[person](t, b, "cohorts.parquet"), []person{{"A", ptr("20-29"), ptr("f"), nil}, {"C", nil, ptr("m"), nil}}; !reflect.DeepEqual(got, want) {
		t.Errorf("cohorts %+v, want %+v", got, want)
	}
	consent := read[dataset.ConsentRow](t, b, "consent/declared-0.parquet")
	from := time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()
	if len(consent) != 4 || consent[3] != (dataset.ConsentRow{Subject: "B", Purpose: "check_fairness", State: "ConsentGiven", Effective: from, Recorded: from, Source: "declared-by-operator", RecordID: "declared-4"}) {
		t.Errorf("consent %+v", consent)
	}

	if facts.Events != 4 || facts.Subjects != 2 || facts.Items != 3 || facts.Cohorts != 2 || !reflect.DeepEqual(facts.Kinds, map[string]int64{"purchase": 1, "view": 3}) ||
		facts.Zone != "local times (as 2024-01-31 10:00:00) of Europe/Berlin" || facts.Files != 6 {
		t.Errorf("facts %+v", facts)
	}
	wantWarnings := []string{
		"items.csv: column what: ", "people.csv: left out, since they tell people apart: E-Mail", "1 event equal another event", "2 subjects are few",
	}
	if text := strings.Join(facts.Warnings, "\n"); !strings.Contains(text, wantWarnings[1]) || !strings.Contains(text, wantWarnings[2]) || !strings.Contains(text, wantWarnings[3]) || strings.Contains(text, wantWarnings[0]) {
		t.Errorf("warnings %q", facts.Warnings)
	}
	wantProject := configs.Imported{
		From: "f.csv", First: facts.First, Last: facts.Last, Zone: "Europe/Berlin", Value: true, Context: []string{"device"},
		Columns: map[string]string{"subject": "who", "item": "what", "ts": "when", "kind": "kind", "value": "price"},
		Kinds:   []configs.ImportedKind{{Name: "view", Feature: "view_events", Weight: 1, Events: 3}, {Name: "purchase", Feature: "purchase_events", Weight: 4, Events: 1}},
		Items:   &configs.ImportedSet{Key: "what", Reads: []string{"category", "price"}, Unused: []string{"title", "zip_code"}},
		Cohorts: &configs.ImportedSet{Key: "who", Reads: []string{"gender"}, Unused: []string{"age_band"}},
		Basis:   "consent", Consent: true, Declared: true, Every: "1d", Schedule: "0 3 * * *", Window: 3, Test: 1, Views: []int{1, 3}, HalfLife: 1, Floor: "0.1",
		Now: time.Date(2026, 1, 4, 2, 0, 0, 0, time.UTC), // 3 in the morning of Berlin
		Why: "3 days of events, in the median 1 events and 1 subjects every 1d",
	}
	if !reflect.DeepEqual(project, wantProject) {
		t.Errorf("project\n%+v, want\n%+v", project, wantProject)
	}
}

// Rows in another order, in two files, compressed, or more than memory holds: the same bytes.
func TestCSVIsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for i := range 3000 {
		at := time.Date(2026, 1, 1, 0, 0, r.IntN(5*86400), 0, time.UTC)
		lines = append(lines, fmt.Sprintf("%s,u%d,i%d,%s,%d.5,d%d\n", at.Format(time.DateTime), r.IntN(90), r.IntN(40), []string{"view", "buy"}[i%2], r.IntN(9), r.IntN(3)))
	}
	whole := header + strings.Join(lines, "")
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(header + strings.Join(lines[1000:], ""))) // to memory: no error
	z.Close()
	dir := files(t, map[string]string{"f.csv": whole, "g.csv": header + strings.Join(lines[:1000], ""), "h": zipped.String()})

	imported := func(c CSV) (map[string]string, Facts) {
		b := memory()
		facts, _, err := c.Import(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		etags := map[string]string{}
		for info, err := range b.List(t.Context(), "", storage.ListOpt{}) {
			if err != nil {
				t.Fatal(err)
			}
			etags[info.Key] = info.ETag
		}
		return etags, facts
	}
	want, facts := imported(orders(dir))
	if len(want) != 6 || facts.Events != 3000 {
		t.Fatalf("%d files, %d events", len(want), facts.Events)
	}
	little := orders(dir)
	little.memory = 2000
	parts := orders(dir)
	parts.Files = []string{filepath.Join(dir, "h"), filepath.Join(dir, "g.csv")}
	for name, c := range map[string]CSV{"little memory": little, "parts in another order": parts} {
		got, gotFacts := imported(c)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if !reflect.DeepEqual(gotFacts, facts) {
			t.Errorf("%s: %+v, want %+v", name, gotFacts, facts)
		}
	}
}

func TestCSVFaults(t *testing.T) {
	const good = "2026-01-01 10:00,secret-1,x,view,1,tv\n2026-01-02 10:00,secret-2,x,view,1,tv\n2026-01-03 10:00,secret-1,x,view,1,tv\n"
	many := strings.Repeat(good, 50) // 150 rows: one of them is under 1 %
	utf16 := "\xff\xfew\x00h\x00e\x00n\x00"
	for name, c := range map[string]struct {
		text   string
		change func(*CSV)
		want   string
	}{
		"empty":                  {"", nil, "f.csv:1: the file is empty"},
		"header only":            {header, nil, "f.csv:1: no rows below the header"},
		"no header":              {"2026-01-01 10:00,secret-1,x,view,1,tv\n", nil, `f.csv:1: no column "who" (--subject): the first line looks like a row, not like a header`},
		"missing column":         {strings.Replace(header, "who", "Who_", 1) + good, nil, `f.csv:1: no column "who" (--subject): did you mean "Who_"? it has "when", "Who_", "what", "kind", "price", "Device"`},
		"missing context":        {strings.Replace(header, "Device", "agent", 1) + good, nil, `f.csv:1: no column "Device" (--context): it has`},
		"column twice":           {strings.Replace(header, "what", "who", 1) + good, nil, `f.csv:1: two columns are named "who", and --subject does not say which`},
		"semicolons":             {strings.ReplaceAll(header+good, ",", ";"), nil, `f.csv:1: no column "who" (--subject): the header is one column with 5 semicolons in it: say --delimiter ';'`},
		"tabs":                   {strings.ReplaceAll(header+good, ",", "\t"), nil, "5 tabs in it: say --delimiter tab"},
		"old Mac":                {strings.ReplaceAll(header+good, "\n", "\r"), nil, "f.csv:1: lines end in CR alone"},
		"UTF-16":                 {utf16, nil, "f.csv: this is UTF-16 text (its byte order mark says so)"},
		"UTF-16 without mark":    {utf16[2:], nil, "f.csv: zero bytes stand in it"},
		"spreadsheet":            {"PK\x03\x04...", nil, "a spreadsheet (.xlsx)"},
		"Parquet":                {"PAR1....", nil, "a Parquet file: it needs no import"},
		"Latin-1 id":             {header + good + "2026-01-03 10:00,secr\xe9t,x,view,1,tv\n", nil, "f.csv:5: column who: not UTF-8 text: save the file as UTF-8, or say --encoding windows-1252"},
		"Latin-1 header":         {"when,who,what,kind,price,Device,\xe9\n", nil, "f.csv:1: the header is not UTF-8"},
		"quote not closed":       {header + good + "2026-01-03 10:00,\"secret-1,x,view,1,tv\n" + good, nil, `f.csv:5: a quote (") opens in this row that is not closed properly`},
		"quote inside":           {header + good + "2026-01-03 10:00,sec\"ret-1,x,view,1,tv\n", nil, `f.csv:5: byte 21: a quote (") stands inside a field`},
		"quote and more":         {header + good + "2026-01-03 10:00,\"secret\"-1,x,view,1,tv\n", nil, `f.csv:5: byte 25: a quote (")`},
		"endless quote":          {header + good + "2026-01-03 10:00,\"" + strings.Repeat("secret\n", 400_000), nil, `f.csv:5: the row is longer than 1048576 bytes: a quote (") that opens in it is not closed`},
		"too many fields":        {header + good + "2026-01-03 10:00,secret-1,x,view,1,tv,5\n", nil, "f.csv:5: 7 fields, the header has 6: a delimiter in a text"},
		"too few fields":         {header + good + "2026-01-03 10:00,secret-1\n", nil, "f.csv:5: 2 fields, the header has 6: is the row cut short?"},
		"line of a second line":  {header + "2026-01-01 10:00,secret-1,x,view,1,\"t\nv\"\nsecret\n", nil, "f.csv:4: 1 fields"},
		"no time":                {header + good + "noon,secret-1,x,view,1,tv\n", nil, "f.csv:5: column when: no time in a form that is known"},
		"slashes":                {header + "01/02/2026,secret-1,x,view,1,tv\n", nil, "f.csv:2: column when: no time that one can be sure of"},
		"slashes half-way":       {header + good + "03/01/2026,secret-1,x,view,1,tv\n", nil, "'%m/%d/%Y %H:%M'; 3 rows before it are local times (as 2024-01-31 10:00:00): export them all in one way"},
		"two forms of time":      {header + good + "2026-01-03T10:00:00Z,secret-1,x,view,1,tv\n", nil, "column when: times are written in 2 ways: local times (as 2024-01-31 10:00:00) in 3 rows, first at"},
		"other form than said":   {header + good, func(c *CSV) { c.TimeFormat = "epoch_ms" }, "f.csv:2: column when: no time as --time-format says it: it reads as local times (as 2024-01-31 10:00:00)"},
		"bad format":             {header + good, func(c *CSV) { c.TimeFormat = "%H" }, "does not name a day"},
		"bad value":              {header + good + "2026-01-03 10:00,secret-1,x,view,2 EUR,tv\n", nil, "f.csv:5: column price: no number: leave units and currencies out"},
		"decimal comma":          {header + good + "2026-01-03 10:00,secret-1,x,view,\"2,5\",tv\n", nil, "f.csv:5: column price: no number: with a decimal comma, say --decimal ,"},
		"infinite value":         {header + good + "2026-01-03 10:00,secret-1,x,view,Inf,tv\n", nil, "f.csv:5: column price: no finite number"},
		"ids that are too long":  {header + "2026-01-03 10:00,secret" + strings.Repeat("x", 1100) + ",x,view,1,tv\n", nil, "f.csv:2: column who: the id has 1106 bytes"},
		"rows in an id":          {header + good + "2026-01-03 10:00,\"secret-1,x,view,1,tv\n2026-01-03 10:00,secret-2\",x,view,1,tv\n", nil, "f.csv:5: column who: a line break, a zero byte or another control character stands in the id"},
		"a zero byte":            {header + many + "2026-01-03 10:00,sec\x00ret,x,view,1,tv\n", nil, "f.csv:152: column who: a line break, a zero byte"},
		"no break of ids":        {header + good + "2026-01-03 10:00,secret-1\u00a0,x,view,1,tv\n", nil, "column who: ids with white space around them (1 row, first at"},
		"rows in a kind":         {header + good + "2026-01-03 10:00,secret-1,x,\"view,1,tv\n2026-01-03 10:00,secret-2,x,view\",1,tv\n", nil, "f.csv:5: column kind: 42 bytes, or with a line break in them"},
		"ids are missing":        {header + good + "2026-01-03 10:00,,x,view,1,tv\n2026-01-03 10:00,secret-1,NULL,view,1,tv\n", nil, "2 rows of 5 lack a subject, an item, a time or a kind, first at"},
		"which are missing":      {header + good + "2026-01-03 10:00,,x,view,1,tv\n0000-00-00 00:00,secret-1,x,view,1,tv\n", nil, "over 1 %: counted by column: when 1, who 1; mend the export"},
		"the future":             {header + good + "2026-06-03 10:00,secret-1,x,view,1,tv\n", nil, "1 row of 4 lie in the future, first at"},
		"kinds that none maps":   {header + good, func(c *CSV) { c.Kinds = map[string]string{"buy": "buy"} }, `over 1 %: map them, or write KIND= to leave a kind out; they are "view"`},
		"nothing is left":        {header + good, func(c *CSV) { c.Kinds = map[string]string{"view": ""} }, "no row is left that an event can be made of"},
		"kinds of everybody":     {header + strings.Repeat(good, 1) + kindsOf(120), nil, "column kind: more than 100 kinds of events: is it the right column for --kind?"},
		"ids turn half-way":      {header + strings.ReplaceAll(good, "secret-", "8000") + good, nil, "column who: ids change half-way from whole numbers (3 rows, until"},
		"ids lose their zeros":   {header + strings.ReplaceAll(good, "secret-", "008") + strings.ReplaceAll(good, "secret-", "8"), nil, "ids are numbers with leading zeros (3 rows, first at"},
		"two days":               {header + strings.ReplaceAll(good, "01-03", "01-02"), nil, "the events span 2 days (2026-01-01 to 2026-01-02): 3 are the least"},
		"gzip cut short":         {cut(header + many), nil, "f.csv"},
		"no such file":           {header + good, func(c *CSV) { c.Files = append(c.Files, "nowhere.csv") }, "nowhere.csv: no such file"},
		"a folder":               {header + good, func(c *CSV) { c.Files = []string{c.Scratch} }, "a folder: name the file"},
		"items: no such column":  {header + good, beside("a,b\nx,1\n", "what"), `table.csv:1: no column "what" (--items): it has "a", "b"`},
		"items: twice":           {header + good, beside("what,b\nx,1\ny,1\nx,2\n", "what"), "table.csv:4: column what: the row's id stands in line 2 already"},
		"items: no id":           {header + good, beside("what,b\n,1\n", "what"), "table.csv:2: column what: the row has no id"},
		"items: others":          {header + good, beside("what,b\n7,1\n", "what"), "no event is about one of its items: is what the column with the same ids"},
		"items: nothing":         {header + good, beside("what,b\n", "what"), "table.csv:1: no rows below the header"},
		"items: Latin-1":         {header + good, beside("what,b\nx,\xe9\n", "what"), "table.csv:2: column b: not UTF-8"},
		"cohorts: others":        {header + good, people("who,b\nsecret-9,1\n"), "people.csv: none of its 1 row stands in the events"},
		"consent: no state":      {header + good, consents("who,effective_at\nsecret-1,2026-01-01\n"), `no column "state" (--consent`},
		"consent: unknown state": {header + good, consents("who,state,effective_at\nsecret-1,yes,2026-01-01\n"), "records.csv:2: column state: no state of consent: write ConsentGiven"},
		"consent: no time":       {header + good, consents("who,state,effective_at\nsecret-1,ConsentGiven,\n"), "records.csv:2: column effective_at: missing"},
		"consent: bad time":      {header + good, consents("who,state,effective_at\nsecret-1,ConsentGiven,then\n"), "records.csv:2: column effective_at: no time"},
		"consent: nobody":        {header + good, consents("who,state,effective_at\n,ConsentGiven,2026-01-01\n"), "records.csv:2: column who: the record has no subject"},
		"consent: purpose":       {header + good, consents("who,state,effective_at,purpose\nsecret-1,ConsentGiven,2026-01-01,ads\n"), "records.csv:2: column purpose: the project that is made has the purposes recommend, check_fairness"},
		"consent: two forms":     {header + good, consents("who,state,effective_at\nsecret-1,ConsentGiven,2026-01-01\nsecret-1,Withdrawn,1767225600\n"), "records.csv: column effective_at: times are written in 2 ways"},
		"consent: others":        {header + good, consents("who,state,effective_at\nsecret-8,ConsentGiven,2026-01-01\n"), "records.csv: nobody of the events stands in it"},
		"consent: hidden":        {header + good, consents("who,state,effective_at,note\nsecret-1,ConsentGiven,2026-01-01,\"said\nsecret-2,Withdrawn,2026-01-01,so\"\n"), "records.csv:2: column note: a line break stands in it"},
		"consent: nothing":       {header + good, consents("who,state,effective_at\n"), "records.csv:1: no rows below the header"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{"f.csv": c.text})
			spec := orders(dir)
			if c.change != nil {
				c.change(&spec)
			}
			_, _, err := spec.Import(t.Context(), memory())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if said := strings.ReplaceAll(err.Error(), dir, ""); strings.Contains(said, "secret") || strings.Contains(said, "8000") {
				t.Errorf("the error shows an id: %v", err)
			}
		})
	}
}

// kindsOf are rows of as many kinds.
func kindsOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2026-01-03 10:00,secret-1,x,k%d,1,tv\n", i)
	}
	return b.String()
}

func beside(text, key string) func(*CSV) {
	return func(c *CSV) {
		c.Items = &Table{filepath.Join(c.Scratch, "table.csv"), key}
		os.WriteFile(c.Items.File, []byte(text), 0o600) // a failure shows as a missing file
	}
}

func people(text string) func(*CSV) {
	return func(c *CSV) {
		c.Cohorts = &Table{filepath.Join(c.Scratch, "people.csv"), "who"}
		os.WriteFile(c.Cohorts.File, []byte(text), 0o600)
	}
}

func consents(text string) func(*CSV) {
	return func(c *CSV) {
		c.Basis, c.Consent = ByRecords, filepath.Join(c.Scratch, "records.csv")
		os.WriteFile(c.Consent, []byte(text), 0o600)
	}
}

// What is bearable is done, counted and said.
func TestCSVNotes(t *testing.T) {
	var rows strings.Builder
	for i := range 400 {
		fmt.Fprintf(&rows, "%s,%d,%d,view,\"1.234,5\",tv\n", time.Date(2026, 1, 1+i%4, i%24, 0, 0, 0, time.UTC).Format("02.01.2006 15:04"), 1000+i%60, i%9)
	}
	rows.WriteString("01.01.2026 10:00,,1,view,1,tv\n31.12.2099 10:00,1000,1,view,1,tv\n01.01.2026 10:00,1000,1,newsletter,1,tv\n01.01.2026 10:00,1000,007,view,\"-0,5\",T\xe9l\xe9\n")
	dir := files(t, map[string]string{"f.csv": header + rows.String()})
	c := orders(dir)
	c.Format = Format{Decimal: ',', CP1252: true}
	c.Kinds = map[string]string{"view": "view"}
	b := memory()
	facts, _, err := c.Import(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 row of 404 lack a subject, an item, a time or a kind, first at " + c.Files[0] + ":402: left out", "1 row of 404 lie in the future, first at",
		"1 row of 404 are of a kind that --kinds does not map, first at", "column what: ids are numbers with leading zeros (1 row, first at",
	} {
		if !strings.Contains(strings.Join(facts.Warnings, "\n"), want) {
			t.Errorf("no warning %q: %q", want, facts.Warnings)
		}
	}
	if facts.Events != 401 || facts.Last.Year() != 2026 {
		t.Errorf("%d events until %s", facts.Events, facts.Last)
	}
	got := read[plainEvent](t, b, "events/dt=2026-01-01/part-0.parquet")
	at := slices.IndexFunc(got, func(e plainEvent) bool { return e.Item == "007" })
	if at < 0 || *got[at].Value != -0.5 || *got[at].Device != "Télé" || *got[0].Value != 1234.5 {
		t.Errorf("row %d of %+v", at, got)
	}
}

// Of people, what next to nobody shares is not copied, whatever it is called and whether it is a number or a text.
func TestNothingThatTellsPeopleApart(t *testing.T) {
	var events, table strings.Builder
	table.WriteString("who,customer_number,income,given,mobile_no,segment,age\n")
	for i := range 40 {
		fmt.Fprintf(&events, "2026-01-%02d 10:00,P-%d,x,view,1,tv\n", 1+i%3, i)
		fmt.Fprintf(&table, "P-%d,%d,%d.5,name%d,555,%s,%d\n", i, 80_000+7*i, 20_000+311*i, i%38, []string{"new", "old"}[i%2], 20+i%9)
	}
	dir := files(t, map[string]string{"f.csv": header + events.String(), "people.csv": table.String()})
	c := orders(dir)
	c.Subjects = &Table{filepath.Join(dir, "people.csv"), "who"}
	b := memory()
	facts, project, err := c.Import(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if got := project.Subjects.Reads; !slices.Equal(got, []string{"segment", "age"}) || len(project.Subjects.Unused) > 0 {
		t.Errorf("copied %v, and unused %v", got, project.Subjects.Unused)
	}
	if text := strings.Join(facts.Warnings, "\n"); !strings.Contains(text, "left out, since they tell people apart: customer_number, given, income, mobile_no") {
		t.Errorf("warnings %q", text)
	}
}

// People whose ids look alike in two ways are taken as they are written only if that is said.
func TestCSVMixedIDs(t *testing.T) {
	dir := files(t, map[string]string{"f.csv": header + "2026-01-01 10:00,00123,x,view,1,tv\n2026-01-02 10:00,123,x,view,1,tv\n2026-01-03 10:00,123,x,view,1,tv\n"})
	c := orders(dir)
	c.MixedIDs = true
	facts, _, err := c.Import(t.Context(), memory())
	if err != nil {
		t.Fatal(err)
	}
	if facts.Subjects != 2 || !strings.Contains(strings.Join(facts.Warnings, "\n"), "column who: ids are numbers with leading zeros") {
		t.Errorf("facts %+v", facts)
	}
}

// A denial that is known today holds although the project's clock stands in the past; a grant does not come early.
func TestConsentFile(t *testing.T) {
	dir := files(t, map[string]string{"f.csv": header +
		"2026-01-01 10:00,A,x,view,1,tv\n2026-01-02 10:00,B,x,view,1,tv\n2026-01-03 10:00,C,x,view,1,tv\n2026-01-03 11:00,D,x,view,1,tv\n"})
	c := orders(dir)
	consents("subject,purpose,state,effective_at,recorded_at,expires_at,source,record_id\n" +
		"B,recommend,ConsentGiven,2025-12-01,2025-12-02,2026-12-01,web,r1\n" +
		"A,,ConsentGiven,2025-12-01,,,,\n" +
		"A,recommend,Withdrawn,2026-05-01,,,,r2\n" +
		"C,recommend,ConsentGiven,2026-05-01,,,,\n")(&c)
	b := memory()
	facts, project, err := c.Import(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	day := func(y, m, d int) int64 { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).UnixMicro() }
	now := project.Now.UnixMicro()
	want := []dataset.ConsentRow{
		{Subject: "A", Purpose: "recommend", State: "ConsentGiven", Effective: day(2025, 12, 1), Recorded: day(2025, 12, 1)},
		{Subject: "A", Purpose: "check_fairness", State: "ConsentGiven", Effective: day(2025, 12, 1), Recorded: day(2025, 12, 1)},
		{Subject: "B", Purpose: "recommend", State: "ConsentGiven", Effective: day(2025, 12, 1), Recorded: day(2025, 12, 2), Expires: day(2026, 12, 1), Source: "web", RecordID: "r1"},
		{Subject: "A", Purpose: "recommend", State: "Withdrawn", Effective: now, Recorded: now, RecordID: "r2"},
		{Subject: "C", Purpose: "recommend", State: "ConsentGiven", Effective: day(2026, 5, 1), Recorded: day(2026, 5, 1)},
	}
	if got := read[dataset.ConsentRow](t, b, "consent/records-0.parquet"); !slices.Equal(got, want) {
		t.Errorf("records %+v\nwant %+v", got, want)
	}
	if facts.Declared != "consent: 4 records; 1 of 4 subjects have none, and nothing of theirs is used" {
		t.Error(facts.Declared)
	}
	text := strings.Join(facts.Warnings, "\n")
	if !strings.Contains(text, "1 grant later than the project's clock") || !strings.Contains(text, "1 denial later than the project's clock") {
		t.Errorf("warnings %q", facts.Warnings)
	}
	if project.Basis != "consent" || !project.Consent || project.Declared {
		t.Errorf("project %+v", project)
	}
}

func TestNearest(t *testing.T) {
	columns := []string{"customer_id", "SKU", "created_at", "x"}
	for name, want := range map[string]string{
		"customerid": "customer_id", "customer": "customer_id", "Sku": "SKU", "created": "created_at", "craeted_at": "created_at", "price": "", "y": "", "sk": "SKU",
	} {
		if got := nearest(name, columns); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"Price (EUR)": "price_eur", "no": "c_no", "": "c", "9 lives": "c_9_lives", "é": "c", "a__b": "a_b", strings.Repeat("long ", 30): "long_long_long_long_long_long_long_long",
	} {
		if got := slug(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// Whatever the bytes, a CSV file gives an error that names it, or rows of as many fields as the header has.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(header+"2026-01-01 10:00,secret-1,x,view,1,tv\n"), byte(','))
	f.Add([]byte("\ufeffa;b\r\n\"1\";\"2\n\"\r\n"), byte(';'))
	f.Add([]byte("a\n\"\n"), byte(','))
	f.Add([]byte("\x1f\x8b\x08"), byte(','))
	f.Fuzz(func(t *testing.T, text []byte, delimiter byte) {
		if delimiter == '"' || delimiter == '\r' || delimiter == '\n' || delimiter == 0 || delimiter >= utf8.RuneSelf {
			return
		}
		const file = "f.csv"
		source := &textFile{name: file}
		if source.start(bytes.NewReader(text), false) != nil {
			return
		}
		in := readRecords(source, rune(delimiter))
		if err := in.readHeader(); err != nil {
			if !strings.HasPrefix(err.Error(), file+":") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		line := in.line
		for {
			fields, err := in.read()
			if err != nil {
				if err.Error() != "EOF" && !strings.HasPrefix(err.Error(), file+":") {
					t.Errorf("error %q does not name the file", err)
				}
				return
			}
			if len(fields) != len(in.header) || in.line <= line {
				t.Fatalf("%d fields in line %d after line %d, the header has %d", len(fields), in.line, line, len(in.header))
			}
			line = in.line
		}
	})
}

// Whatever a row holds, it is refused, left out and counted, or an event that has all that an event must have. No error shows an id.
func FuzzRow(f *testing.F) {
	f.Add("2026-01-01 10:00", "secret-1", "x", "view", "1.5", "tv")
	f.Add("1767225600", "", "x", "", "NULL", "")
	f.Add("31/12/2025", "\xff", " ", "a@b", "1,5", "\x00")
	f.Fuzz(func(t *testing.T, when, who, what, kind, price, device string) {
		c := orders("")
		times, err := newTimeReader("auto", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		r := &reading{CSV: c, sink: newEventSink(c.Scratch, time.UTC, nil), times: times, subjects: idColumn{column: "who"}, items: idColumn{column: "what"}}
		in := &records{text: &textFile{name: "f"}, header: strings.Split(strings.TrimSpace(header), ","), line: 2}
		e := act{attrs: make([]string, 1)}
		keep, err := r.parse(&e, in, []string{when, who, what, kind, price, device}, []int{1, 2, 0, 3, 4, 5})
		switch {
		case err != nil:
			if len(who) > 12 && strings.Contains(err.Error(), who) {
				t.Errorf("the error shows the id: %v", err)
			}
		case !keep:
			if r.lacking.n+r.future.n+r.unmapped.n != 1 {
				t.Errorf("a row was left out %d times", r.lacking.n+r.future.n+r.unmapped.n)
			}
		case e.subject == "" || e.item == "" || e.kind == "" || !utf8.ValidString(e.subject+e.item+e.kind+e.attrs[0]) || e.time > c.Now.Add(slack).UnixMicro():
			t.Errorf("%+v", e)
		}
	})
}

// 200,000 events of six columns, sorted, to memory.
func BenchmarkCSV200k(b *testing.B) {
	var text strings.Builder
	text.WriteString(header)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200_000 {
		fmt.Fprintf(&text, "%d,u%d,i%d,%s,%d.5,d%d\n", 1767225600+r.IntN(100*86400), r.IntN(20_000), r.IntN(5000), []string{"view", "buy"}[i%2], r.IntN(9), r.IntN(3))
	}
	c := orders(files(b, map[string]string{"f.csv": text.String()}))
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Import(b.Context(), memory()); err != nil {
			b.Fatal(err)
		}
	}
}
