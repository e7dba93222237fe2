package importer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

// MovieLens says where a MovieLens data set stands.
type MovieLens struct {
	Dir      string
	Scratch  string // folder for what does not fit in memory
	Progress func(what string, done, total int64, unit string)
}

// liked is the rating from which an event is a "like"; below it is a "rate". Half of all ratings are 4 or more, and a rating of 3 says as
// often that a movie was seen as that it was good.
const liked = 4

// movie is a row of the items, person one of the cohorts.
type movie struct {
	id, title, genres string
	year              int // 0: not known
}

type person struct{ id, gender, age, occupation string }

// Import recognizes the format by the files in the folder (each may be .gz):
//
//	ML-100K                u.data, u.item, u.user             tabs and bars, Latin-1
//	ML-1M, ML-10M          ratings.dat, movies.dat, users.dat, tags.dat   ::, Latin-1 or UTF-8
//	ML-20M, latest, 32M    ratings.csv, movies.csv, tags.csv, links.csv
//
// Files other than the ratings and the movies may be missing. It puts
//
//	events/dt=YYYY-MM-DD/part-N.parquet   user_id movie_id ts kind rating
//	items.parquet                         movie_id title year category (the first genre) genres imdb_id tmdb_id
//	cohorts.parquet                       user_id gender age_band occupation, for evaluation alone
//	consent/declared-N.parquet            one ConsentGiven for each user and purpose
//
// A rating of 4 or more is a "like", a lower one a "rate", and somebody's tag a "tag", without its text. ZIP codes are not imported. Memory
// and order are as in CSV.Import. Errors name file and line.
func (m MovieLens) Import(ctx context.Context, to storage.Bucket) (Facts, configs.Imported, error) {
	facts, project, err := m.run(ctx, &output{bucket: to})
	if err != nil {
		return Facts{}, configs.Imported{}, fmt.Errorf("import movielens: %w", err)
	}
	return facts, project, nil
}

// edition is one of the formats.
type edition struct {
	name                          string
	ratings, movies, people, tags string // files; "": the edition has none
	links                         string
	separator                     string // "": CSV with a header
	movie                         func(f []string) (movie, error)
	person                        func(f []string) (person, error)
	movieFields, personFields     int
}

var editions = []edition{
	{
		name: "ML-100K", ratings: "u.data", movies: "u.item", people: "u.user", separator: "|",
		movie: movie100K, movieFields: 5 + len(genres100K), person: person100K, personFields: 5,
	},
	{
		name: "ML-1M", ratings: "ratings.dat", movies: "movies.dat", people: "users.dat", tags: "tags.dat", separator: "::",
		movie: movieOf, movieFields: 3, person: person1M, personFields: 5,
	},
	{name: "MovieLens CSV", ratings: "ratings.csv", movies: "movies.csv", tags: "tags.csv", links: "links.csv", movie: movieOf},
}

// find returns the file of that name in the folder, plain or .gz, or "".
func (m MovieLens) find(name string) string {
	if name == "" {
		return ""
	}
	for _, suffix := range []string{"", ".gz"} {
		if path := filepath.Join(m.Dir, name+suffix); isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func (m MovieLens) edition() (edition, error) {
	if st, err := os.Stat(m.Dir); err != nil {
		return edition{}, err
	} else if !st.IsDir() {
		return edition{}, fmt.Errorf("%s is no folder: name the one that holds the data set's files, unpacked", m.Dir)
	}
	var found []edition
	var names, ratings []string
	for _, e := range editions {
		ratings = append(ratings, e.ratings)
		if m.find(e.ratings) != "" {
			found, names = append(found, e), append(names, e.ratings)
		}
	}
	switch {
	case len(found) == 0:
		return edition{}, fmt.Errorf("%s: none of %s is there: name the folder that holds the data set's files", m.Dir, joined(ratings))
	case len(found) > 1:
		return edition{}, fmt.Errorf("%s: %s stand there, of different editions: give each a folder of its own", m.Dir, joined(names))
	}
	if e := found[0]; m.find(e.movies) == "" {
		return edition{}, fmt.Errorf("%s: %s is there but not %s: get the data set again", m.Dir, e.ratings, e.movies)
	}
	return found[0], nil
}

func (m MovieLens) run(ctx context.Context, out *output) (facts Facts, project configs.Imported, err error) {
	if m.Progress == nil {
		m.Progress = func(string, int64, int64, string) {}
	}
	ed, err := m.edition()
	if err != nil {
		return facts, project, err
	}
	movies, err := m.movies(ctx, ed)
	if err != nil {
		return facts, project, err
	}
	people, err := m.people(ctx, ed)
	if err != nil {
		return facts, project, err
	}
	sink := newEventSink(m.Scratch, time.UTC, []column{{"user_id", keyText}, {"movie_id", keyText}, {"ts", keyTime}, {"kind", keyText}, {"rating", optionNumber}})
	defer func() { err = errors.Join(err, sink.close()) }()
	if err := m.ratings(ctx, ed, sink); err != nil {
		return facts, project, err
	}
	if err := m.tags(ctx, ed, sink); err != nil {
		return facts, project, err
	}
	if people != nil {
		for _, id := range people.ids {
			if err := sink.people.add(id); err != nil {
				return facts, project, err
			}
		}
	}
	if err := sink.write(ctx, out, movies.rows(), m.Progress); err != nil {
		return facts, project, err
	}
	cadence, err := chooseCadence(sink.days, time.UTC, longestTaste)
	if err != nil {
		return facts, project, err
	}
	cadence.Floor = "0.1"
	facts = Facts{
		Events: sink.total, Items: movies.n(), Unknown: sink.unknown, Kinds: sink.kinds, First: time.UnixMicro(sink.first).UTC(),
		Last: time.UnixMicro(sink.last).UTC(), Zone: "epoch seconds", Cadence: cadence.Why,
	}
	var from time.Time
	if facts.Subjects, from, err = declare(ctx, out, sink.people.ids(), facts.First); err != nil {
		return facts, project, err
	}
	facts.Declared = declared(facts.Subjects, from)
	if err := movies.write(ctx, out); err != nil {
		return facts, project, err
	}
	if people != nil {
		facts.Cohorts = people.n()
		if err := people.write(ctx, out); err != nil {
			return facts, project, err
		}
	} else {
		facts.Warnings = append(facts.Warnings, "no file of users: no cohorts, and the report judges nobody apart")
	}
	facts.warn(sink)
	facts.Files, facts.Bytes = out.files, out.bytes

	project = configs.Imported{
		From: ed.name, First: facts.First, Last: facts.Last, Value: true, Basis: string(ByDeclaration), Consent: true, Declared: true,
		Items: movies.describe(), Cohorts: people.describe(),
	}
	for _, k := range sink.kindNames() {
		project.Kinds = append(project.Kinds, configs.ImportedKind{Name: k, Feature: k, Weight: map[string]float64{"like": 1, "rate": 0.1, "tag": 0.5}[k], Events: sink.kinds[k]})
	}
	cadence.fill(&project)
	return facts, project, nil
}

// longestTaste is the longest window of ratings, in days: what people think of movies keeps, and most rate on a single day.
const longestTaste = 3640

// movies reads the movies, in the order of the file.
func (m MovieLens) movies(ctx context.Context, ed edition) (*attributes, error) {
	links := map[string][2]string{}
	if file := m.find(ed.links); file != "" {
		err := readColumns(ctx, file, []string{"movieId", "imdbId", "tmdbId"}, func(f []string, _ place) error {
			links[strings.Clone(f[0])] = [2]string{strings.Clone(f[1]), strings.Clone(f[2])}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	t := newTable("items", "movie_id", "title", "year", "category", "genres", "imdb_id", "tmdb_id")
	add := func(f []string, at place) error {
		x, err := ed.movie(f)
		if err != nil {
			return err
		}
		category, _, _ := strings.Cut(x.genres, "|")
		year := ""
		if x.year != 0 {
			year = strconv.Itoa(x.year)
		}
		return t.add(at, x.id, x.title, year, category, x.genres, links[x.id][0], links[x.id][1])
	}
	file := m.find(ed.movies)
	var err error
	if ed.separator == "" {
		err = readColumns(ctx, file, []string{"movieId", "title", "genres"}, add)
	} else {
		err = splitLines(ctx, file, ed.separator, ed.movieFields, add)
	}
	if err != nil {
		return nil, err
	}
	if len(t.ids) == 0 {
		return nil, fmt.Errorf("%s: no movies in it", file)
	}
	t.numbers("year")
	t.use("category", "genres", "year")
	if len(links) == 0 {
		t.columns = t.columns[:4]
	}
	return t, nil
}

// people reads the users, or returns nil where the edition or the folder has none.
func (m MovieLens) people(ctx context.Context, ed edition) (*attributes, error) {
	file := m.find(ed.people)
	if file == "" {
		return nil, nil
	}
	t := newTable("cohorts", "user_id", "gender", "age_band", "occupation")
	err := splitLines(ctx, file, ed.separator, ed.personFields, func(f []string, at place) error {
		p, err := ed.person(f)
		if err != nil {
			return err
		}
		return t.add(at, p.id, p.gender, p.age, p.occupation)
	})
	t.use("gender", "age_band", "occupation")
	if err == nil && len(t.ids) == 0 {
		err = fmt.Errorf("%s: no users in it", file)
	}
	return t, err
}

func (m MovieLens) ratings(ctx context.Context, ed edition, sink *eventSink) error {
	file := m.find(ed.ratings)
	e := act{}
	add := func(f []string, at place) (err error) {
		if e.value, err = ratingOf(f[2]); err != nil {
			return err
		}
		e.kind = "rate"
		if e.value >= liked {
			e.kind = "like"
		}
		if at.row%65536 == 0 {
			m.Progress("read", at.row, 0, "ratings")
		}
		return addAct(sink, &e, f[0], f[1], f[3])
	}
	var err error
	switch ed.separator {
	case "":
		err = readColumns(ctx, file, []string{"userId", "movieId", "rating", "timestamp"}, add)
	case "|":
		err = splitLines(ctx, file, "\t", 4, add)
	default:
		err = splitLines(ctx, file, ed.separator, 4, add)
	}
	if err == nil && sink.total == 0 {
		err = fmt.Errorf("%s: no ratings in it", file)
	}
	return err
}

func (m MovieLens) tags(ctx context.Context, ed edition, sink *eventSink) error {
	file := m.find(ed.tags)
	if file == "" {
		return nil
	}
	e := act{kind: "tag", value: math.NaN()}
	if ed.separator == "" {
		return readColumns(ctx, file, []string{"userId", "movieId", "timestamp"}, func(f []string, _ place) error {
			return addAct(sink, &e, f[0], f[1], f[2])
		})
	}
	return splitLines(ctx, file, ed.separator, -4, func(f []string, _ place) error {
		return addAct(sink, &e, f[0], f[1], f[len(f)-1]) // the separator may stand in a tag
	})
}

func addAct(sink *eventSink, e *act, user, movie, at string) error {
	if err := wholeID(user); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if err := wholeID(movie); err != nil {
		return fmt.Errorf("movie: %w", err)
	}
	when, f := epochTime(at, formSeconds)
	if f == formUnknown || when.Year() < 1990 || when.Year() > 2100 {
		return errors.New("timestamp: want seconds since 1970")
	}
	e.subject, e.item, e.time = user, movie, when.UnixMicro()
	return sink.add(e)
}

// wholeID refuses an id that is no whole number: all ids of MovieLens are.
func wholeID(id string) error {
	if s := shapeOf(id); s != shapeWhole || len(id) > 18 {
		return errors.New("the id is no whole number")
	}
	return nil
}

func ratingOf(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0.5 && x <= 5) || x*2 != math.Trunc(x*2) {
		return 0, errors.New("rating: want 0.5 to 5 in halves")
	}
	return x, nil
}

// yearAtEnd is (1995), or the first year of (1995-1997), at the end of a title.
var yearAtEnd = regexp.MustCompile(`^(.*?)\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$`)

func titleAndYear(s string) (title string, year int) {
	s = strings.TrimSpace(s)
	if m := yearAtEnd.FindStringSubmatch(s); m != nil && m[1] != "" {
		year, _ = strconv.Atoi(m[2]) // four digits
		return m[1], year
	}
	return s, 0
}

// movieOf reads id, title and genres joined by bars.
func movieOf(f []string) (movie, error) {
	x := movie{id: f[0], genres: strings.TrimSpace(f[2])}
	x.title, x.year = titleAndYear(f[1])
	if x.genres == "(no genres listed)" {
		x.genres = ""
	}
	return x, wholeID(x.id)
}

// genres100K are the flags at the end of a line of u.item, as u.genre lists them.
var genres100K = []string{
	"unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror",
	"Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
}

// movie100K reads id, title, release date, video release date, URL and a flag for each genre.
func movie100K(f []string) (movie, error) {
	x := movie{id: f[0]}
	x.title, x.year = titleAndYear(f[1])
	if at, err := time.Parse("02-Jan-2006", f[2]); err == nil && x.year == 0 {
		x.year = at.Year()
	}
	var genres []string
	for i, flag := range f[5:] {
		switch {
		case flag != "0" && flag != "1":
			return x, fmt.Errorf("field %d: a genre's flag is 0 or 1", 6+i)
		case flag == "1" && i > 0:
			genres = append(genres, genres100K[i])
		}
	}
	x.genres = strings.Join(genres, "|")
	return x, wholeID(x.id)
}

// bands are the age groups of ML-1M, which names each by its first year.
var bands = []struct {
	from int
	name string
}{{1, "under 18"}, {18, "18-24"}, {25, "25-34"}, {35, "35-44"}, {45, "45-49"}, {50, "50-55"}, {56, "56+"}}

func bandOf(age string) (string, error) {
	n, err := strconv.Atoi(age)
	if err != nil || n < 1 || n > 120 {
		return "", errors.New("age: want a number of years")
	}
	band := ""
	for _, b := range bands {
		if n >= b.from {
			band = b.name
		}
	}
	return band, nil
}

func genderOf(s string) (string, error) {
	switch s {
	case "M":
		return "male", nil
	case "F":
		return "female", nil
	case "":
		return "", nil
	}
	return "", errors.New("gender: want M, F or nothing")
}

// person100K reads id, age, gender, occupation and ZIP code.
func person100K(f []string) (p person, err error) {
	var errs [3]error
	p.id, p.occupation, errs[0] = f[0], f[3], wholeID(f[0])
	p.age, errs[1] = bandOf(f[1])
	p.gender, errs[2] = genderOf(f[2])
	return p, errors.Join(errs[:]...)
}

// occupations1M are the codes of ML-1M, as its README lists them.
var occupations1M = []string{
	"other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service", "doctor/health care",
	"executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
	"self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
}

// person1M reads id, gender, age group, occupation and ZIP code.
func person1M(f []string) (p person, err error) {
	var errs [4]error
	p.id, errs[0] = f[0], wholeID(f[0])
	p.gender, errs[1] = genderOf(f[1])
	p.age, errs[2] = bandOf(f[2])
	if n, err := strconv.Atoi(f[3]); err != nil || n < 0 || n >= len(occupations1M) {
		errs[3] = fmt.Errorf("occupation: want a code from 0 to %d", len(occupations1M)-1)
	} else {
		p.occupation = occupations1M[n]
	}
	return p, errors.Join(errs[:]...)
}
