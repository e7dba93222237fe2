package eval

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// ListFacts says what the declared rules do to lists, and what each weight of an objective would cost and bring.
type ListFacts struct {
	Rules    []string   `json:"rules"`    // in words
	K        int        `json:"k"`        // length of the lists
	N        int        `json:"n"`        // subjects whose lists were measured; 0: too few to tell
	Excluded int        `json:"excluded"` // items that stand in no list
	Short    *int       `json:"short"`    // lists that the rules leave shorter than K; null: some, and of fewer than 11 people
	Rows     []ListRow  `json:"rows"`     // by the scores alone, and as declared
	Curves   []ListRow  `json:"curves"`   // as declared, but for the weight of one objective
	Measured ListColumn `json:"measured"` // by which attributes
}

// ShortSays tells how many lists are shorter than they should be; "" if none is.
func (f *ListFacts) ShortSays() string {
	switch {
	case f.Short == nil:
		return fmt.Sprintf("fewer than %d lists are shorter than %d", models.MinSubjects, f.K)
	case *f.Short == 0:
		return ""
	}
	return fmt.Sprintf("%s lists are shorter than %d", count(*f.Short), f.K)
}

// ListColumn names what lists are measured by; "" where it is nothing.
type ListColumn struct {
	Diversity  string `json:"diversity"`
	Divergence string `json:"divergence"`
	Fresh      bool   `json:"fresh"`
}

// ListRow is the means over lists made in one way.
type ListRow struct {
	Name       string   `json:"name"`
	Rule       string   `json:"rule,omitempty"` // of a curve: diversity or calibrate
	Weight     float64  `json:"weight"`         // of that rule
	Declared   bool     `json:"declared"`
	NDCG       *float64 `json:"ndcg"`       // at K
	Coverage   *float64 `json:"coverage"`   // distinct items over these lists ÷ items of the catalog
	Diversity  *float64 `json:"diversity"`  // mean share of attributes in which two items of a list differ
	Divergence *float64 `json:"divergence"` // of the lists' spread from the histories', in nats
	Fresh      *float64 `json:"fresh"`      // share of places that new items have
}

// ListWay is one way to make lists.
type ListWay struct {
	Name, Rule string
	Weight     float64
	Declared   bool
	Stage      *lists.Stage // nil: by the scores alone
}

// tradeoffQueries bounds how many lists Tradeoff measures.
const tradeoffQueries = 1000

// Tradeoff measures the lists of at most 1,000 evenly drawn subjects of t, made in each of the ways from the scores of s, by the attributes of
// the yardstick; declared makes the candidates, and its exclusions, page and new items must be those of all ways but the scores alone. Cost: two
// rankings, three where items are new, and a list a subject and way.
func Tradeoff(ctx context.Context, t *Task, s models.Scorer, declared, yardstick *lists.Stage, ways []ListWay) ([]ListRow, int, int, error) {
	k := declared.K()
	var queries []models.Query
	var relevant [][]int32
	for i := range min(t.Rows, tradeoffQueries) {
		s := t.Subject(i * t.Rows / min(t.Rows, tradeoffQueries))
		if len(s.Relevant) > 0 {
			s.Query.K = k
			queries, relevant = append(queries, s.Query), append(relevant, s.Relevant)
		}
	}
	if len(queries) < MinCell { // their lists would be some person's
		return []ListRow{}, 0, 0, nil
	}
	var alone models.Ranking
	if err := models.Rank(ctx, s, len(t.Catalog.IDs), queries, &alone); err != nil {
		return nil, 0, 0, fmt.Errorf("trade-off of lists: %w", err)
	}
	candidates, err := declared.Candidates(ctx, s, queries)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("trade-off of lists: %w", err)
	}
	var rows []ListRow
	short := 0
	d := newDiscount(k)
	for _, way := range ways {
		m := listMeans{yardstick: yardstick, discount: d, k: k, seen: map[int32]bool{}}
		for i := range queries {
			if err := ctx.Err(); err != nil {
				return nil, 0, 0, err
			}
			items, _ := alone.Query(i)
			if way.Stage != nil {
				items = way.Stage.Fill(&queries[i], candidates[i]).Items
			}
			if way.Declared && way.Rule == "" && len(items) < min(k, len(alone.Item[alone.Off[i]:alone.Off[i+1]])) {
				short++
			}
			m.add(&queries[i], items, relevant[i])
		}
		rows = append(rows, m.row(way, len(t.Catalog.IDs)))
	}
	return rows, len(queries), short, nil
}

// listMeans adds up the figures of lists made in one way.
type listMeans struct {
	yardstick                                  *lists.Stage
	discount                                   discount
	k                                          int
	seen                                       map[int32]bool
	ndcg, diversity, divergence, fresh, places float64
	n, nDiversity, nDivergence                 int
}

func (m *listMeans) add(q *models.Query, items, relevant []int32) {
	hit := make([]bool, len(items))
	for j, item := range items {
		hit[j] = contains(relevant, item)
		m.seen[item] = true
		m.places++
		if m.yardstick.IsFresh(item) {
			m.fresh++
		}
	}
	figures := make([]float64, len(hitMetrics))
	m.discount.score(figures, hit, len(relevant), []int{m.k})
	m.ndcg += figures[0]
	m.n++
	if x, ok := m.yardstick.Diversity(items); ok {
		m.diversity += x
		m.nDiversity++
	}
	if x, ok := m.yardstick.Divergence(q, items); ok {
		m.divergence += x
		m.nDivergence++
	}
}

func (m *listMeans) row(w ListWay, items int) ListRow {
	r := ListRow{Name: w.Name, Rule: w.Rule, Weight: w.Weight, Declared: w.Declared, NDCG: finite(m.ndcg / float64(m.n)), Coverage: finite(float64(len(m.seen)) / float64(items))}
	r.Diversity, r.Divergence = finite(m.diversity/float64(m.nDiversity)), finite(m.divergence/float64(m.nDivergence))
	if m.yardstick.HasFresh() {
		r.Fresh = finite(m.fresh / m.places)
	}
	return r
}

// listTable is rows of lists with the columns that any of them has.
type listTable struct {
	Head []string
	Rows []listLine
}

type listLine struct {
	Name     string
	Declared bool
	Cells    []string
}

// ListTable arranges rows for reading.
func (p *page) ListTable(rows []ListRow) listTable { return arrange(p.Lists.K, rows) }

func arrange(k int, rows []ListRow) (t listTable) {
	columns := []struct {
		name string
		of   func(*ListRow) *float64
		show func(float64) string
	}{
		{At(NDCG, k), func(r *ListRow) *float64 { return r.NDCG }, plain},
		{Coverage, func(r *ListRow) *float64 { return r.Coverage }, percent},
		{"diversity", func(r *ListRow) *float64 { return r.Diversity }, thousandths},
		{"divergence", func(r *ListRow) *float64 { return r.Divergence }, thousandths},
		{"new items", func(r *ListRow) *float64 { return r.Fresh }, percent},
	}
	t.Rows = make([]listLine, len(rows))
	for i := range rows {
		t.Rows[i] = listLine{Name: rows[i].Name, Declared: rows[i].Declared}
	}
	for _, c := range columns {
		some := false
		for i := range rows {
			some = some || c.of(&rows[i]) != nil
		}
		if !some {
			continue
		}
		t.Head = append(t.Head, c.name)
		for i := range rows {
			t.Rows[i].Cells = append(t.Rows[i].Cells, optional(c.of(&rows[i]), c.show))
		}
	}
	return t
}

func (m *markdown) lists(f *ListFacts) {
	m.line("### List rules")
	m.line("")
	m.line("%s.", escape(list(f.Rules)))
	m.line("")
	if f.N == 0 {
		return
	}
	for _, rows := range [][]ListRow{f.Rows, f.Curves} {
		t := arrange(f.K, rows)
		if len(rows) == 0 {
			continue
		}
		m.table(append([]string{"Lists"}, t.Head...), func(row func(...string)) {
			for _, r := range t.Rows {
				name := escape(r.Name)
				if r.Declared {
					name = "**" + name + "**"
				}
				row(append([]string{name}, r.Cells...)...)
			}
		})
	}
}
