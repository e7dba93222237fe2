package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/table"
)

// Errors of an anonymous list.
var (
	// ErrUnknownItem says that the live model and its items have never heard of an item.
	ErrUnknownItem = errors.New("no such item in the live model or the items that it was made with")
	// ErrItemExcluded says that the list rules keep an item out of every list, or that it is sensitive.
	ErrItemExcluded = errors.New("lists.exclude or sensitive_items keeps it out of every list")
	// ErrNoRelated says that no part of the model makes lists of a kind.
	ErrNoRelated = errors.New("no part of the live model makes such lists")
)

// Entry is one entry of an anonymous list.
type Entry struct {
	Item    string          `json:"item"`
	Score   float64         `json:"score"`
	Reasons []models.Reason `json:"reasons,omitempty"`
	Doubts  []models.Doubt  `json:"doubts,omitempty"` // why the score deserves little trust
	Without []Counterfact   `json:"without,omitempty"`
}

// Counterfact is what an entry would score if the cart had never held an item.
type Counterfact struct {
	Item  string  `json:"item"`
	Score float64 `json:"score"`
}

// AnonymousList is a list that is made of items alone.
type AnonymousList struct {
	Model   string   `json:"model"`
	Version int      `json:"version"`
	Kind    string   `json:"kind"` // "cart", or a kind of related list
	Of      []string `json:"of"`
	Items   []Entry  `json:"items"`
}

// anonymous is the live model of a job, bound to its items without a row of anybody.
type anonymous struct {
	*work
	v       registry.Version
	model   models.Model
	catalog *models.Catalog
	scorer  models.Scorer
	rules   *lists.Stage // nil: none declared
	hidden  []int32      // sensitive items, ascending: of a visitor no consent is known
}

// anonymous opens the artifact that is live and binds it to what it was trained on and the items that stood beside it. It reads the artifact and
// the snapshot of the items: no event, and nobody's row.
func (r *Runner) anonymous(ctx context.Context, job *Job) (*anonymous, error) {
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return nil, err
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return nil, err
	}
	t, ok := live.Aliases[job.Alias]
	if !ok {
		return nil, fmt.Errorf("%w under %s of model %s: rapport run %s", ErrNothingPublished, job.Alias, job.Model.Name, job.Name)
	}
	a := &anonymous{}
	if a.v, err = reg.Get(ctx, t.Version); err != nil {
		return nil, err
	}
	a.work = r.newWork(job, a.v.Interval, r.Now())
	if a.model, err = r.openModel(ctx, a.v.Digest); err != nil {
		return nil, err
	}
	if err := a.readCatalog(ctx); err != nil {
		return nil, fmt.Errorf("version %d: %w", a.v.Number, err)
	}
	if a.scorer, err = a.model.Bind(ctx, a.catalog, nil); err != nil {
		return nil, err
	}
	if err := a.hide(ctx); err != nil {
		return nil, err
	}
	return a, a.bindExclusions(ctx)
}

// hide finds the sensitive items: those that were when policy was read last, and those that the declaration of now makes of the model's own items.
func (a *anonymous) hide(ctx context.Context) error {
	g := &a.job.Guards
	if len(g.Sensitive) == 0 {
		return nil
	}
	last, err := a.lastGuards(ctx)
	if err != nil {
		return err
	}
	declared, err := (&lists.Rules{Exclude: g.Sensitive}).Bind(a.catalog, lists.Options{K: 1})
	if err != nil {
		return fmt.Errorf("sensitive items: %w", err)
	}
	d := &dataset{Dataset: models.Dataset{Catalog: a.catalog}}
	a.hidden = declared.Without(d.positions(policy.NewSensitive(last.items, nil)))
	return nil
}

func (a *anonymous) readCatalog(ctx context.Context) error {
	set, err := a.assembledFor(ctx, a.v)
	if err != nil {
		return err
	}
	ids := models.KnownItems(a.model)
	a.catalog = &models.Catalog{IDs: ids}
	if set.Items == "" {
		return nil
	}
	c, _, err := a.tables.Lookup(ctx, set.Items)
	if err != nil {
		return fmt.Errorf("its items: %w", err)
	}
	rows, err := whole(ctx, a.work, c.Outputs["rows"])
	if err != nil {
		return fmt.Errorf("its items: %w", err)
	}
	ids = append(slices.Clone(ids), rows.Col("item").Str...)
	slices.Sort(ids)
	a.catalog.IDs = slices.Compact(ids)
	at := make([]int32, rows.N)
	for i, id := range rows.Col("item").Str {
		at[i], _ = a.catalog.Lookup(id)
	}
	a.catalog.Attrs = attributes(rows, "item", a.catalog.Len(), at)
	return a.catalog.Validate()
}

// bindExclusions binds the job's list rules. A share of places for new items is kept only where an attribute says since when they are there: by their first
// events it would be read from everybody's.
func (a *anonymous) bindExclusions(ctx context.Context) error {
	declared := a.job.Model.Lists.Rules
	if declared.Off() {
		return nil
	}
	rules := *declared
	if rules.Fresh != nil && rules.Fresh.Since == "" {
		rules.Fresh = nil
	}
	if rules.Off() {
		return nil
	}
	d := &dataset{Dataset: models.Dataset{Catalog: a.catalog}}
	o, err := a.ruleOptions(ctx, d, a.model, a.scorer, table.Micros(a.iv.End))
	if err != nil {
		return err
	}
	a.rules, err = rules.Bind(a.catalog, o)
	return err
}

// lookup finds items by id, ascending by position. Ids may be given more than once.
func (a *anonymous) lookup(ids []string) ([]int32, error) {
	var items []int32
	var unknown []string
	for _, id := range ids {
		if i, ok := a.catalog.Lookup(id); ok {
			items = append(items, i)
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(unknown, ", "), ErrUnknownItem)
	}
	slices.Sort(items)
	return slices.Compact(items), nil
}

// Visitors makes lists that rest on nobody's row, one request after another: it keeps the live model open. It is safe for concurrent use.
type Visitors struct {
	r       *Runner
	job     *Job
	opening singleflight.Group

	mu   sync.Mutex
	open *anonymous
	of   string // what is open
}

// Visitors returns a maker of lists by what is live of a job's model.
func (r *Runner) Visitors(job *Job) *Visitors { return &Visitors{r: r, job: job} }

// live opens what is live, if it is not what is open, once for all who ask. Cost: one read, and a listing where items are sensitive; the artifact where
// another is live, or other items are sensitive.
func (v *Visitors) live(ctx context.Context) (*anonymous, error) {
	reg, err := registry.Open(v.r.Bucket, v.job.Model.Name)
	if err != nil {
		return nil, err
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return nil, err
	}
	of := fmt.Sprint(live.Aliases[v.job.Alias])
	if len(v.job.Guards.Sensitive) > 0 {
		last, err := v.r.lastNumbered(ctx, "guards")
		if err != nil {
			return nil, fmt.Errorf("sensitive items: %w", err)
		}
		of += " " + last
	}
	v.mu.Lock()
	a, same := v.open, v.open != nil && v.of == of
	v.mu.Unlock()
	if same {
		return a, nil
	}
	// Who asked first may leave before it is open; the others still want it, and so does who asks again.
	opened := v.opening.DoChan(of, func() (any, error) {
		a, err := v.r.anonymous(context.WithoutCancel(ctx), v.job)
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.open, v.of = a, of
		return a, nil
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("the live model is being opened: ask again: %w", context.Cause(ctx))
	case got := <-opened:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*anonymous), nil
	}
}

// Cart is Runner.Cart, for a shop that may have items younger than the model: those are left out, and ErrUnknownItem is of a cart with no other.
func (v *Visitors) Cart(ctx context.Context, cart []string, k int, explain bool) (*AnonymousList, error) {
	a, err := v.live(ctx)
	if err != nil {
		return nil, fmt.Errorf("list for a cart: %w", err)
	}
	known := slices.DeleteFunc(slices.Clone(cart), func(id string) bool { _, ok := a.catalog.Lookup(id); return !ok })
	if len(known) > 0 {
		cart = known
	}
	return a.listForCart(ctx, cart, k, explain)
}

// Related is Runner.Related.
func (v *Visitors) Related(ctx context.Context, item, kind string, k int) (*AnonymousList, error) {
	a, err := v.live(ctx)
	if err != nil {
		return nil, fmt.Errorf("related items: %w", err)
	}
	return a.listBeside(ctx, item, kind, k)
}

// Cart makes the list of k items for a visitor of whom nothing is known but the items of a cart, by the live model and its list rules. The cart's items do
// not stand in it. With explain, entries have their reasons and what they would score without each item of the cart. It changes nothing and reads no
// event.
func (r *Runner) Cart(ctx context.Context, job *Job, cart []string, k int, explain bool) (*AnonymousList, error) {
	a, err := r.anonymous(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("list for a cart: %w", err)
	}
	return a.listForCart(ctx, cart, k, explain)
}

func (a *anonymous) listForCart(ctx context.Context, cart []string, k int, explain bool) (*AnonymousList, error) {
	held, err := a.lookup(cart)
	if err != nil {
		return nil, fmt.Errorf("list for a cart: %w", err)
	}
	out := &AnonymousList{Model: a.v.Name, Version: a.v.Number, Kind: "cart", Of: cart}
	if out.Items, err = a.forCart(ctx, held, k, explain); err != nil {
		return nil, fmt.Errorf("list for a cart: %w", err)
	}
	return out, nil
}

// cartQuery is the query of a visitor who has just put the items into a cart: events of weight 1, at the end of what the model knows.
func (a *anonymous) cartQuery(held []int32, k int) models.Query {
	q := models.Query{At: table.Micros(a.iv.End), Exclude: union(held, a.hidden), K: k}
	for _, item := range held {
		if _, no := slices.BinarySearch(a.hidden, item); no {
			continue // no signal either
		}
		h := &q.History
		h.Item, h.Time = append(h.Item, item), append(h.Time, q.At-1)
		h.Kind, h.Weight = append(h.Kind, 0), append(h.Weight, 1)
	}
	if a.rules != nil {
		q.Exclude = a.rules.Without(q.Exclude)
	}
	return q
}

func (a *anonymous) forCart(ctx context.Context, held []int32, k int, explain bool) ([]Entry, error) {
	queries := []models.Query{a.cartQuery(held, k)}
	q, ranked := &queries[0], &lists.Lists{}
	var err error
	if a.rules != nil {
		err = a.rules.Rank(ctx, a.scorer, queries, ranked)
	} else {
		err = models.Rank(ctx, a.scorer, a.catalog.Len(), queries, &ranked.Ranking)
	}
	if err != nil {
		return nil, err
	}
	items, scores := ranked.Query(0)
	out := make([]Entry, len(items))
	for i, item := range items {
		out[i] = Entry{Item: a.catalog.IDs[item], Score: float64(scores[i])}
	}
	if !explain || len(items) == 0 {
		return out, nil
	}
	if ex, ok := a.scorer.(models.Explainer); ok {
		why, err := ex.Explain(ctx, q, items)
		if err != nil {
			return nil, err
		}
		for i := range out {
			out[i].Reasons = why.Top(i, reasonsKept)
			if why.Doubts != nil {
				out[i].Doubts = why.Doubts[i]
			}
		}
	}
	without := make([]float64, len(items))
	for _, gone := range q.History.Item {
		if err := models.ScoresWithout(ctx, a.scorer, a.catalog.Len(), q, gone, items, without); err != nil {
			return nil, err
		}
		for i, v := range without {
			out[i].Without = append(out[i].Without, Counterfact{a.catalog.IDs[gone], v})
		}
	}
	return out, nil
}

// Related makes the list of k items of a kind (models.RelatedSimilar, …) that stand beside an item, by the live model and without what its list rules
// exclude. An item that is excluded has none. It changes nothing and reads no event.
func (r *Runner) Related(ctx context.Context, job *Job, item, kind string, k int) (*AnonymousList, error) {
	a, err := r.anonymous(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("related items: %w", err)
	}
	return a.listBeside(ctx, item, kind, k)
}

func (a *anonymous) listBeside(ctx context.Context, item, kind string, k int) (*AnonymousList, error) {
	out := &AnonymousList{Model: a.v.Name, Version: a.v.Number, Kind: kind, Of: []string{item}}
	var err error
	if out.Items, err = a.related(ctx, item, kind, k); err != nil {
		return nil, fmt.Errorf("related items: %w", err)
	}
	return out, nil
}

func (a *anonymous) related(ctx context.Context, id, kind string, k int) ([]Entry, error) {
	found, err := a.lookup([]string{id})
	if err != nil {
		return nil, err
	}
	excluded := a.hidden
	if a.rules != nil {
		excluded = a.rules.Without(excluded)
	}
	if _, out := slices.BinarySearch(excluded, found[0]); out {
		return nil, fmt.Errorf("%s: %w", id, ErrItemExcluded)
	}
	parts := []models.Part{{Name: a.model.Name(), Weight: 1, Scorer: a.scorer}}
	if c, ok := a.model.(models.Composite); ok {
		if parts, err = c.BindParts(ctx, a.catalog, nil); err != nil {
			return nil, err
		}
	}
	maker := models.Relaters(parts)[kind]
	if maker == nil {
		return nil, fmt.Errorf("kind %q: %w", kind, ErrNoRelated)
	}
	n := min(k+len(excluded), a.catalog.Len())
	items, scores := make([]int32, n), make([]float32, n)
	if n, err = maker.Related(ctx, kind, found[0], items, scores); err != nil {
		return nil, err
	}
	out := []Entry{}
	for i, other := range items[:n] {
		if _, no := slices.BinarySearch(excluded, other); !no {
			out = append(out, Entry{Item: a.catalog.IDs[other], Score: float64(scores[i])})
		}
	}
	return out[:min(k, len(out))], nil
}
