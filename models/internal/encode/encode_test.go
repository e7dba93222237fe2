package encode

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// shelf is four items: two of genre "x", two of "y", one level of its own each in "title", prices 1, 2, 3 and unknown.
func shelf() *models.Attributes {
	return &models.Attributes{
		N: 4,
		Cats: []models.CatColumn{
			models.NewCatColumn("genre", []string{"x", "x", "y", "y"}),
			models.NewCatColumn("title", []string{"p", "q", "r", "s"}),
		},
		Nums: []models.NumColumn{{Name: "price", Values: []float64{1, 2, 3, math.NaN()}}},
	}
}

// row returns row i by the names of its features.
func row(sp *Space, fs []int32, xs []float32) map[string]float32 {
	out := map[string]float32{}
	for j, f := range fs {
		out[sp.Source(int(f))] = xs[j]
	}
	return out
}

func TestSpaceByHand(t *testing.T) {
	sp := New(shelf(), Options{Bins: 2})
	if got := sp.cats[0].names; !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("genres %v", got)
	}
	if len(sp.cats[1].names) != 0 {
		t.Errorf("titles of one item each are features: %v", sp.cats[1].names)
	}
	// Two bins of three finite prices: the lower holds 1 and 2, the upper 3 alone, which is not a feature.
	if got := sp.nums[0].edges; !slices.Equal(got, []float64{2}) {
		t.Errorf("edges %v", got)
	}
	ln2 := float32(math.Log(2))
	if want := []float32{ln2, ln2, ln2, 0}; !slices.Equal(sp.idf, want) || sp.Len() != 4 || sp.Used() != 3 {
		t.Errorf("idf %v, want %v", sp.idf, want)
	}
	v := sp.Rows(shelf(), 4)
	r := float32(1 / math.Sqrt2)
	for i, want := range []map[string]float32{{"genre=x": r, "price=up to 2": r}, {"genre=x": r, "price=up to 2": r}, {"genre=y": 1}, {"genre=y": 1}} {
		fs, xs := v.Row(int32(i))
		if got := row(sp, fs, xs); !reflect.DeepEqual(got, want) {
			t.Errorf("item %d: %v, want %v", i, got, want)
		}
	}
	if v := sp.Rows(nil, 3); v.Len() != 3 || len(v.f) != 0 {
		t.Errorf("without attributes %d rows have %d features", v.Len(), len(v.f))
	}
}

func TestQuantiles(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		values []float64
		n      int
		want   []float64
	}{
		{[]float64{4, 1, 3, 2, nan, inf}, 4, []float64{1, 2, 3}}, // of the finite ones, at positions ⌊3q/4⌋ = 0, 1, 2
		{[]float64{1, 1, 1, 9}, 4, []float64{1}},
		{[]float64{5, 5}, 4, nil},
		{[]float64{nan}, 4, nil},
		{nil, 4, nil},
		{[]float64{1, 2}, 1, nil},
	} {
		every := make([]int32, len(c.values))
		for i := range every {
			every[i] = int32(i)
		}
		if got := quantiles(c.values, every, c.n); !slices.Equal(got, c.want) {
			t.Errorf("quantiles(%v, %d) = %v, want %v", c.values, c.n, got, c.want)
		}
	}
}

// Only the rows that count are learned from, and a level of fewer of them than asked for is no feature, whatever the others hold.
func TestRowsThatCount(t *testing.T) {
	a := &models.Attributes{N: 6, Cats: []models.CatColumn{models.NewCatColumn("team", []string{"a", "a", "a", "b", "b", ""})}}
	sp := New(a, Options{Least: 2, Rows: []int32{0, 1, 3, 5}})
	if got := sp.cats[0].names; !slices.Equal(got, []string{"a"}) {
		t.Fatalf("levels %v, want a alone: b has one row of those that count", got)
	}
	if want := float32(math.Log(4. / 2)); sp.idf[0] != want {
		t.Errorf("idf %v, want ln(4/2)", sp.idf)
	}
	// What everybody has tells nobody apart.
	if sp = New(a, Options{Rows: []int32{0, 1, 2}}); sp.Used() != 0 {
		t.Errorf("a level of all rows has weight %v", sp.idf)
	}
}

func TestMostFrequentLevelsAreKept(t *testing.T) {
	a := &models.Attributes{N: 8, Cats: []models.CatColumn{
		models.NewCatColumn("p", []string{"a", "a", "b", "b", "b", "c", "c", ""}),
		models.NewCatColumn("q", []string{"z", "z", "y", "y", "y", "y", "", ""}),
	}}
	sp := New(a, Options{Most: 3})
	if p, q := sp.cats[0].names, sp.cats[1].names; !slices.Equal(p, []string{"a", "b"}) || !slices.Equal(q, []string{"y"}) {
		t.Errorf("kept %v and %v, want b, y, and of those with two rows the first", p, q)
	}
}

func TestListsAndTextsAreCut(t *testing.T) {
	var titles, genres, plain []string
	for i := range 20 {
		titles = append(titles, fmt.Sprintf("The Return, part %d (a %s story)", i, []string{"LOVE", "war"}[i%2]))
		genres = append(genres, []string{"Drama|War", "Comedy", "Comedy| Drama", "", "War"}[i%5])
		plain = append(plain, []string{"pet food", "baby care"}[i%2])
	}
	a := &models.Attributes{N: 20, Cats: []models.CatColumn{models.NewCatColumn("genres", genres), models.NewCatColumn("plain", plain), models.NewCatColumn("title", titles)}}
	sp := New(a, Options{Words: true})
	for i, want := range [][]string{{"Comedy", "Drama", "War"}, {"baby care", "pet food"}, {"love", "part", "return", "story", "the", "war"}} {
		if got := sp.cats[i].names; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", sp.cats[i].column, got, want)
		}
	}
	fs, xs := sp.Rows(a, 20).Row(0)
	got := row(sp, fs, xs)
	var norm float64
	for _, x := range xs {
		norm += float64(x) * float64(x)
	}
	for _, name := range []string{"genres=Drama", "genres=War", "plain=pet food", "title=love"} {
		if got[name] == 0 {
			t.Errorf("%s is missing from %v", name, got)
		}
	}
	if len(got) != 4 || math.Abs(norm-1) > 1e-6 { // what all titles share has no weight
		t.Errorf("row %v of length² %v", got, norm)
	}
	if !slices.IsSorted(fs) {
		t.Errorf("features %v are out of order", fs)
	}
	if sp = New(a, Options{}); len(sp.cats[2].names) != 0 || len(sp.cats[0].names) != 4 {
		t.Errorf("without words: %v", sp.cats)
	}
}

// A row given as levels is the row of the table, whatever the order of its columns.
func TestLevelsAreRows(t *testing.T) {
	a := shelf()
	a.Nums = nil
	sp := New(a, Options{})
	rows := sp.Rows(a, a.N)
	by := sp.Levels([]string{"title", "nobody's", "genre", "genre"})
	for i := range a.N {
		fs, xs := rows.Row(int32(i))
		gf, gx := by.Row([]string{a.Cats[1].Level(i), "?", a.Cats[0].Level(i), "y"})
		if !slices.Equal(fs, gf) || !slices.Equal(xs, gx) {
			t.Errorf("row %d: %v %v, want %v %v", i, gf, gx, fs, xs)
		}
	}
	for _, short := range [][]string{nil, {""}, {"", "", ""}, {"never", "seen", "before", "or", "asked for"}} {
		if fs, _ := by.Row(short); len(fs) != 0 {
			t.Errorf("%q has features %v", short, fs)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	for _, words := range []bool{false, true} {
		a := shelf()
		a.Cats = append(a.Cats, models.NewCatColumn("tags", []string{"a|b", "b", "a", "b|c"}))
		sp := New(a, Options{Bins: 3, Words: words})
		w := artifact.NewWriter()
		w.Model("x")
		sp.Save(w)
		files, _, err := w.Encode()
		if err != nil {
			t.Fatal(err)
		}
		r, err := artifact.Open(files)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(r, words)
		if err != nil {
			t.Fatal(err)
		}
		if want := sp.Rows(a, a.N); !reflect.DeepEqual(got.Rows(a, a.N), want) {
			t.Errorf("words %v: other rows after loading", words)
		}
		if _, err := Load(r, true); words == (err != nil) {
			t.Errorf("loading with words where there are words=%v: %v", words, err)
		}
	}
}

// Whatever a level holds, its members are few, distinct and in order, and a space of it places it without fault.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{"Comedy|Drama", "", "|||", "The The the", "\xff\xfe|x", "ß|ẞ", "a b|c d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, level string) {
		for c := range cuts {
			m := c.members(level)
			if !slices.IsSorted(m) || len(slices.Compact(slices.Clone(m))) != len(m) || len(m) > maxMembers {
				t.Errorf("cut %d of %q: %q", c, level, m)
			}
		}
	})
}
