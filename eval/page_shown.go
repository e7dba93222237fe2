package eval

import (
	"cmp"
	"slices"
)

// providerBlock is whose items are shown, by one attribute of items.
type providerBlock struct {
	Name    string
	K       int
	Figures []ProviderFigure // of this version first
	Shares  *plot
	Skipped int // levels with less exposure than those that are drawn
	Levels  []providerRow
	Taken   bool // it is known what people took
}

// providerRow is one level in figures, of this version.
type providerRow struct {
	ProviderLevel
	Exposure LevelExposure
}

// contentBlock is one figure of what stands in lists.
type contentBlock struct {
	Name string // "premium items", "price"
	Sort ContentSort
	K    int
	Plot *plot
}

// contentTable is what stands in the lists of the groups of one cohort.
type contentTable struct {
	Cohort string
	Groups []contentGroup
	Hidden bool
}

// contentGroup is one group's row: a cell a figure of content, nil where it is not shown.
type contentGroup struct {
	Level string
	Cells []*Group
}

// show prints a figure of content: a share, or a number in its own unit.
func (s ContentSort) show(x float64) string {
	if s == ShareOfPlaces {
		return percent(x)
	}
	return amount(x)
}

// Show prints the value of a figure of content, and Span its interval.
func (c contentBlock) Show(x *float64) string { return optional(x, c.Sort.show) }

// Span is an interval in print, or "".
func (c contentBlock) Span(low, high *float64) string {
	if low == nil || high == nil {
		return ""
	}
	return between(low, high, c.Sort.show)
}

// shown arranges whose items are shown, and what stands in the lists.
func (p *page) shown(q *Quality) {
	candidate := q.Contender(Candidate)
	if candidate == nil {
		return
	}
	for i := range q.Providers {
		p.Providers = append(p.Providers, newProviderBlock(&q.Providers[i], candidate.Name))
	}
	for i := range q.Content {
		p.Content = append(p.Content, newContentBlock(&q.Content[i], q.Contenders))
	}
	p.ContentTables = contentTables(q.Content, candidate.Name)
}

// newProviderBlock draws the exposure of each level beside its share of the items and of what people took.
func newProviderBlock(x *ProviderQuality, candidate string) providerBlock {
	b := providerBlock{Name: plainName(x.Attribute), K: x.K, Figures: slices.Clone(x.Figures)}
	slices.SortStableFunc(b.Figures, func(x, y ProviderFigure) int {
		return cmp.Compare(places(y.Contender == candidate), places(x.Contender == candidate))
	})
	if len(b.Figures) == 0 || b.Figures[0].Contender != candidate {
		return b
	}
	exposed := map[string]LevelExposure{}
	for _, l := range b.Figures[0].Levels {
		exposed[l.Level] = l
	}
	for _, l := range x.Levels {
		b.Levels = append(b.Levels, providerRow{l, exposed[l.Level]})
		b.Taken = b.Taken || l.Taken != nil
	}
	share := func(r providerRow) float64 {
		if v := r.Exposure.Share.Value; v != nil {
			return *v
		}
		return -1
	}
	slices.SortStableFunc(b.Levels, func(x, y providerRow) int { return cmp.Compare(share(y), share(x)) })
	drawn := b.Levels
	if len(drawn) > mostRows {
		drawn, b.Skipped = drawn[:mostRows], len(drawn)-mostRows
	}
	s := fromZero()
	for _, r := range drawn {
		s.add(r.Exposure.Share.Value, r.Exposure.Share.Low, r.Exposure.Share.High, r.Catalog, r.Taken)
	}
	a, ticks := newAxis(s.lo, s.hi, percents)
	b.Shares = &plot{Label: "exposure by " + b.Name, Ticks: ticks}
	for _, r := range drawn {
		row := a.row(r.Level, "candidate", r.Exposure.Share, percent)
		row.Sub = count(r.Items) + " items"
		if r.Catalog != nil {
			row.Tick = a.at(*r.Catalog)
		}
		if r.Taken != nil {
			row.Other = a.at(*r.Taken)
		}
		b.Shares.Rows = append(b.Shares.Rows, row)
	}
	return b
}

// places turns a condition into a number to sort by.
func places(first bool) int {
	if first {
		return 1
	}
	return 0
}

// newContentBlock draws one figure of content for each contender, with the catalog's.
func newContentBlock(x *ContentQuality, contenders []ContenderQuality) contentBlock {
	b := contentBlock{Name: plainName(x.Name), Sort: x.Sort, K: x.K}
	s := span{}
	if x.Sort == ShareOfPlaces {
		s = fromZero()
	}
	s.add(x.Catalog)
	for i := range x.Figures {
		s.add(x.Figures[i].Value, x.Figures[i].Low, x.Figures[i].High)
	}
	axisLabel := percents
	if x.Sort == MedianOfList {
		axisLabel = decimal
	}
	a, ticks := newAxis(s.lo, s.hi, axisLabel)
	b.Plot = &plot{Label: b.Name + " in the lists of each contender", Ticks: ticks}
	if x.Catalog != nil {
		b.Plot.Marks = []mark{{a.at(*x.Catalog), "all"}}
	}
	for i := range x.Figures {
		f := &x.Figures[i]
		role := Baseline
		if at := slices.IndexFunc(contenders, func(c ContenderQuality) bool { return c.Name == f.Contender }); at >= 0 {
			role = contenders[at].Role
		}
		row := a.row(contenderName(f.Contender, role), string(role), Figure{f.Value, f.Low, f.High}, x.Sort.show)
		row.Sub = roleNames[role]
		b.Plot.Rows = append(b.Plot.Rows, row)
	}
	return b
}

// contentTables are the figures of content by group, a table for each cohort.
func contentTables(content []ContentQuality, candidate string) (out []contentTable) {
	at := map[string]int{}
	for column := range content {
		for _, cohort := range content[column].Cohorts {
			f := slices.IndexFunc(cohort.Figures, func(f CohortFigure) bool { return f.Contender == candidate })
			if f < 0 {
				continue
			}
			i, had := at[cohort.Cohort]
			if !had {
				i, at[cohort.Cohort] = len(out), len(out)
				out = append(out, contentTable{Cohort: crossed(cohort.Cohort)})
			}
			t := &out[i]
			for _, g := range cohort.Figures[f].ByGroup {
				level := levelNames(cohort.Cohort)(g.Level)
				row := slices.IndexFunc(t.Groups, func(x contentGroup) bool { return x.Level == level })
				if row < 0 {
					row = len(t.Groups)
					t.Groups = append(t.Groups, contentGroup{Level: level, Cells: make([]*Group, len(content))})
				}
				if g.Value != nil {
					t.Groups[row].Cells[column] = &g
				} else {
					t.Hidden = true
				}
			}
		}
	}
	return out
}

// TakenKnown reports whether exposure is drawn beside what people took.
func (p *page) TakenKnown() bool {
	return slices.ContainsFunc(p.Providers, func(b providerBlock) bool { return b.Taken })
}
