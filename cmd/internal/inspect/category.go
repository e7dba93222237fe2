package inspect

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	goyaml "github.com/goccy/go-yaml"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

//go:embed categories.yaml
var categoriesFile []byte

// Category is what a column may tell of a person, and what is proposed to be done with it.
type Category struct {
	Topic string `json:"topic"`
	Law   string `json:"law,omitempty"` // that treats it apart
	Do    string `json:"proposed"`
}

// String says both in a line.
func (c Category) String() string {
	s := c.Topic
	if c.Law != "" {
		s += " (" + c.Law + ")"
	}
	return s + ": " + c.Do
}

// special is what is proposed for data that the law treats apart and nothing else is said of.
const special = "leave it out of training; where groups are to be compared, read it for an evaluation purpose alone, with a consent that says so"

// category is a Category with the words that names have of it.
type category struct {
	Topic, Law, Do string
	Words          []string
	split          [][]string
}

var categories = sync.OnceValue(func() []category {
	var all []category
	if err := goyaml.UnmarshalWithOptions(categoriesFile, &all, goyaml.Strict()); err != nil {
		panic(fmt.Sprintf("inspect: categories.yaml: %v", err)) // embedded, and read by a test
	}
	for i := range all {
		if all[i].Do == "" {
			all[i].Do = special
		}
		for _, w := range all[i].Words {
			all[i].split = append(all[i].split, strings.Fields(w))
		}
	}
	return all
})

func (c *category) category() *Category { return &Category{c.Topic, c.Law, c.Do} }

// byTopic is a category by its name; "" is none.
func byTopic(topic string) *Category {
	for _, c := range categories() {
		if c.Topic == topic {
			return c.category()
		}
	}
	return nil
}

// NameTells says what a column may tell of a person by its name; nil if by nothing. It is a hint for people, and neither complete nor always right.
func NameTells(name string) *Category {
	w := words(name)
	if has(w, "band", "bands", "group", "range", "bucket", "bin", "class", "type", "category") {
		return nil // brought together already, or of a kind of things
	}
	whole := []string{strings.Join(w, "")} // gezondheid is no id of something
	for _, c := range categories() {
		if c.Topic == freeText && has(w, "id", "count", "length") {
			continue
		}
		if slices.ContainsFunc(c.split, func(want []string) bool { return beside(w, want) || beside(whole, want) }) {
			return c.category()
		}
	}
	return nil
}

// freeText is a topic that is told from values as well.
const freeText = "free text"

// beside reports whether words stand side by side in a name. One that ends in * stands for all that begin so.
func beside(name, want []string) bool {
	for i := range len(name) - len(want) + 1 {
		all := true
		for j, w := range want {
			begin, open := strings.CutSuffix(w, "*")
			all = all && (name[i+j] == w || open && strings.HasPrefix(name[i+j], begin))
		}
		if all {
			return true
		}
	}
	return false
}

// wordy is how many words texts have on average from which on they are taken for ones that people wrote.
const wordy = 5

// tells says what a column may tell of a person: by what its values look like, and else by its name. No value is kept.
func tells(p *profile) *Category {
	most := func(n int64) bool { return n > 0 && p.share(n) > 0.5 }
	texts := p.FileColumn.Type == table.String && timeKind(p) == ""
	switch {
	case most(p.email), most(p.phone) && timeKind(p) == "":
		return byTopic("contact")
	case most(p.ip):
		return byTopic("location")
	case texts && p.values() > 0 && !plural(p) && float64(p.spaces)/float64(p.values()) >= wordy-1:
		return byTopic(freeText)
	case timeKind(p) != "" && decades(p):
		return byTopic("children")
	}
	return NameTells(p.Name)
}

// Tells looks at the first row group of a file and says of its columns, by name, which may tell something of a person that needs care. Cost: the footer, and a
// sample of each column.
func Tells(ctx context.Context, b storage.Bucket, f storage.Info) (map[string]Category, error) {
	all := &profiles{byName: map[string]*profile{}}
	if err := all.look(ctx, b, f, &Export{}); err != nil {
		return nil, err
	}
	out := map[string]Category{}
	for name, p := range all.byName {
		if c := tells(p); c != nil {
			out[name] = *c
		}
	}
	return out, nil
}

// Values returns the different values of a column of text in a Parquet file, or in the rows of it that a look reads, and how many rows have one; nil where
// it is no such column or they are too many.
func Values(ctx context.Context, b storage.Bucket, f storage.Info, column string) (map[string]bool, int64, error) {
	all := &profiles{byName: map[string]*profile{}}
	if err := all.look(ctx, b, f, &Export{}); err != nil {
		return nil, 0, err
	}
	p := all.byName[column]
	if p == nil || p.FileColumn.Type != table.String || p.counts == nil || p.values() == 0 {
		return nil, 0, nil
	}
	out := map[string]bool{}
	for v := range p.counts {
		out[v] = true
	}
	return out, p.values(), nil
}
