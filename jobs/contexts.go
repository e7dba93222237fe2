package jobs

import (
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// contexts names the event columns that a re-ranker reads as circumstances: the text columns, beside the kind, that the project declares and
// the training purpose reads. None without a re-ranker: its models are made of what they were made of before there was one.
func (j *Job) contexts() []string {
	if j.Rerank == 0 {
		return nil
	}
	return j.textColumns()
}

// textColumns names the context columns of the events that hold text.
func (j *Job) textColumns() []string {
	var names []string
	for _, f := range j.Events.Schema(j.Training) {
		switch f.Name {
		case event.ColSubject, event.ColItem, event.ColTime, event.ColKind, event.ColValue:
		default:
			if f.Type == table.String {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// withContexts returns the schema and the columns of a training set whose rows hold these circumstances as well.
func withContexts(names []string) (table.Schema, []string) {
	schema, columns := slices.Clone(eventSchema), slices.Clone(eventColumns)
	for _, name := range names {
		schema, columns = append(schema, table.Field{Name: name, Type: table.String}), append(columns, name)
	}
	return schema, columns
}

// levelCounts says, for each context column, how often each level occurs.
type levelCounts []map[string]int

func newLevelCounts(names []string) levelCounts {
	l := make(levelCounts, len(names))
	for i := range l {
		l[i] = map[string]int{}
	}
	return l
}

func (l levelCounts) add(b *table.Batch) {
	for c := range l {
		col := &b.Cols[len(eventColumns)+c]
		for i := range b.N {
			if !col.Null(i) {
				l[c][col.Str[i]]++
			}
		}
	}
}

// contextReader returns what reads the context of a row: its circumstances, and what its time says in the calendar.
func contextReader(c *models.Contexts, loc *time.Location) func(b *table.Batch, row int) models.Context {
	daypart, weekday := c.Column(models.DaypartColumn), c.Column(models.WeekdayColumn)
	return func(b *table.Batch, row int) (x models.Context) {
		for i := range daypart { // the declared columns stand before those told from the time
			if col := &b.Cols[len(eventColumns)+i]; !col.Null(row) {
				x = x.With(i, c.Columns[i].Index(col.Str[row]))
			}
		}
		part, day := models.ClockLevels(timeOf(b.Cols[2].Int[row]).In(loc))
		return x.With(daypart, c.Columns[daypart].Index(part)).With(weekday, c.Columns[weekday].Index(day))
	}
}
