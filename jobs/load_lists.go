package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
)

// reasonsKept is how many reasons stand with each item of a list, largest first.
const reasonsKept = 3

// lists folds every permitted subject in from current history and writes its list, three times as deep as served, with reasons.
func (f *filler) lists(ctx context.Context) error {
	d, k := f.d, f.job.Model.Lists.K*depth
	m, err := f.openModel(ctx, f.v.Digest)
	if err != nil {
		return err
	}
	s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
	if err != nil {
		return err
	}
	if f.rules, err = f.bindRules(ctx, d, m, s, d.Cuts.End); err != nil {
		return err
	}
	if f.wishes, err = f.bindWishes(d, d.Cuts.End); err != nil {
		return err
	}
	if err := f.unprofiled(ctx, k); err != nil {
		return err
	}
	if err := f.titles(ctx); err != nil {
		return err
	}
	if err := f.unprofiledBy(ctx, k); err != nil {
		return err
	}
	if err := f.relatedLists(ctx, m, s); err != nil {
		return err
	}
	folder, err := folderIn(ctx, m, s, d)
	if err != nil {
		return err
	}
	if folder != nil {
		if err := f.itemVectors(ctx, folder); err != nil {
			return err
		}
	}
	if short, ok := s.(models.Shortlister); ok {
		if err := f.ranker(ctx, short); err != nil {
			return err
		}
	}
	// One chunk is written while the next is ranked and explained.
	chunks := make(chan []online.Entry)
	writer, ctx := errgroup.WithContext(ctx)
	writer.Go(func() error {
		for entries := range chunks {
			if err := f.put(ctx, entries...); err != nil {
				return err
			}
		}
		return nil
	})
	if err = f.rank(ctx, s, folder, k, chunks); err == nil {
		err = f.broad(ctx, k, chunks)
	}
	close(chunks)
	return cmp.Or(writer.Wait(), err) // the writer's error is the cause of the other, if there are both
}

// rank makes the entries of all subjects, a chunk of them at a time.
func (f *filler) rank(ctx context.Context, s models.Scorer, folder models.FolderIn, k int, out chan<- []online.Entry) error {
	d := f.d
	const chunk = 256
	for from := 0; from < len(d.Events.Subjects); from += chunk {
		to := min(from+chunk, len(d.Events.Subjects))
		f.report("load", int64(from), int64(len(d.Events.Subjects)), "subjects")
		var queries []models.Query
		var subjects []policy.Subject
		var without []int // items that stand in no list of the subject, whatever the rules
		for row := from; row < to; row++ {
			subject := policy.Subject(d.Events.Subjects[row])
			wants := f.plan.wants(subject)
			if f.online[subject] == "" || wants.Unprofiled() || wants.Level == policy.Broad {
				continue // erased since the training set was read, or no list of the model's is wanted
			}
			q := d.Query(row, d.Cuts.End, k)
			f.honour(d, row, &q)
			without = append(without, len(q.Exclude))
			if f.rules != nil {
				q.Exclude = f.rules.Without(q.Exclude) // candidates for a request are without them too
			}
			queries, subjects = append(queries, q), append(subjects, subject)
		}
		ranking, err := f.ranked(ctx, f.rules, s, queries)
		if err != nil {
			return err
		}
		if f.rules != nil {
			f.countShort(ranking, without)
		}
		entries := make([][]online.Entry, len(queries))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i := range queries {
			g.Go(func() (err error) {
				entries[i], err = f.subject(gctx, s, folder, &queries[i], subjects[i], ranking, i)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		select {
		case out <- slices.Concat(entries...):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		f.entities += len(queries)
	}
	return nil
}

// countShort counts the lists that rules leave shorter than what is served: not those for which the catalog has no more items, of which without are the
// subject's own to leave out.
func (f *filler) countShort(made *lists.Lists, without []int) {
	for i, n := range without {
		if items, _ := made.Query(i); len(items) < min(f.job.Model.Lists.K, f.d.Catalog.Len()-n) {
			f.short++
		}
	}
}

// ranked makes the lists of queries: by rules if there are any, or a wish.
func (f *filler) ranked(ctx context.Context, rules *lists.Stage, s models.Scorer, q []models.Query) (*lists.Lists, error) {
	out := &lists.Lists{}
	if rules == nil && slices.ContainsFunc(q, wished) {
		rules = f.wishes
	}
	if rules != nil {
		return out, rules.Rank(ctx, s, q, out)
	}
	return out, models.Rank(ctx, s, f.d.Catalog.Len(), q, &out.Ranking)
}

// told adds what rules did to the list of query i.
func (f *filler) told(l *online.List, r *lists.Lists, i int) {
	if len(r.By) > 0 {
		ruled(l, r.Before[r.Off[i]:r.Off[i+1]], r.By[r.Off[i]:r.Off[i+1]])
	}
}

// folderIn finds what folds subjects into vectors: the model's scorer, or that of the first of its parts that can. nil: the model has no
// vectors.
func folderIn(ctx context.Context, m models.Model, s models.Scorer, d *dataset) (models.FolderIn, error) {
	if f, ok := s.(models.FolderIn); ok {
		return f, nil
	}
	c, ok := m.(models.Composite)
	if !ok {
		return nil, nil
	}
	parts, err := c.BindParts(ctx, d.Catalog, d.SubjectColumns())
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if f, ok := p.Scorer.(models.FolderIn); ok {
			return f, nil
		}
	}
	return nil, nil
}

// subject makes the entries of one subject: its list and, where the model has one, its vector.
func (f *filler) subject(ctx context.Context, s models.Scorer, folder models.FolderIn, q *models.Query, subject policy.Subject, r *lists.Lists, i int) ([]online.Entry, error) {
	items, scores := r.Query(i)
	l := f.list(items, scores)
	l.ID = listID(f.v, f.online[subject])
	l.Personalized = true
	expires := f.plan.trainingDecisions.Expires(subject)
	var out []online.Entry
	if short, ok := s.(models.Shortlister); ok {
		why, candidates, err := short.ExplainShortlist(ctx, q, items)
		if err != nil {
			return nil, err
		}
		reasons(&l, why)
		e, err := online.CandidatesEntry(f.online[subject], f.candidates(candidates), expires)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	} else if err := f.explain(ctx, s, q, items, &l); err != nil {
		return nil, err
	}
	f.told(&l, r, i)
	e, err := online.ListEntry(f.online[subject], l, expires)
	if err != nil {
		return nil, err
	}
	out = append(out, e)
	if folder != nil {
		v := make([]float32, folder.Dim())
		if err := folder.FoldIn(ctx, q, v); err != nil {
			return nil, err
		}
		if e, err = online.VectorEntry(f.online[subject], v, expires); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (f *filler) list(items []int32, scores []float32) online.List {
	l := online.List{Version: strconv.Itoa(f.v.Number), Items: make([]online.ListItem, len(items))}
	for j, item := range items {
		l.Items[j] = online.ListItem{Item: f.d.Catalog.IDs[item], Score: float64(scores[j])}
	}
	return l
}

// explain adds the largest reasons to the items of a list, if the model can tell.
func (f *filler) explain(ctx context.Context, s models.Scorer, q *models.Query, items []int32, l *online.List) error {
	ex, ok := s.(models.Explainer)
	if !ok || len(items) == 0 {
		return nil
	}
	why, err := ex.Explain(ctx, q, items)
	if err != nil {
		return err
	}
	reasons(l, why)
	return nil
}

// reasons adds to a list the largest reasons of each item, and why it deserves little trust.
func reasons(l *online.List, why *models.Attribution) {
	for j := range l.Items {
		for _, r := range why.Top(j, reasonsKept) {
			l.Items[j].Reasons = append(l.Items[j].Reasons, online.Reason{Kind: r.Kind, Ref: r.Ref, Contribution: r.Contribution})
		}
		if why.Doubts == nil {
			continue
		}
		for _, d := range why.Doubts[j] {
			l.Items[j].Doubts = append(l.Items[j].Doubts, string(d))
		}
	}
}

// candidates is a shortlist as a serving system reads it.
func (f *filler) candidates(s *models.Shortlist) online.Candidates {
	c := online.Candidates{Version: strconv.Itoa(f.v.Number), Items: make([]string, len(s.Items)), Scores: s.Scores, Features: s.Features}
	for j, item := range s.Items {
		c.Items[j] = f.d.Catalog.IDs[item]
	}
	return c
}

// ranker writes what scores candidates in the context of a request.
func (f *filler) ranker(ctx context.Context, s models.Shortlister) error {
	body, err := s.Published(strconv.Itoa(f.v.Number))
	if err != nil {
		return err
	}
	e, err := online.RankerEntry(body)
	if err != nil {
		return err
	}
	return f.put(ctx, e)
}

// listID names a list without naming the subject.
func listID(v registry.Version, key string) string {
	sum := sha256.Sum256([]byte(v.Name + "\x00" + strconv.Itoa(v.Number) + "\x00" + key))
	return hex.EncodeToString(sum[:8])
}

// broad makes the lists of those who want no more to be known of them than how their history spreads over one attribute: everybody's scores,
// filled up by that spread.
func (f *filler) broad(ctx context.Context, k int, out chan<- []online.Entry) error {
	rules := f.job.broadRules()
	var queries []models.Query
	var subjects []policy.Subject
	var without []int
	for row, number := range f.d.Events.Subjects {
		subject := policy.Subject(number)
		if wants := f.plan.wants(subject); rules == nil || f.online[subject] == "" || wants.Level != policy.Broad || wants.Unprofiled() {
			continue
		}
		q := f.d.Query(row, f.d.Cuts.End, k)
		f.honour(f.d, row, &q)
		q.Subject, q.Contexts, q.Context = make([]string, len(f.d.SubjectColumns())), nil, nil
		q.History.Time, q.History.Kind, q.History.Context = nil, nil, nil
		queries, subjects, without = append(queries, q), append(subjects, subject), append(without, len(q.Exclude))
	}
	if len(queries) == 0 {
		return nil
	}
	stage, err := rules.Bind(f.d.Catalog, lists.Options{
		K: f.job.Model.Lists.K, At: f.d.Cuts.End, First: f.d.firstEvents(f.d.Cuts.End), Less: f.job.Model.Lists.Less, New: f.job.Model.Lists.PreferNew,
	})
	if err != nil {
		return err
	}
	s, err := f.baseline(ctx, f.d, f.job.Baselines[0], f.d.Cuts.End)
	if err != nil {
		return err
	}
	var made lists.Lists
	if err := stage.Rank(ctx, anyone{s, len(f.d.SubjectColumns())}, queries, &made); err != nil {
		return err
	}
	f.countShort(&made, without)
	var entries []online.Entry
	for i := range queries {
		items, scores := made.Query(i)
		l := f.list(items, scores)
		l.ID, l.Personalized, l.Variant = listID(f.v, f.online[subjects[i]]), true, string(policy.Broad)
		ruled(&l, made.Before[made.Off[i]:made.Off[i+1]], made.By[made.Off[i]:made.Off[i+1]])
		e, err := online.ListEntry(f.online[subjects[i]], l, f.plan.trainingDecisions.Expires(subjects[i]))
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	f.entities += len(entries)
	select {
	case out <- entries:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// anyone scores every query as that of somebody of whom nothing is known.
type anyone struct {
	models.Scorer
	columns int // subject columns that queries carry
}

// Score implements models.Scorer.
func (a anyone) Score(ctx context.Context, q []models.Query, dst []float32) error {
	nobody := make([]models.Query, len(q))
	for i := range q {
		nobody[i] = models.Query{At: q[i].At, Subject: make([]string, a.columns)}
	}
	return a.Scorer.Score(ctx, nobody, dst)
}

// unprofiled writes the list not based on profiling: what the first baseline says of nobody in particular.
func (f *filler) unprofiled(ctx context.Context, k int) error {
	if len(f.job.Baselines) == 0 {
		return fmt.Errorf("the job has no baseline to rank the list not based on profiling")
	}
	s, err := f.baseline(ctx, f.d, f.job.Baselines[0], f.d.Cuts.End)
	if err != nil {
		return err
	}
	q := []models.Query{{At: f.d.Cuts.End, K: k, Subject: make([]string, len(f.d.SubjectColumns())), Exclude: f.d.untold()}}
	r, err := f.ranked(ctx, f.rules, s, q)
	if err != nil {
		return err
	}
	items, scores := r.Query(0)
	l := f.list(items, scores)
	l.ID = listID(f.v, "")
	if err := f.explain(ctx, s, &q[0], items, &l); err != nil {
		return err
	}
	f.told(&l, r, 0)
	e, err := online.UnprofiledEntry(l)
	if err != nil {
		return err
	}
	return f.put(ctx, e)
}
