package eval

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// MinimizationHead says where a ledger comes from.
type MinimizationHead struct {
	Job, Model, Revision string
	Interval             table.Interval
	At                   time.Time
	Learned, Judged      table.Interval
	Stopped              string // what ended it; not after how long, so that equal findings are equal pages
}

// ledgerPage is a ledger arranged for reading.
type ledgerPage struct {
	*Minimization
	MinimizationHead
	Tone     string
	Why      []string
	Families []ledgerFamily
	glossary
}

type ledgerFamily struct {
	Title string
	Plot  *plot // nil: nothing of it was judged
	Rows  []ledgerRow
}

// ledgerRow is a row in words.
type ledgerRow struct {
	Worth
	Tone, People, Unique, Small, Coarser, Hardest string
}

var familyTitles = map[string]string{
	"history": "Length of history", "time": "Precision of times", "subjects": "Attributes of people", "events": "Columns of events", "items": "Attributes of items", "views": "Views",
}

var worthTones = map[WorthVerdict]string{Needed: "bad", Droppable: "good", Unclear: "warn", Unread: "good", NotReached: "none", Failed: "warn"}

// WriteHTML writes the ledger as a page like that of a report: it needs nothing else, and holds nobody.
func (m *Minimization) WriteHTML(w io.Writer, head MinimizationHead) error {
	p := &ledgerPage{Minimization: m, MinimizationHead: head, Tone: "warn", glossary: newGlossary(ledgerNotes())}
	if m.Proposal != nil {
		p.Tone = "good"
	}
	p.why()
	all := fromZero()
	all.add(&m.Margin)
	for _, r := range m.Rows {
		all.add(r.Loss.Value)
	}
	// Intervals are cut off at the axis: what matters is the margin, and an interval of three times the largest loss would hide it.
	a, ticks := newAxis(all.lo, all.hi, percents)
	for _, r := range m.ByFamily() {
		if n := len(p.Families); n == 0 || p.Families[n-1].Title != familyTitles[r.Family] {
			p.Families = append(p.Families, ledgerFamily{Title: familyTitles[r.Family]})
		}
		f := &p.Families[len(p.Families)-1]
		f.Rows = append(f.Rows, newLedgerRow(r))
		if r.Loss.Value == nil {
			continue
		}
		if f.Plot == nil {
			f.Plot = &plot{Label: "loss without each of: " + strings.ToLower(f.Title), Ticks: ticks, Wide: true, Marks: []mark{{a.at(m.Margin), "budget"}, {a.at(0), "all"}}}
		}
		row := a.row(r.Name, "candidate", r.Loss, percent)
		row.Mark, row.Tone = string(r.Verdict), worthTones[r.Verdict]
		f.Plot.Rows = append(f.Plot.Rows, row)
	}
	if err := writePage(w, "ledger", p); err != nil {
		return fmt.Errorf("write the ledger of %s: %w", head.Job, err)
	}
	return nil
}

// WriteMarkdown writes the ledger as a table, for documents and pull requests.
func (m *Minimization) WriteMarkdown(w io.Writer) error {
	md := &markdown{}
	md.line("%s.", escape(m.Says))
	md.line("")
	md.table([]string{"Without", "Verdict", "Loss of " + m.Metric, "95 % interval", "Loses most", "People", "Unique", "Under 11 alike", "More coarsely: unique"}, func(row func(...string)) {
		for _, x := range m.ByFamily() {
			r := newLedgerRow(x)
			hard := "—"
			if g := x.Hardest(); g != nil {
				hard = escape(fmt.Sprintf("%s %s: %s", plainName(g.Cohort), g.Level, optional(g.Loss.Value, percent)))
			}
			row(escape(strings.ToLower(familyTitles[x.Family])+": "+x.Name), marks[r.Tone]+" "+string(x.Verdict), optional(x.Loss.Value, percent), between(x.Loss.Low, x.Loss.High, percent), hard, r.People, r.Unique, r.Small, escape(r.Coarser))
		}
	})
	if err := writeUnbroken(w, md.Bytes()); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// worth says in a report in short what the last ledger found.
func (m *markdown) worth(f *MinimizationFacts) {
	if f == nil || f.Key == "" {
		return
	}
	m.line("### What each field is worth")
	m.line("")
	m.line("%s [The ledger](../../../%s.html)", escape(f.Sentence()), f.Key)
	m.line("")
}

var minimizationDefinition = Definition{"minimization ledger", "What lists lose without each column, attribute and length of history that a job reads, measured by training without it, beside what it tells of people. It says which of them people’s data could do without."}

// Heading is what the ledger comes to, short enough for a heading.
func (p *ledgerPage) Heading() string {
	x := p.Proposal
	if x == nil || len(x.Drop) < 2 || x.Judged.Verdict != Droppable {
		return capital(p.Says)
	}
	return fmt.Sprintf("%d things can go: without them lists lose no more than %s of %s", len(x.Drop), percent(p.Margin), p.Metric)
}

// why says on what the headline rests.
func (p *ledgerPage) why() {
	if x := p.Proposal; x != nil {
		if says := capital(p.Says); says != p.Heading() {
			p.Why = append(p.Why, says)
		}
		switch {
		case x.Judged.Verdict == Unread:
			p.Why = append(p.Why, "the model reads none of it")
		case x.Judged.Family == AllAtOnce:
			p.Why = append(p.Why, "tried all at once, on the same people: "+string(x.Judged.Verdict))
		default:
			p.Why = append(p.Why, "judged by itself: "+string(x.Judged.Verdict))
		}
		if len(x.Without) > 0 {
			p.Why = append(p.Why, "droppable by itself, and not proposed beside the others: "+list(x.Without))
		}
		if g := x.Judged.Hardest(); g != nil {
			p.Why = append(p.Why, hardest(g))
		}
	}
	by := map[WorthVerdict]int{}
	for _, r := range p.Rows {
		by[r.Verdict]++
	}
	var counts []string
	for _, v := range []WorthVerdict{Needed, Droppable, Unclear, Unread, NotReached, Failed} {
		if by[v] > 0 {
			counts = append(counts, count(by[v])+" "+string(v))
		}
	}
	if len(counts) > 0 {
		p.Why = append(p.Why, list(counts))
	}
	p.Why = append(p.Why, fmt.Sprintf("ended by %s, as of %s", p.Stopped, printTime(p.At)))
}

// hardest says who loses most.
func hardest(g *GroupLoss) string {
	return fmt.Sprintf("of the groups judged, %s %s (n %s) loses most: %s (%s)", plainName(g.Cohort), g.Level, count(g.N), optional(g.Loss.Value, percent), between(g.Loss.Low, g.Loss.High, percent))
}

func newLedgerRow(w Worth) ledgerRow {
	r := ledgerRow{Worth: w, Tone: worthTones[w.Verdict], People: "—", Unique: "—", Small: "—", Coarser: "—"}
	if c := w.Cost; c.People > 0 {
		r.People, r.Unique, r.Small = count(c.People), c.Unique.String(), c.Small.String()
		var coarser []string
		for _, x := range c.Coarser {
			coarser = append(coarser, x.To+": "+x.Unique.String())
		}
		if c.Together != nil && c.Others != nil {
			coarser = append(coarser, fmt.Sprintf("all attributes together: %s, without this one %s", c.Together, c.Others))
		}
		if len(coarser) > 0 {
			r.Coarser = strings.Join(coarser, "; ")
		}
	}
	if g := w.Hardest(); g != nil && w.Verdict != Unread {
		r.Hardest = capital(hardest(g)) + "."
	}
	return r
}

func ledgerNotes() []Definition {
	return []Definition{
		{"without it", "The model is trained anew from the same events without the thing, and asked for the same people’s next items with histories and attributes that lack it, too. Lists are ranked over the whole catalog. All windows lie before the test window of the job’s runs."},
		{"needed, droppable, undecided", "Needed: the whole 95 % interval of the loss lies above the margin. Droppable: it lies below. Undecided: too few people to say. Each verdict stands by itself; with many rows one in forty that is called droppable may cost more than the margin. What is proposed together was tried together, on the people by whom it was chosen, which flatters it a little: the gate of the next run is asked again."},
		{"not read", "No part of the model reads it. Without it the same lists would be made; who else reads it is named."},
		{"unique", "A person’s combination is the set of distinct values in the person’s rows: of devices, of items, of days. Unique is who has a combination that nobody else has, among the people looked at; under 11 alike, who shares it with fewer than ten others. Shares that would tell of fewer than 11 people are told as bounds."},
		{"more coarsely", "The same shares if the values were told more coarsely: what a coarser column would still give away."},
		{"last and random", "So many events of each person are stored: the last ones, or as many drawn at random, for comparison (Biega et al. 2020). A loss that is small on average need not be small for everybody, so each row names the group that loses most."},
	}
}
