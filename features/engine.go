package features

import (
	"context"
	"iter"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Source lists the minimized events of a window as splits. Columns: subject (Int64, the bits of an unsigned number), item (String), time (Time),
// kind (String), value (Float64), the context columns that a view names (any type), and created (Time) where the data has it: when the event
// became known. Splits may hold events outside the window (files are cut by day): an engine leaves them out by their time.
type Source func(ctx context.Context, w table.Interval) ([]Split, error)

// Split is a run of rows that can be read on its own, while others are.
type Split struct {
	Rows  int64 // 0: not known
	Bytes int64 // of the columns that are likely to be read; 0: not known
	// Times holds all times of the rows, if it is not zero. An engine that need not look at times then does not ask for them.
	Times table.Interval
	// Read yields the rows, with these columns at least. It may be called more than once.
	Read func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error]
}

// TableKind is what a build puts out in a table: a view's rows, or what later builds take as their Prior.
type TableKind int

// The kinds of tables.
const (
	ViewTable TableKind = iota
	StateTable
	TileTable
)

// Plan is one build: the views as of Interval.End.
type Plan struct {
	Views    []View
	Interval table.Interval
	Schema   table.Schema // of the events; columns that it lacks are of the types that TypeOf says
	Events   Source

	// Prior is what an earlier build of the same views kept; nil: all events are read. The result is the same to the bit.
	Prior *Prior

	// Budget is how many bytes of memory a build should take for its state; beyond it, partitions are spilled to files of Spill (empty: the
	// system's folder for temporary files) and merged one at a time. 0: no limit. The result is the same to the bit. It is exceeded by a partition, a
	// few hundredths of the entities, that needs more alone, as with an entity of very many values, and by the texts that features put out again (first, last,
	// top, sequence), which can't be spilled: each different text is held once.
	Budget int64
	Spill  string

	// Out receives each view's rows: schema View.Schema(Schema), each entity once, in any order, in one or more batches that are valid only during the
	// call. Batches of several views, states and tiles may come by turns. A view without rows is one batch of none. Calls of all three don't overlap.
	Out func(view View, rows *table.Batch) error
	// State and Tile, if not nil, receive in the same way what a later build takes as its Prior: one table for all views of a key, schema StateSchema.
	// State is as of Interval.End; Tile is of the events of Interval alone. Their texts, too, are valid only during the call: who keeps them copies them.
	State func(key string, rows *table.Batch) error
	Tile  func(key string, rows *table.Batch) error
	// Whole, if not nil, is called, as the three are, when a table has all of its rows: of the view of that name, or the state or tile of that key. What
	// stores tables can begin with those of one key while others are computed.
	Whole func(kind TableKind, name string) error
	// Anew says that all that Out, State and Tile have received is void, and that the build begins again with all events: after some entities had been put out a
	// Prior turned out to be of no use, or what was spilled to have texts that the engine can't tell apart as it began. It must be set if Prior is; without it the
	// latter is an error. An error ends the build.
	Anew func() error
}

// Prior is what a build kept for later builds of the same views. The caller answers for its being of the same events: none that
// lies before End has come, gone or changed its value since, and each is permitted now if and only if it was.
type Prior struct {
	End   time.Time
	State map[string][]Split // by the key of views
	// Tile returns the tile of the views of a key over exactly w; false if there is none, and the events of w are read instead.
	Tile func(key string, w table.Interval) ([]Split, bool)
	// Events is about how many events a build without the Prior would read; 0: not known. By it, and the Bytes of the splits, an engine may decline a
	// Prior that is dearer to go on from than all events are to read.
	Events int64
}

// JoinPlan asks for views as of many moments: what would have been known at each example (training rows).
type JoinPlan struct {
	Views  []View
	Schema table.Schema // of the events
	Anchor time.Time    // from which the hops of views are counted, back and forth
	Events Source
	// Examples are rows with the columns of ExampleSchema: the keys of the views, "time", and others that are handed through.
	Examples      []Split
	ExampleSchema table.Schema
	// An example at t sees, of each view, the events in [a−W, a) that were created (where events say so) before t, a being t, or the view's last hop
	// at or before it. Out receives the examples' columns, then of each view those of its features, named JoinColumn: null (counts and sums: 0)
	// where the entity had no event. Rows come in any order.
	Out func(rows *table.Batch) error
}

// JoinColumn names a view's column in a join, as Feast does: activity__views_7d.
func JoinColumn(view, column string) string { return view + "__" + column }

// Stats are the facts of a build or a join.
type Stats struct {
	// RowsIn counts the events that were read and that a view's longest window could hold: with a time in [End−RetentionNeeded, End).
	RowsIn int64 `json:"rows_in"`
	// RowsOutside counts the other events that were read. Splits that lie outside as a whole are not.
	RowsOutside int64 `json:"rows_outside,omitempty"`
	// RowsOut counts the rows of each view.
	RowsOut map[string]int64 `json:"rows_out"`
	// Refused counts what was left out because it can't be computed with: "time" (events without one), "<view>" (events without its key),
	// "<view>.<feature>" (values that are NaN, infinite, or above MaxValue, and integers above MaxInteger where a number is wanted). Only counts
	// above zero are present. A build from a Prior counts what it read; an event that lies in none of the spans that it asks for, or has no time, counts
	// (in RowsOutside, or here) once for each span whose splits hold it.
	Refused map[string]int64 `json:"refused,omitempty"`

	Prior   *time.Time `json:"prior,omitempty"`      // as of when the state was that the build went on from
	States  int64      `json:"states,omitempty"`     // entities of states and tiles that were read
	Spilled int64      `json:"spilled,omitempty"`    // bytes written to spill files
	Peak    int64      `json:"peak_state,omitempty"` // bytes of state at the most, as the engine estimates them for its budget
}

// Engine computes views. Every engine passes features/enginetest. Build calls Plan.Events once, for [Interval.End−RetentionNeeded(Views),
// Interval.End), or from a Prior for each span of time that it needs, and then, if the Prior turns out to be of no use, once for all of it; it calls Out only after all splits have ended without an error.
type Engine interface {
	Build(ctx context.Context, p Plan) (Stats, error)
	Join(ctx context.Context, p JoinPlan) (Stats, error)
}
