package event

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage/table"
)

// Try looks the ids in a column of a data set up, so that rows which stand under a previous key are wrapped anew at the next Flush, holds them against the marks
// of erased people, and returns how many rows it read. It numbers nobody, and stops once no row is left to be wrapped and no mark left to be found.
func (t *Identities) Try(ctx context.Context, d DataSet, column string, marks *Remarks) (rows int64, err error) {
	objs, err := d.list(ctx)
	if err != nil {
		return 0, fmt.Errorf("try ids: %w", err)
	}
	left := t.left()
	var counts expect.Counts
	for r, err := range d.scan(ctx, objs, []table.Want{{Name: d.column(column), Type: table.String}}, &counts) {
		if err != nil {
			return rows, fmt.Errorf("try ids: %w", err)
		}
		rows++
		if id, ok := idAt(&r.b.Cols[0], r.i); ok {
			if t.buffered() < left {
				t.own(id)
			}
			marks.look(id)
		}
		if t.buffered() >= left && marks.Left() == 0 {
			break
		}
	}
	return rows, nil
}

// TryLinks is Try of the ids of the declared links.
func (t *Identities) TryLinks(marks *Remarks) {
	for _, alias := range t.links.sorted() {
		for _, id := range []string{alias, t.links.main[alias]} {
			t.own(id)
			marks.look(id)
		}
	}
}

// left is how many rows stand under a previous key, those that are about to be wrapped anew among them.
func (t *Identities) left() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.people.all() {
		if len(t.keys) > 0 && t.keyIDs[r.key] != t.keys[0].id {
			n++
		}
	}
	return n
}

func (t *Identities) buffered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, c := range t.rewrap {
		if c.was.key != t.index[0] { // else by another form of the id
			n++
		}
	}
	return n
}
