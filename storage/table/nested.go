package table

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// place says where a leaf column stands in a file's schema.
type place struct {
	name    string // as Want has it: "sku", "ctx.device", "items[].sku", "tags[]"
	list    string // the outermost list that it stands in, "" if none: "items"
	element int16  // the definition level from which on an element of that list is there
	inMap   string // the outermost map that it stands in
	depth   int
}

// places are the places of all leaf columns, in file order. A list is one in any of the shapes that writers have given it: LIST of three levels
// (list.element, bag.array_element, …) or of two, or a repeated field without a word.
func places(s *schema.Schema) ([]place, error) {
	var p placing
	root := s.Root()
	for i := range root.NumFields() {
		p.field(root.Field(i), place{}, 0)
	}
	if p.tooDeep {
		return nil, fmt.Errorf("%w: columns stand more than %d levels deep", ErrCorrupt, maxLevels)
	}
	return p.leaves, nil
}

// maxLevels bounds structs in structs: the names of columns are as long as they are deep.
const maxLevels = 64

type placing struct {
	leaves  []place
	tooDeep bool
}

// field places the leaves of a field of the struct at p.
func (all *placing) field(n schema.Node, p place, level int16) {
	if p.name != "" {
		p.name += "."
	}
	p.name += n.Name()
	switch n.RepetitionType() {
	case parquet.Repetitions.Repeated:
		level++
		if p.inMap == "" {
			p.enter(level)
		}
	case parquet.Repetitions.Optional:
		level++
	}
	all.value(n, p, level)
}

// enter goes into the list at p.
func (p *place) enter(level int16) {
	if p.list == "" {
		p.list, p.element = p.name, level
	}
	p.name += "[]"
}

// value places the leaves of what stands at p.
func (all *placing) value(n schema.Node, p place, level int16) {
	g, ok := n.(*schema.GroupNode)
	if p.depth++; p.depth > maxLevels {
		all.tooDeep = true
		return
	}
	if !ok {
		all.leaves = append(all.leaves, p)
		return
	}
	if p.inMap == "" && isMap(g) {
		p.inMap = p.name
	}
	if p.inMap == "" && isList(g) && g.NumFields() == 1 && g.Field(0).RepetitionType() == parquet.Repetitions.Repeated {
		repeated := g.Field(0)
		level++
		p.enter(level)
		if middle, ok := repeated.(*schema.GroupNode); ok && !isElement(middle, g.Name()) {
			element := middle.Field(0)
			if element.RepetitionType() == parquet.Repetitions.Optional {
				level++
			}
			all.value(element, p, level)
			return
		}
		all.value(repeated, p, level)
		return
	}
	for i := range g.NumFields() {
		all.field(g.Field(i), p, level)
	}
}

func isList(g *schema.GroupNode) bool {
	_, ok := g.LogicalType().(schema.ListLogicalType)
	return ok || g.ConvertedType() == schema.ConvertedTypes.List
}

func isMap(g *schema.GroupNode) bool {
	_, ok := g.LogicalType().(schema.MapLogicalType)
	return ok || g.ConvertedType() == schema.ConvertedTypes.Map || g.ConvertedType() == schema.ConvertedTypes.MapKeyValue
}

// isElement reports whether the repeated group of a LIST is its element, as older writers have it, and not a level between: the rules of the
// format's specification for backward compatibility.
func isElement(g *schema.GroupNode, list string) bool {
	return g.NumFields() != 1 || g.Name() == "array" || g.Name() == list+"_tuple" || g.Field(0).RepetitionType() == parquet.Repetitions.Repeated
}

// leaf finds the leaf column that a name means, or says why there is none that can be read.
func (s *scan) leaf(name string) (int, error) {
	found := -1
	for i, p := range s.places {
		if p.name != name {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("%w: two columns are named %q", ErrColumn, name)
		}
		found = i
	}
	if found < 0 {
		return -1, s.strange(name)
	}
	p, desc := s.places[found], s.meta.Schema.Column(found)
	switch {
	case p.inMap != "":
		return -1, fmt.Errorf("%w: %q is a map, which rapport does not read: write the entries that are needed as columns of their own", ErrColumn, p.inMap)
	case desc.MaxRepetitionLevel() > 1:
		return -1, fmt.Errorf("%w: column %q is repeated in a list that is repeated itself; flatten one of them", ErrColumn, name)
	case p.list != "" && s.o.Explode == "":
		return -1, fmt.Errorf("%w: column %q is repeated: it stands in the list %q; explode that list, or flatten it to one value a row", ErrColumn, name, p.list)
	case p.list != s.o.Explode && p.list != "":
		return -1, fmt.Errorf("%w: column %q is repeated: it stands in the list %q, and it is %q that is exploded", ErrColumn, name, p.list, s.o.Explode)
	}
	return found, nil
}

// strange says what a name that is no leaf column's means, or returns nil if the file simply has none of the name.
func (s *scan) strange(name string) error {
	var names []string
	for i, p := range s.places {
		names = append(names, p.name)
		switch {
		case p.inMap != "" && (name == p.inMap || strings.HasPrefix(name, p.inMap+".") || strings.HasPrefix(name, p.inMap+"[")):
			return fmt.Errorf("%w: %q is a map, which rapport does not read: write the entries that are needed as columns of their own", ErrColumn, p.inMap)
		case s.meta.Schema.Column(i).Path() == name:
			return fmt.Errorf("%w: column %q is repeated; it is named %q, and %q is the list to explode", ErrColumn, name, p.name, p.list)
		}
	}
	for _, n := range names {
		if strings.HasPrefix(n, name+".") || strings.HasPrefix(n, name+"[]") {
			return fmt.Errorf("%w: %q is a struct or a list; declare a column inside it%s", ErrColumn, name, nearest(name, names))
		}
	}
	return nil
}

// absent says that a file has no column of the name.
func (s *scan) absent(name string) error {
	var names []string
	for _, p := range s.places {
		names = append(names, p.name)
	}
	return fmt.Errorf("%w: there is no column %q%s", ErrColumn, name, nearest(name, names))
}
