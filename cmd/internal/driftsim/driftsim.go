// Package driftsim simulates windows of events whose drift is known, for the figures of make bench-eval: false alarms over stationary weeks, power on
// planted drifts, and the cost of a scan of many columns.
//
// # Design
//
// Subjects keep their rate, taste and price level from day to day, and some are replaced, so that rows of one subject are far from independent: a test over
// rows alarms many times too often on such data. Each week is judged as a night of a shop is: seven days of reference, each a period, and one day against
// them, over all columns together. Samples are written as CSV as well, for what other programs say of the same rows.
package driftsim

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/storage/table"
)

// Change is a drift that is planted in a day.
type Change struct {
	Name  string
	Buys  float64 // added to the chance of a buy
	Price float64 // factor on prices; 0: none
	Nulls float64 // share of prices lost
}

// Shop is a set of subjects over days.
type Shop struct {
	r        *rand.Rand
	subjects []uint64
}

// NewShop returns a shop of n subjects.
func NewShop(seed uint64, n int) *Shop {
	s := &Shop{r: rand.New(rand.NewPCG(seed, 77))}
	for range n {
		s.subjects = append(s.subjects, s.r.Uint64())
	}
	return s
}

var fields = []drift.Field{{Name: "kind", Text: true}, {Name: "price"}, {Name: "device", Text: true}, {Name: "item", Text: true}}

// Day makes the events of a day and then replaces a tenth of the subjects.
func (s *Shop) Day(c Change) *drift.Batch {
	kind, price, device, item := &table.Column{}, &table.Column{}, &table.Column{}, &table.Column{}
	b := &drift.Batch{Cols: []*table.Column{kind, price, device, item}}
	for i, subject := range s.subjects {
		own := rand.New(rand.NewPCG(subject, 5)) // what a subject keeps
		rate, level := math.Exp(0.7+0.8*own.NormFloat64()), math.Exp(2+0.5*own.NormFloat64())
		buyer, favourite := 0.05+0.5*own.Float64()*own.Float64(), own.IntN(300)
		on := []string{"phone", "desktop", ""}[own.IntN(3)]
		for range int(rate * (0.5 + s.r.Float64())) {
			k, p, it := "view", level*(0.8+0.4*s.r.Float64()), favourite
			if c.Price > 0 {
				p *= c.Price
			}
			if s.r.Float64() < buyer+c.Buys {
				k = "buy"
			}
			if s.r.Float64() < 0.5 {
				it = int(math.Abs(s.r.NormFloat64()) * 30)
			}
			if s.r.Float64() < c.Nulls {
				p = math.NaN()
			}
			b.Unit = append(b.Unit, int64(subject))
			kind.Str, price.Float, device.Str, item.Str = append(kind.Str, k), append(price.Float, p), append(device.Str, on), append(item.Str, fmt.Sprintf("i%03d", it))
		}
		if s.r.Float64() < 0.1 {
			s.subjects[i] = s.r.Uint64()
		}
	}
	return b
}

// Week is a day and the seven before it.
type Week struct {
	Reference []*drift.Batch
	Current   *drift.Batch
}

// NewWeek simulates the shop's next week, whose last day has changed.
func (s *Shop) NewWeek(c Change) *Week {
	w := &Week{}
	for range 7 {
		w.Reference = append(w.Reference, s.Day(Change{}))
	}
	w.Current = s.Day(c)
	return w
}

// Judge compares the week's last day with the others, as a night does.
func (w *Week) Judge(seed uint64, replicates int) (*drift.Report, error) {
	l := drift.NewEventsLearner(fields, 0)
	for _, b := range w.Reference {
		l.Add(b)
		l.EndPeriod()
	}
	specs := l.Specs()
	count := func(b *drift.Batch) []*drift.Summary {
		s := drift.NewEventsScan(specs)
		s.Add(b)
		return s.Summaries()
	}
	var periods [][]*drift.Summary
	for _, b := range w.Reference {
		periods = append(periods, count(b))
	}
	was, _, err := drift.Reference(periods)
	if err != nil {
		return nil, err
	}
	return drift.Compare(was, count(w.Current), drift.Options{Seed: seed, Replicates: replicates})
}

// WriteCSV writes the rows of some days: kind, price, device, item.
func WriteCSV(out io.Writer, days ...*drift.Batch) error {
	w := csv.NewWriter(out)
	if err := w.Write([]string{"kind", "price", "device", "item"}); err != nil {
		return err
	}
	for _, b := range days {
		for i := range b.Unit {
			price := ""
			if p := b.Cols[1].Float[i]; p == p {
				price = strconv.FormatFloat(p, 'g', -1, 64)
			}
			if err := w.Write([]string{b.Cols[0].Str[i], price, b.Cols[2].Str[i], b.Cols[3].Str[i]}); err != nil {
				return err
			}
		}
	}
	w.Flush()
	return w.Error()
}

// Judge says which columns of a week have drifted. seed is another for each week.
type Judge func(w *Week, seed uint64) (called []string, err error)

// Rapport judges weeks as a night does.
func Rapport(replicates int) Judge {
	return func(w *Week, seed uint64) ([]string, error) {
		r, err := w.Judge(seed, replicates)
		if err != nil {
			return nil, err
		}
		return r.Drifted(), nil
	}
}

// Alarms is how often stationary weeks were called.
type Alarms struct {
	Weeks   int
	Called  float64            // share of weeks in which any column was called
	Error   float64            // standard error of it
	Columns map[string]float64 // share of weeks in which this column was called, of those that ever were
}

// FalseAlarms judges stationary weeks of shops of so many subjects.
func FalseAlarms(weeks, subjects int, judge Judge) (*Alarms, error) {
	out := &Alarms{Weeks: weeks, Columns: map[string]float64{}}
	for i := range weeks {
		called, err := judge(NewShop(uint64(9000+i), subjects).NewWeek(Change{}), uint64(i))
		if err != nil {
			return nil, err
		}
		if len(called) > 0 {
			out.Called += 1 / float64(weeks)
		}
		for _, name := range called {
			out.Columns[name] += 1 / float64(weeks)
		}
	}
	out.Error = math.Sqrt(max(out.Called, 1/float64(weeks)) * (1 - min(out.Called, 1)) / float64(weeks))
	return out, nil
}

// Power is how often a planted change is called in its column, over so many shops.
func Power(c Change, column string, runs, subjects int, judge Judge) (float64, error) {
	found := 0.0
	for i := range runs {
		called, err := judge(NewShop(uint64(70000+i), subjects).NewWeek(c), uint64(i))
		if err != nil {
			return 0, err
		}
		if slices.Contains(called, column) {
			found += 1 / float64(runs)
		}
	}
	return found, nil
}

// Scanned is what a scan of many columns took.
type Scanned struct {
	Columns, Rows int
	Seconds       float64
	Counted       int64 // values
}

// Scan counts columns × rows, three quarters of them numbers, in batches as tables are read, with so many workers that each hold a scan of their own.
// Only the scan is measured: batches are made of the same few thousand rows, moved along.
func Scan(columns, rows, workers int) (*Scanned, error) {
	const batch = 8192
	r := rand.New(rand.NewPCG(1, 2))
	var fields []drift.Field
	b := &drift.Batch{}
	for range batch {
		b.Unit = append(b.Unit, int64(r.Uint64N(1<<20)))
	}
	dict := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for c := range columns {
		text := c%4 == 3
		fields = append(fields, drift.Field{Name: "c" + strconv.Itoa(c), Text: text})
		col := &table.Column{}
		for range batch {
			if text {
				col.Code = append(col.Code, int32(r.IntN(len(dict))))
			} else {
				col.Float = append(col.Float, math.Exp(r.NormFloat64()))
			}
		}
		if text {
			col.Dict = dict
		}
		b.Cols = append(b.Cols, col)
	}
	l := drift.NewLearner(fields, batch)
	l.Add(b)
	specs := l.Specs()
	scans := make([]*drift.Scan, workers)
	start := time.Now()
	var wait sync.WaitGroup
	for w := range workers {
		scans[w] = drift.NewScan(specs)
		wait.Go(func() {
			for at := w * batch; at < rows; at += workers * batch {
				scans[w].Add(b)
			}
		})
	}
	wait.Wait()
	for _, s := range scans[1:] {
		if err := scans[0].Merge(s); err != nil {
			return nil, err
		}
	}
	out := &Scanned{Columns: columns, Rows: rows, Seconds: time.Since(start).Seconds()}
	for _, s := range scans[0].Summaries() {
		out.Counted += s.Result().Rows
	}
	return out, nil
}
