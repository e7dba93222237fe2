package event

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage/table"
)

// Hierarchy is what values of a column are in general, level by level: a postcode, its town, its region. It is a table of the columns value, level_1 and so on
// to at most level_8, each coarser than the one before it: of two values that share a level, all further levels are the same. A value without a level is Other
// there, as one that the table does not know.
type Hierarchy struct {
	Digest string // of what it says, whatever the order of its rows and the form of its file
	Name   string // of its file, for people; in no key and no lock
	depth  int
	levels map[string][]string // value → its levels; "" where it has none
}

// maxHierarchy bounds the values of a hierarchy, maxLevels its levels.
const (
	maxHierarchy = 1 << 20
	maxLevels    = 8
	digestLength = 32 // hex digits
)

// ReadHierarchy reads a hierarchy, and holds it in memory. Its errors name the file and the row.
func ReadHierarchy(ctx context.Context, d DataSet) (*Hierarchy, error) {
	fail := func(err error) (*Hierarchy, error) { return nil, fmt.Errorf("read hierarchy: %w", err) }
	objs, err := d.list(ctx)
	if err != nil {
		return fail(err)
	}
	wants := []table.Want{{Name: d.column("value"), Type: table.String}}
	for l := range maxLevels {
		wants = append(wants, table.Want{Name: d.column(fmt.Sprintf("level_%d", l+1)), Type: table.String, Optional: true})
	}
	h := &Hierarchy{Name: d.Path, levels: map[string][]string{}}
	parents := make([]map[string]string, maxLevels)
	for l := range parents {
		parents[l] = map[string]string{}
	}
	var counts expect.Counts
	for r, err := range d.scan(ctx, objs, wants, &counts) {
		if err != nil {
			return fail(err)
		}
		value := r.text(0)
		levels := make([]string, maxLevels)
		for l := range levels {
			if levels[l] = r.text(l + 1); levels[l] == Other {
				levels[l] = ""
			}
			if levels[l] != "" {
				h.depth = max(h.depth, l+1)
			}
			if l > 0 && levels[l-1] == "" && levels[l] != "" {
				return fail(fmt.Errorf("%s: it has no level_%d, and a level_%d: what is other at one level is so at all that follow", r.at(), l, l+1))
			}
		}
		switch before, known := h.levels[value]; {
		case value == "":
			return fail(fmt.Errorf("%s: it has no value", r.at()))
		case known && !slices.Equal(before, levels):
			return fail(fmt.Errorf("%s: its value stands in an earlier row, with other levels: name each value once", r.at()))
		case len(h.levels) == maxHierarchy:
			return fail(fmt.Errorf("%s: a hierarchy holds at most %d values", r.at(), maxHierarchy))
		}
		h.levels[value] = levels
		for l := range maxLevels - 1 {
			if parent, known := parents[l][levels[l]]; known && parent != levels[l+1] {
				return fail(fmt.Errorf("%s: an earlier row has its level_%d in another level_%d: each level must be coarser than the one before it", r.at(), l+1, l+2))
			}
			parents[l][levels[l]] = levels[l+1]
		}
	}
	if h.depth == 0 {
		return fail(fmt.Errorf("%s: it has no level: the columns are value, level_1, level_2 and so on", d.Path))
	}
	sum := sha256.New()
	for _, value := range slices.Sorted(maps.Keys(h.levels)) {
		fmt.Fprintf(sum, "%q %q\n", value, h.levels[value][:h.depth])
	}
	h.Digest = hex.EncodeToString(sum.Sum(nil))[:digestLength]
	return h, nil
}

// at is what a value is at a level.
func (h *Hierarchy) at(value string, level int) string {
	if levels := h.levels[value]; levels != nil && levels[level-1] != "" {
		return levels[level-1]
	}
	return Other
}
