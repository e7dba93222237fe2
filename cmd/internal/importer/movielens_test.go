package importer

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
)

type ratingRow struct {
	User   string   `parquet:"user_id"`
	Movie  string   `parquet:"movie_id"`
	At     int64    `parquet:"ts,timestamp(microsecond)"`
	Kind   string   `parquet:"kind"`
	Rating *float64 `parquet:"rating,optional"`
}

type movieRow struct {
	ID       string   `parquet:"movie_id"`
	Title    string   `parquet:"title,optional"`
	Year     *float64 `parquet:"year,optional"`
	Category string   `parquet:"category,optional"`
	Genres   string   `parquet:"genres,optional"`
	IMDB     string   `parquet:"imdb_id,optional"`
	TMDB     string   `parquet:"tmdb_id,optional"`
}

type userRow struct {
	ID         string `parquet:"user_id"`
	Gender     string `parquet:"gender,optional"`
	Age        string `parquet:"age_band,optional"`
	Occupation string `parquet:"occupation,optional"`
}

// Three samples of invented movies: a title in Latin-1, one with a comma and quotes, one without a year and genres, halves of stars.
func TestMovieLens(t *testing.T) {
	for _, c := range []struct {
		edition        string
		from           string
		events, people int
		kinds          map[string]int64
		items          []movieRow
		users          []userRow // the first three
	}{
		{
			"ml-100k", "ML-100K", 32, 8,
			map[string]int64{"like": 13, "rate": 19},
			[]movieRow{
				{"1", "Lamplight", ptr(1991.), "Drama", "Drama", "", ""},
				{"2", "Été sans fin, L'", ptr(1989.), "Comedy", "Comedy|Romance", "", ""},
				{"3", `Harbour "Nine", The`, ptr(1995.), "Crime", "Crime|Thriller", "", ""},
				{"4", "Untitled Reel", nil, "", "", "", ""},
				{"5", "Tin Rocket", ptr(1996.), "Children's", "Children's|Sci-Fi", "", ""},
				{"6", "Crossroads of Dust", ptr(1968.), "Western", "Western", "", ""},
			},
			[]userRow{{"1", "female", "under 18", "student"}, {"2", "male", "18-24", "artist"}, {"3", "female", "18-24", "engineer"}},
		},
		{
			"ml-1m", "ML-1M", 33, 8,
			map[string]int64{"like": 16, "rate": 17},
			[]movieRow{
				{"1", "Lamplight", ptr(1991.), "Drama", "Drama", "", ""},
				{"2", "Été sans fin, L'", ptr(1989.), "Comedy", "Comedy|Romance", "", ""},
				{"3", `Harbour "Nine", The`, ptr(1995.), "Crime", "Crime|Thriller", "", ""},
				{"4", "Untitled Reel", nil, "Drama", "Drama", "", ""},
				{"5", "Tin Rocket", ptr(1996.), "Children's", "Children's|Sci-Fi", "", ""},
				{"6", "Crossroads of Dust", ptr(1968.), "Western", "Western", "", ""},
			},
			[]userRow{{"1", "female", "under 18", "clerical/admin"}, {"2", "male", "18-24", "doctor/health care"}, {"3", "female", "18-24", "homemaker"}},
		},
		{
			"ml-csv", "MovieLens CSV", 37, 0,
			map[string]int64{"like": 17, "rate": 18, "tag": 2},
			[]movieRow{
				{"1", "Lamplight", ptr(1991.), "Drama", "Drama", "9000001", "701"},
				{"2", "Été sans fin, L'", ptr(1989.), "Comedy", "Comedy|Romance", "9000002", "702"},
				{"3", `Harbour "Nine", The`, ptr(1995.), "Crime", "Crime|Thriller", "9000003", "703"},
				{"4", "Untitled Reel", nil, "", "", "9000004", ""},
				{"5", "Tin Rocket", ptr(1996.), "Children's", "Children's|Sci-Fi", "9000005", "705"},
				{"6", "Crossroads of Dust", ptr(1968.), "Western", "Western", "9000006", "706"},
			},
			nil,
		},
	} {
		t.Run(c.edition, func(t *testing.T) {
			b := memory()
			facts, project, err := MovieLens{Dir: "testdata/movielens/" + c.edition, Scratch: t.TempDir()}.Import(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if facts.Events != int64(c.events) || facts.Subjects != 8 || facts.Items != 6 || facts.Cohorts != c.people || !reflect.DeepEqual(facts.Kinds, c.kinds) || facts.Unknown != 0 {
				t.Errorf("facts %+v", facts)
			}
			if got := read[movieRow](t, b, "items.parquet"); !reflect.DeepEqual(got, c.items) {
				t.Errorf("items %+v", got)
			}
			if c.people > 0 {
				if got := read[userRow](t, b, "cohorts.parquet"); len(got) != c.people || !slices.Equal(got[:3], c.users) {
					t.Errorf("cohorts %+v", got)
				}
			} else if project.Cohorts != nil || !strings.Contains(strings.Join(facts.Warnings, "\n"), "no file of users") {
				t.Errorf("cohorts %+v, warnings %q", project.Cohorts, facts.Warnings)
			}
			n := 0
			for _, key := range keysOf(t, b) {
				if !strings.HasPrefix(key, "events/") {
					continue
				}
				for _, e := range read[ratingRow](t, b, key) {
					n++
					wantKind := "tag"
					switch {
					case e.Rating == nil:
					case *e.Rating >= 4:
						wantKind = "like"
					default:
						wantKind = "rate"
					}
					if day := time.UnixMicro(e.At).UTC().Format(time.DateOnly); e.Kind != wantKind || !strings.Contains(key, day) {
						t.Errorf("%s: %+v", key, e)
					}
				}
			}
			if n != c.events {
				t.Errorf("%d events in the files", n)
			}
			if got := read[dataset.ConsentRow](t, b, "consent/declared-0.parquet"); len(got) != 16 || got[0].Source != "declared-by-operator" {
				t.Errorf("%d records of consent: %+v", len(got), got[0])
			}
			if project.From != c.from || project.Every != "1d" || !slices.Equal(project.Items.Reads, []string{"year", "category", "genres"}) || project.Now != time.Date(1998, 4, 27, 3, 0, 0, 0, time.UTC) {
				t.Errorf("project %+v", project)
			}
		})
	}
}

func TestTitleAndYear(t *testing.T) {
	for s, want := range map[string]struct {
		title string
		year  int
	}{
		"Lamplight (1991)": {"Lamplight", 1991}, "Lamp (Part Two) (1991) ": {"Lamp (Part Two)", 1991}, "Series (2006–2007)": {"Series", 2006},
		"Series (2006- )": {"Series", 2006}, "1984": {"1984", 0}, "(1984)": {"(1984)", 0}, "Lamplight (V)": {"Lamplight (V)", 0}, "": {"", 0},
	} {
		if title, year := titleAndYear(s); title != want.title || year != want.year {
			t.Errorf("%q: %q, %d", s, title, year)
		}
	}
}

// A band begins at its first year; ML-1M names it by that year.
func TestAgeBands(t *testing.T) {
	for age, want := range map[string]string{"1": "under 18", "17": "under 18", "18": "18-24", "24": "18-24", "25": "25-34", "56": "56+", "99": "56+", "0": "", "121": "", "x": ""} {
		if got, err := bandOf(age); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q (%v), want %q", age, got, err, want)
		}
	}
}

func TestMovieLensFaults(t *testing.T) {
	for name, c := range map[string]struct{ edition, file, from, to, want string }{
		"nothing there":       {"", "", "", "", "none of u.data, ratings.dat, ratings.csv is there: name the folder"},
		"two editions":        {"ml-1m", "ratings.csv", "", "userId\n", "ratings.dat, ratings.csv stand there, of different editions"},
		"no movies":           {"ml-100k", "u.item", "", "-", "u.data is there but not u.item"},
		"empty movies":        {"ml-1m", "movies.dat", "", "", "movies.dat: no movies in it"},
		"empty ratings":       {"ml-1m", "ratings.dat", "", "", "ratings.dat: no ratings in it"},
		"empty users":         {"ml-1m", "users.dat", "", "", "users.dat: no users in it"},
		"fields of a rating":  {"ml-100k", "u.data", "", "1\t2\t3\n", `u.data:1: 3 fields between "\t", want 4`},
		"stars":               {"ml-1m", "ratings.dat", "", "1::2::6::893000000\n", "ratings.dat:1: rating: want 0.5 to 5 in halves"},
		"a third of a star":   {"ml-csv", "ratings.csv", "", "userId,movieId,rating,timestamp\n1,2,3.3,893000000\n", "ratings.csv:2: rating: want 0.5 to 5 in halves"},
		"user is no number":   {"ml-1m", "ratings.dat", "", "secret::2::5::893000000\n", "ratings.dat:1: user: the id is no whole number"},
		"movie is no number":  {"ml-1m", "ratings.dat", "", "1::02::5::893000000\n", "ratings.dat:1: movie: the id is no whole number"},
		"time":                {"ml-1m", "ratings.dat", "", "1::2::5::893000000000\n", "ratings.dat:1: timestamp: want seconds since 1970"},
		"column":              {"ml-csv", "ratings.csv", "", "user,movieId,rating,timestamp\n1,2,3,893000000\n", `ratings.csv:1: no column "userId"`},
		"genre":               {"ml-100k", "u.item", "", "1|A (1990)||||2|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", "u.item:1: field 6: a genre's flag is 0 or 1"},
		"movie twice":         {"ml-1m", "movies.dat", "", "1::A::Drama\n1::B::Drama\n", "movies.dat:2: the row's id stands in line 1 already"},
		"age":                 {"ml-100k", "u.user", "", "1|old|M|writer|0\n", "u.user:1: age: want a number of years"},
		"gender":              {"ml-1m", "users.dat", "", "1::x::25::0::0\n", "users.dat:1: gender: want M, F or nothing"},
		"occupation":          {"ml-1m", "users.dat", "", "1::M::25::21::0\n", "users.dat:1: occupation: want a code from 0 to 20"},
		"quote":               {"ml-csv", "movies.csv", "", "movieId,title,genres\n1,\"A,Drama\n", "movies.csv:2: "},
		"two days of ratings": {"ml-1m", "ratings.dat", "", "1::2::5::893000000\n1::3::5::893090000\n", "the events span 2 days"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.edition != "" {
				if err := os.CopyFS(dir, os.DirFS("testdata/movielens/"+c.edition)); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case c.to == "-":
				remove(t, dir, c.file)
			case c.file != "":
				put(t, dir, c.file, c.to)
			}
			_, _, err := MovieLens{Dir: dir, Scratch: t.TempDir()}.Import(t.Context(), memory())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows an id: %v", err)
			}
		})
	}
	if _, _, err := (MovieLens{Dir: "testdata/movielens/ml-1m/users.dat"}).Import(t.Context(), memory()); err == nil || !strings.Contains(err.Error(), "is no folder") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := (MovieLens{Dir: "testdata/movielens/ml-1m", Scratch: t.TempDir()}).Import(ctx, memory()); err == nil {
		t.Error("canceled, and no error")
	}
}

// Later editions without optional files, compressed ones, and tags of the .dat kind with the separator in them.
func TestMovieLensVariants(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/movielens/ml-1m")); err != nil {
		t.Fatal(err)
	}
	remove(t, dir, "users.dat")
	put(t, dir, "tags.dat", "1::2::quiet :: slow::893100000\n7::1::dim::893200000\n")
	facts, project, err := MovieLens{Dir: dir, Scratch: t.TempDir()}.Import(t.Context(), memory())
	if err != nil {
		t.Fatal(err)
	}
	if facts.Kinds["tag"] != 2 || project.Cohorts != nil {
		t.Errorf("kinds %v, cohorts %v", facts.Kinds, project.Cohorts)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/movielens/ml-csv")); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"tags.csv", "links.csv"} {
		remove(t, dir, f)
	}
	b := memory()
	if facts, _, err = (MovieLens{Dir: dir, Scratch: t.TempDir()}).Import(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if facts.Kinds["tag"] != 0 || read[movieRow](t, b, "items.parquet")[0].IMDB != "" {
		t.Errorf("facts %+v", facts)
	}
}

// Whatever the bytes, lines of MovieLens give an error that names file and line, or ratings that hold what they must.
func FuzzLines(f *testing.F) {
	f.Add([]byte("1::2::4.5::893000000\n"))
	f.Add([]byte("1::2::5::893000000\r\n\r\n\xe9::::"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "ratings.dat")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		sink := newEventSink(dir, time.UTC, nil)
		err := MovieLens{Dir: dir}.ratings(t.Context(), editions[1], sink)
		if err != nil && !strings.HasPrefix(err.Error(), file) {
			t.Errorf("error %q does not name the file", err)
		}
		if err == nil && sink.total == 0 {
			t.Error("no ratings and no error")
		}
		for record, err := range sink.sorter.sorted() {
			var p packed
			if err != nil || p.decode(record) != nil {
				t.Fatal(err)
			}
			if e := p.unpacked(); wholeID(e.subject) != nil || wholeID(e.item) != nil || e.value < 0.5 || e.value > 5 || (e.kind == "like") != (e.value >= liked) {
				t.Fatalf("%+v", e)
			}
		}
	})
}
