package content

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/internal/encode"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// maxLevels bounds the rows of the map, and with it training: O(maxLevels²) a feature. The most frequent levels are kept.
const maxLevels = 512

// prior maps a subject's attributes to the profile expected of it: row 0 for everybody, row r > 0 for level r−1.
type prior struct {
	levels []attribute // ascending by column, then level
	w      []float32   // (1+len(levels)) × features, row-major
}

type attribute struct{ column, level string }

// row returns the profile terms of row r for nf features.
func (p *prior) row(r, nf int) []float32 { return p.w[r*nf : (r+1)*nf] }

// source names row r in explanations.
func (p *prior) source(r int) models.Source {
	if r == 0 {
		return models.Source{Kind: "bias", Ref: "everybody"}
	}
	a := p.levels[r-1]
	return models.Source{Kind: "attribute", Ref: a.column + "=" + a.level}
}

// rows returns the rows of the map that apply to a subject with these levels of the columns of find, without row 0.
func (p *prior) rows(columns, subject []string) []int {
	var out []int
	for i, level := range subject {
		if level == "" || i >= len(columns) {
			continue
		}
		if j, ok := p.find(attribute{columns[i], level}); ok {
			out = append(out, 1+j)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *prior) find(a attribute) (int, bool) {
	return slices.BinarySearchFunc(p.levels, a, func(x, y attribute) int {
		return cmp.Or(cmp.Compare(x.column, y.column), cmp.Compare(x.level, y.level))
	})
}

// learnPrior fits the ridge regression of the subjects' profiles at `until` on their attributes:
//
//	(AᵀA + λ·diag(0, 1, …, 1))·W = AᵀP
//
// A has one row a subject with events, a 1 and then one-hot levels; P its profile. Entries of AᵀP to which fewer than MinSubjects
// subjects contributed are 0. O(events·columns + features·levels²).
func learnPrior(ctx context.Context, h *Hyper, d *models.Dataset, until int64, items *encode.Rows, nf int) (*prior, error) {
	p := &prior{}
	active := func(s int) bool { hist := d.Events.SubjectBetween(s, d.Cuts.Base, until); return hist.Len() > 0 }
	p.levels = frequentLevels(d, h.MinSubjects, active)
	columns := d.SubjectColumns()
	na := 1 + len(p.levels)
	var (
		ata     = make([]float64, na*na)
		atp     = make([]float64, na*nf)
		common  = make([]int32, na*nf) // subjects behind an entry of atp
		profile = make([]float64, nf)
		used    = make([]bool, nf)
		touched []int32
	)
	for s := range d.Events.Subjects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hist := d.Events.SubjectBetween(s, d.Cuts.Base, until)
		var total float64
		for j, item := range hist.Item {
			c := float64(hist.Weight[j]) * models.Decay(until-hist.Time[j], h.HalfLife)
			total += c
			fs, xs := items.Row(item)
			for i, f := range fs {
				if !used[f] {
					used[f], touched = true, append(touched, f)
				}
				profile[f] += c * float64(xs[i])
			}
		}
		if total > 0 {
			rows := append([]int{0}, p.rows(columns, d.Query(s, until, 0).Subject)...)
			for _, a := range rows {
				for _, b := range rows {
					ata[a*na+b]++
				}
				for _, f := range touched {
					atp[a*nf+int(f)] += profile[f] / total
					common[a*nf+int(f)]++
				}
			}
		}
		for _, f := range touched {
			profile[f], used[f] = 0, false
		}
		touched = touched[:0]
	}
	p.w = make([]float32, na*nf)
	if ata[0] == 0 {
		return p, nil // nobody to learn from: the prior is 0
	}
	for a := 1; a < na; a++ {
		ata[a*na+a] += h.Ridge
	}
	if !vec.Cholesky64(ata, na) {
		return nil, fmt.Errorf("the ridge regression on %d attribute levels is singular; raise ridge above %v", len(p.levels), h.Ridge)
	}
	// All features at once, one a row.
	rows := make([]float64, nf*na)
	for f := range nf {
		for a := range na {
			if int(common[a*nf+f]) >= h.MinSubjects {
				rows[f*na+a] = atp[a*nf+f]
			}
		}
	}
	vec.CholeskySolve64(ata, na, rows, nf)
	for f := range nf {
		for a := range na {
			p.w[a*nf+f] = float32(rows[f*na+a])
		}
	}
	return p, nil
}

// frequentLevels returns the attribute levels of at least k active subjects, at most maxLevels.
func frequentLevels(d *models.Dataset, k int, active func(s int) bool) []attribute {
	type counted struct {
		attribute
		n int
	}
	var all []counted
	if d.Subjects != nil {
		on := make([]bool, d.Subjects.N)
		for s := range on {
			on[s] = active(s)
		}
		for i := range d.Subjects.Cats {
			c := &d.Subjects.Cats[i]
			n := make([]int, len(c.Levels))
			for s, v := range c.Values {
				if v >= 0 && on[s] {
					n[v]++
				}
			}
			for v, level := range c.Levels {
				if n[v] >= k {
					all = append(all, counted{attribute{c.Name, level}, n[v]})
				}
			}
		}
	}
	byName := func(a, b counted) int {
		return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.level, b.level))
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(cmp.Compare(b.n, a.n), byName(a, b)) })
	all = all[:min(len(all), maxLevels)]
	slices.SortFunc(all, byName)
	out := make([]attribute, len(all))
	for i := range all {
		out[i] = all[i].attribute
	}
	return out
}

// save writes the strings "subject_columns" and "subject_levels" (parallel) and the tensor "prior".
func (p *prior) save(w *artifact.Writer, nf int) {
	columns, names := make([]string, len(p.levels)), make([]string, len(p.levels))
	for i, a := range p.levels {
		columns[i], names[i] = a.column, a.level
	}
	w.Strings("subject_columns", columns)
	w.Strings("subject_levels", names)
	w.F32("prior", []int{1 + len(p.levels), nf}, p.w)
}

func loadPrior(r *artifact.Reader, nf int) (*prior, error) {
	columns, err := r.Strings("subject_columns")
	if err != nil {
		return nil, err
	}
	names, err := r.Strings("subject_levels")
	if err != nil {
		return nil, err
	}
	if len(columns) != len(names) {
		return nil, fmt.Errorf("%d subject columns for %d levels", len(columns), len(names))
	}
	p := &prior{levels: make([]attribute, len(names))}
	for i := range names {
		p.levels[i] = attribute{columns[i], names[i]}
		if i > 0 && cmp.Or(cmp.Compare(columns[i-1], columns[i]), cmp.Compare(names[i-1], names[i])) >= 0 {
			return nil, fmt.Errorf("subject level %d is out of order or repeated", i)
		}
	}
	p.w, err = r.F32("prior", 1+len(names), nf)
	return p, err
}
