package event

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage/table"
)

// The columns of a declared identity table.
const (
	ColAlias = "from" // an id under which rows of a person stand
	ColMain  = "to"   // the id that the person is known by
)

// Links say which ids are other names of a person, as a declared identity table has them. They are held in memory alone, about 300 bytes a link. A nil
// *Links links nothing.
type Links struct {
	Fingerprint string // of the files
	Facts       LinksFacts

	main    map[string]string   // alias → main id, canonical
	aliases map[string][]string // main id → aliases
}

// LinksFacts count the rows of an identity table: each row is a link or stands in one of the others.
type LinksFacts struct {
	Rows       int64 `json:"rows"`
	Links      int64 `json:"links"`
	Duplicates int64 `json:"duplicates"` // rows equal to another
	Selves     int64 `json:"selves"`     // rows that link an id to itself
}

// place is where a row stands.
type place struct {
	file string
	row  int64
}

func (p place) String() string { return fmt.Sprintf("%s row %d", p.file, p.row+1) }

// BadLinks are rows of an identity table that cannot be meant.
type BadLinks struct {
	Rows   int64    // of the table
	Faults []string // one a row, in their order: where it stands and what is wrong, and never an id
}

// maxToldLinks is how many faults the error tells.
const maxToldLinks = 3

func (e *BadLinks) Error() string {
	told := e.Faults[:min(len(e.Faults), maxToldLinks)]
	text := strings.Join(told, "; ")
	if more := len(e.Faults) - len(told); more > 0 {
		text += fmt.Sprintf("; and %d more of its %d rows: rapport validate lists them", more, e.Rows)
	}
	return text
}

// badLink is a row that cannot be meant, and the one that it is at odds with.
type badLink struct {
	at, other place
	says      string // a format, of other if it has one
}

// ReadLinks reads a declared identity table: one row a link, from an alias to the main id of the same person. What cannot be meant is a *BadLinks that names every such
// row and never an id: a row without one of the ids, an alias of two people, and a chain (a cycle is one), for which of its ids names the person
// nobody could say. A row is at odds with what the others say, not with what stands above it: whatever the order of the rows, the same are told.
func ReadLinks(ctx context.Context, d DataSet) (*Links, error) {
	fail := func(err error) (*Links, error) { return nil, fmt.Errorf("read identities: %w", err) }
	objs, err := d.list(ctx)
	if err != nil {
		return fail(err)
	}
	l := &Links{Fingerprint: Fingerprint(objs), main: map[string]string{}, aliases: map[string][]string{}}
	wants := []table.Want{{Name: d.column(ColAlias), Type: table.String}, {Name: d.column(ColMain), Type: table.String}}
	if wants[0].Name == wants[1].Name {
		return fail(fmt.Errorf("both ids are read from one column: name another in sources.identities.from or to"))
	}
	isAlias := map[string]place{}
	var bad []badLink
	var counts expect.Counts
	for r, err := range d.scan(ctx, objs, wants, &counts) {
		if err != nil {
			return fail(err)
		}
		l.Facts.Rows++
		at := place{r.file, r.row}
		alias, okAlias := idAt(&r.b.Cols[0], r.i)
		main, okMain := idAt(&r.b.Cols[1], r.i)
		switch {
		case !okAlias || !okMain:
			column := wants[0].Name
			if okAlias {
				column = wants[1].Name
			}
			bad = append(bad, badLink{at: at, says: column + " holds no id: a link has two"})
			continue
		case alias == main:
			l.Facts.Selves++
			continue
		}
		if was, ok := l.main[alias]; ok {
			if was != main {
				bad = append(bad, badLink{at, isAlias[alias], "its " + wants[0].Name + " is linked to another person in %s: an id is one person's"})
				continue
			}
			l.Facts.Duplicates++
			continue
		}
		l.main[alias], isAlias[alias] = main, at
		l.aliases[main] = append(l.aliases[main], alias)
		l.Facts.Links++
	}
	for alias, main := range l.main {
		if by, ok := isAlias[main]; ok {
			bad = append(bad, badLink{isAlias[alias], by, "its " + wants[1].Name + " is itself linked to an id, in %s: link both to the person's main id"})
		}
	}
	if len(bad) > 0 {
		return fail(badLinks(bad, l.Facts.Rows))
	}
	for _, a := range l.aliases {
		slices.Sort(a)
	}
	return l, nil
}

// badLinks puts rows that cannot be meant into words, in their order.
func badLinks(bad []badLink, rows int64) *BadLinks {
	slices.SortFunc(bad, func(a, b badLink) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.row, b.at.row))
	})
	out := &BadLinks{Rows: rows}
	for _, x := range bad {
		says := x.says
		if x.other.file != "" {
			says = fmt.Sprintf(says, x.other)
		}
		out.Faults = append(out.Faults, x.at.String()+": "+says)
	}
	return out
}

// Digest is the fingerprint of the files, or "" of no links.
func (l *Links) Digest() string {
	if l == nil {
		return ""
	}
	return l.Fingerprint
}

// sorted are the aliases, ascending.
func (l *Links) sorted() []string {
	if l == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(l.main))
}

// Main returns the main id of a person by any of their ids, canonical: the id itself if it is linked to none.
func (l *Links) Main(canonical string) string {
	if l != nil {
		if main, ok := l.main[canonical]; ok {
			return main
		}
	}
	return canonical
}

// others are the other ids of the same person.
func (l *Links) others(canonical string) (out []string) {
	if l == nil {
		return nil
	}
	main := l.Main(canonical)
	if main != canonical {
		out = append(out, main)
	}
	for _, a := range l.aliases[main] {
		if a != canonical {
			out = append(out, a)
		}
	}
	return out
}

// Current returns l if the files of the data set are those that it was read from, else what they hold now. Cost: a listing, and the files if they are
// others.
func (l *Links) Current(ctx context.Context, d DataSet) (*Links, error) {
	if l != nil {
		objs, err := d.list(ctx)
		if err != nil {
			return nil, fmt.Errorf("read identities: %w", err)
		}
		if Fingerprint(objs) == l.Fingerprint {
			return l, nil
		}
	}
	return ReadLinks(ctx, d)
}
