package event

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const streets = `value,level_1,level_2,level_3
a1,A1,A,north
a2,A2,A,north
a3,A3,A,north
b1,B1,B,north
c1,C1,C,south
c2,C2,C,south
d1,D1,D,south
`

// told says what becomes of people's values, of each its number of people: people 1 to n share the first value, and so on.
func tellSizes(rule Coarsening, values []string, sizes []int) (got map[string]string, did expect.Coarse) {
	b := table.Batch{Schema: table.Schema{{Name: ColSubject, Type: table.Int64}, {Name: "street", Type: table.String}}, Cols: make([]table.Column, 2)}
	who := int64(0)
	var raw []string
	for i, value := range values {
		for range sizes[i] {
			who++
			b.Cols[0].Int, b.Cols[1].Str, raw = append(b.Cols[0].Int, who), append(b.Cols[1].Str, rule.Text(value)), append(raw, value)
		}
	}
	b.N = int(who)
	did = bySize([]*Coarsening{nil, &rule}, []*table.Batch{&b})[1]
	got = map[string]string{}
	for i, value := range raw {
		if got[value] = b.Cols[1].Str[i]; b.Cols[1].Null(i) {
			got[value] = "null"
		}
	}
	return got, did
}

// TestLevelsBySize, by hand, of at least ten people.
func TestLevelsBySize(t *testing.T) {
	rule := Coarsening{Hierarchy: mustHierarchy(t, streets), Level: 1, AtLeast: 10}
	values := []string{"a1", "a2", "a3", "b1", "c1", "c2", "d1", "?"}
	for _, c := range []struct {
		name  string
		sizes []int
		want  string
		did   expect.Coarse // in counts of values
	}{
		{"all are enough", []int{10, 11, 12, 13, 14, 15, 16, 17}, "A1 A2 A3 B1 C1 C2 D1 other", expect.Coarse{Values: 8}},
		{"two of a town are too few, and enough together", []int{5, 5, 10, 10, 10, 10, 10, 0}, "A A A3 B1 C1 C2 D1", expect.Coarse{Values: 7, Lifted: map[int]int64{2: 2}}},
		{"too few together: the smallest that was enough goes with them", []int{5, 12, 11, 10, 10, 10, 10, 0}, "A A2 A B1 C1 C2 D1", expect.Coarse{Values: 7, Lifted: map[int]int64{2: 2}}},
		{"alone in its town, and in its region", []int{10, 10, 10, 9, 10, 10, 10, 0}, "north A2 A3 north C1 C2 D1", expect.Coarse{Values: 7, Lifted: map[int]int64{3: 2}}},
		{"a whole region is too few", []int{20, 0, 0, 0, 3, 3, 3, 0}, "null null null null", expect.Coarse{Values: 4, Withheld: 4}},
		{"who is in no region is withheld, and the smallest region with them", []int{20, 0, 0, 0, 30, 0, 0, 3}, "null C1 null", expect.Coarse{Values: 3, Withheld: 2}},
		{"all together are too few", []int{4, 0, 0, 0, 5, 0, 0, 0}, "null null", expect.Coarse{Values: 2, Withheld: 2}},
		{"nobody", []int{0, 0, 0, 0, 0, 0, 0, 0}, "", expect.Coarse{}},
	} {
		told, did := tellSizes(rule, values, c.sizes)
		if !reflect.DeepEqual(did, c.did) {
			t.Errorf("%s: counted as %+v, want %+v", c.name, did, c.did)
		}
		var got []string
		for i, v := range values {
			if c.sizes[i] > 0 {
				got = append(got, told[v])
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNoGroupIsTooSmall: whoever has which values, each that is told is of enough people, and so is what is withheld, unless all is.
func TestNoGroupIsTooSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 7))
	var h *Hierarchy
	told, lifted := 0, 0
	for round := range 3000 {
		n := 1 + rng.IntN(12)
		if round%10 == 0 { // hierarchies cost more than rounds
			var body strings.Builder
			body.WriteString("value,level_1,level_2,level_3\n")
			parent := make([]int, 2) // of levels 1 and 2
			for v := range n {
				fmt.Fprintf(&body, "v%d,p%d,q%d,r%d\n", v, parent[0], parent[1], parent[1]/2)
				if rng.IntN(3) == 0 {
					if parent[0]++; rng.IntN(2) == 0 {
						parent[1]++
					}
				}
			}
			h = mustHierarchy(t, body.String())
		}
		rule := Coarsening{Hierarchy: h, Level: 1 + rng.IntN(3), AtLeast: 2 + rng.IntN(8)}
		var batches []*table.Batch
		for range 1 + rng.IntN(3) {
			b := &table.Batch{N: rng.IntN(80), Cols: make([]table.Column, 2)}
			for range b.N {
				b.Cols[0].Int = append(b.Cols[0].Int, int64(rng.IntN(60)))
				b.Cols[1].Str = append(b.Cols[1].Str, rule.Text("v"+strconv.Itoa(rng.IntN(1+rng.IntN(n+2)))))
			}
			batches = append(batches, b)
		}
		had := sets(batches)
		bySize([]*Coarsening{nil, &rule}, batches)
		groups := sets(batches)
		withheld := groups["null"]
		for value, of := range groups {
			if value != "null" && len(of) < rule.AtLeast {
				t.Fatalf("%d people are told to have %s, and at least %d should: %v", len(of), value, rule.AtLeast, groups)
			}
			if had[value] == nil {
				lifted++
			}
			told++
		}
		if len(groups) > 1 && withheld != nil && len(withheld) < rule.AtLeast {
			t.Fatalf("of %d people alone nothing is told", len(withheld))
		}
	}
	if told < 3000 || lifted < 500 {
		t.Errorf("%d groups, %d of them at a higher level: both should be tried", told, lifted)
	}
}

// TestManyValuesOfFew: a column with a value for every few people takes as long as its rows do, not as long as each value takes with each other.
func TestManyValuesOfFew(t *testing.T) {
	const values, few = 30_000, 5
	var body strings.Builder
	body.WriteString("value,level_1\n")
	b := &table.Batch{N: values * few, Cols: make([]table.Column, 2)}
	for v := range values {
		fmt.Fprintf(&body, "v%d,v%d\n", v, v)
		for range few {
			b.Cols[0].Int, b.Cols[1].Str = append(b.Cols[0].Int, int64(len(b.Cols[0].Int))), append(b.Cols[1].Str, "v"+strconv.Itoa(v))
		}
	}
	rule := Coarsening{Hierarchy: mustHierarchy(t, body.String()), Level: 1, AtLeast: few + 1}
	done := make(chan struct{})
	go func() { defer close(done); rule.bySize([]*table.Batch{b}, 1) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("not done in a minute")
	}
	for i := range b.N {
		if !b.Cols[1].Null(i) {
			t.Fatalf("row %d tells of %d people", i, few)
		}
	}
}

// sets are the people by what is told of them.
func sets(batches []*table.Batch) map[string]map[int64]bool {
	out := map[string]map[int64]bool{}
	for _, b := range batches {
		for i := range b.N {
			value := b.Cols[1].Str[i]
			if b.Cols[1].Null(i) {
				value = "null"
			}
			if out[value] == nil {
				out[value] = map[int64]bool{}
			}
			out[value][b.Cols[0].Int[i]] = true
		}
	}
	return out
}

// TestIngestBySize: the rows of a day are the same however they are ordered and split into files, and whoever reads them; each value that stands in them is of enough people of
// the day, those that the decisions leave out not among them; and of no value that is lifted a byte is written.
func TestIngestBySize(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	events := genEvents(rng, 1, 3000, 120)
	for i := range events {
		if events[i].Device != "" {
			events[i].Device = fmt.Sprintf("device-%02d", min(rng.IntN(40), rng.IntN(40), rng.IntN(40)))
		}
	}
	var body strings.Builder
	body.WriteString("value,level_1,level_2\n")
	for d := range 38 {
		fmt.Fprintf(&body, "device-%02d,model-%02d,maker-%d\n", d, d, d/5)
	}
	h := mustHierarchy(t, body.String())
	var first []string
	for split := range 3 {
		w := newWorld(t, 120)
		rng.Shuffle(len(events), func(i, k int) { events[i], events[k] = events[k], events[i] })
		at := 0
		for f := range split + 1 {
			until := len(events) * (f + 1) / (split + 1)
			putEvents(t, w.lake, fmt.Sprintf("events/dt=2024-03-02/%c.parquet", 'a'+f), events[at:until])
			at = until
		}
		s := shop(w.lake)
		s.Lateness = 24 * 3600e9
		s.Coarse = Coarsenings{"device": {Hierarchy: h, Level: 1, AtLeast: 25}}
		m, _ := w.ingest(t, s, oneDay(1), 1+split, nil)
		rows := readRows(t, w.out, m)
		if split == 0 {
			first = rows
			sizes := map[string]map[string]bool{}
			for _, row := range rows {
				fields := strings.Fields(row)
				who := fields[0]
				for _, f := range fields {
					if value, ok := strings.CutPrefix(f, "device="); ok {
						if sizes[value] == nil {
							sizes[value] = map[string]bool{}
						}
						sizes[value][who] = true
					}
				}
			}
			lifted := 0
			for value, of := range sizes {
				if value != "null" && len(of) < 25 {
					t.Errorf("%s stands in rows of %d people", value, len(of))
				}
				if strings.HasPrefix(value, "maker-") {
					lifted++
				}
			}
			if lifted == 0 || len(sizes) < 5 {
				t.Errorf("devices are told as %v", sizes)
			}
			body := w.written(t)
			for d := range 40 {
				if model := fmt.Sprintf("model-%02d", d); sizes[model] == nil && strings.Contains(body, model) {
					t.Errorf("%s stands in what was written", model)
				}
			}
		}
		if !slices.Equal(rows, first) {
			t.Errorf("of %d files %d rows, and others than of one", split+1, len(rows))
		}
	}
}

// TestAttributesBySize: of a snapshot the people count whom the decisions leave in it, each once.
func TestAttributesBySize(t *testing.T) {
	w := newWorld(t, 60)
	var body strings.Builder
	body.WriteString("id,zip\n")
	for i := range 60 {
		fmt.Fprintf(&body, "%s,%s\n", person(i), []string{"10115", "10117", "80331"}[min(2, i/25)])
	}
	b := storage.NewMemory(nil)
	put(t, b, "people.csv", []byte(body.String()))
	read := func(rule Coarsening) (*Attributes, map[string]int) {
		got, err := ReadAttributes(t.Context(), AttributesPlan{
			Data: DataSet{Bucket: b, Path: "people.csv", Columns: map[string]string{ColSubject: "id"}}, Set: "subjects", Key: ColSubject, Columns: []string{"zip"},
			Purpose:   policy.Purpose{Name: "recommend", Says: "x", Basis: policy.Consent, Reads: map[string][]string{"subjects": {"zip"}}},
			Decisions: w.decisions, Identities: w.ids, Coarse: Coarsenings{"zip": rule},
		})
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]int{}
		zip := got.Batch.Col("zip")
		for i := range got.Batch.N {
			if zip.Null(i) {
				of["null"]++
			} else {
				of[zip.Str[i]]++
			}
		}
		return got, of
	}
	rule := Coarsening{Hierarchy: mustHierarchy(t, "value,level_1,level_2\n10115,10115,Berlin\n10117,10117,Berlin\n80331,80331,Munich\n"), Level: 1}
	_, sizes := read(rule)
	small, large := min(sizes["10115"], sizes["10117"]), max(sizes["10115"], sizes["10117"])
	if small == large || sizes["80331"] >= small {
		t.Fatalf("the world's people do not fit the test: %v", sizes)
	}
	rule.AtLeast = large
	got, told := read(rule)
	if told["Berlin"] != small+large && told["null"] == 0 || told["80331"] != 0 || len(told) > 2 {
		t.Errorf("of %v is told %v", sizes, told)
	}
	if nulls := got.Facts.Quality.Nulls["zip"]; nulls != 0 {
		t.Errorf("%d values are said to be missing in the source", nulls)
	}
}
