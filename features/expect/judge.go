package expect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outcome is how an expectation came out.
type Outcome string

// The outcomes. Unknown is no pass: there was nothing to judge by.
const (
	Passed  Outcome = "pass"
	Warned  Outcome = "warn"
	Failed  Outcome = "fail"
	Unknown Outcome = "unknown"
)

// Verdict is what came of one expectation. It holds shares, counts and names of columns, and never a value.
type Verdict struct {
	Set         string   `json:"set"`
	Expectation string   `json:"expectation"` // volume.least, volume.most, fresh, schema, duplicates, bad, nulls or coarsen
	Column      string   `json:"column,omitempty"`
	Outcome     Outcome  `json:"outcome"`
	Severity    Action   `json:"severity"`           // what a miss does
	Observed    *float64 `json:"observed,omitempty"` // a share, a multiple of the median, or seconds
	Bound       *float64 `json:"bound,omitempty"`
	Says        string   `json:"says"`
	Where       string   `json:"where,omitempty"` // key and line in the project file
}

// String is what the verdict says, and where its bound stands.
func (v Verdict) String() string {
	if v.Where == "" {
		return v.Says
	}
	return v.Says + " (" + v.Where + ")"
}

// Seen is what is known of a data set when it is judged.
type Seen struct {
	Counts
	What string // what its rows are called, in the plural; "" is rows
	Past string // what the median is of, in the plural; "" is times

	Now    int64 // rows, for the volume
	Median int64 // of those before
	Over   int   // how many of those there are; 0: too few to judge the volume

	Until  time.Time // from which Fresh counts back
	ByFile bool      // Newest is that of a file, not of a row

	Repeated, Compared int64 // rows that repeat another, of so many; for Duplicates

	Before map[string][]string // columns of the files before, with their types; nil: unknown
}

// Judge returns a verdict for each expectation of the set, in the order of their keys, and one for each rule that made values of it coarser.
func (s Set) Judge(o Seen) []Verdict {
	if o.What == "" {
		o.What = "rows"
	}
	if o.Past == "" {
		o.Past = "times"
	}
	var out []Verdict
	out = append(out, s.volume(o)...)
	out = append(out, s.fresh(o)...)
	out = append(out, s.schema(o)...)
	if d := s.Duplicates; d != nil {
		if d.Drop {
			o.Repeated, o.Compared = 0, o.Kept
			for _, reasons := range o.Bad {
				o.Repeated += reasons[Duplicate]
			}
			o.Compared += o.Repeated
		}
		what := one(o.Repeated, "repeats another", "repeat another")
		if d.Drop {
			what += one(o.Repeated, " and is left out", " and are left out")
		}
		out = append(out, s.share("duplicates", "", &d.Share, o.Repeated, o.Compared, o.What, what))
	}
	if s.Bad != nil {
		bad, n := withoutRepeats(o.Bad)
		out = append(out, s.share("bad", "", s.Bad, n, o.Rows(), "rows", one(n, "is", "are")+" quarantined"+reasons(bad)))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		c := s.Columns[name]
		if c.Nulls != nil {
			out = append(out, s.share("nulls", name, c.Nulls, o.Nulls[name], o.Kept, o.What, one(o.Nulls[name], "has", "have")+fmt.Sprintf(" no %q", name)))
		}
		if c.Bad != nil {
			n := o.QuarantinedFor(name)
			out = append(out, s.share("bad", name, c.Bad, n, o.Rows(), "rows", fmt.Sprintf("%s quarantined for %q%s", one(n, "is", "are"), name, reasons(map[string]map[Reason]int64{name: o.Bad[name]}))))
		}
	}
	return append(out, s.coarse(o)...)
}

// one is a verb of n rows.
func one(n int64, singular, plural string) string {
	if n == 1 {
		return singular
	}
	return plural
}

// withoutRepeats leaves out the rows that were dropped because they repeat another, which duplicates judges, and counts the others.
func withoutRepeats(bad map[string]map[Reason]int64) (rest map[string]map[Reason]int64, n int64) {
	rest = map[string]map[Reason]int64{}
	for column, reasons := range bad {
		rest[column] = maps.Clone(reasons)
		delete(rest[column], Duplicate)
		for _, k := range rest[column] {
			n += k
		}
	}
	return rest, n
}

// reasons lists why rows were quarantined, the most frequent reason first: ": 4 not a number, 1 null".
func reasons(bad map[string]map[Reason]int64) string {
	sum := map[Reason]int64{}
	for _, reasons := range bad {
		for why, n := range reasons {
			sum[why] += n
		}
	}
	var parts []string
	for len(sum) > 0 {
		worst := Reason("")
		for why, n := range sum {
			if worst == "" || n > sum[worst] || n == sum[worst] && why < worst {
				worst = why
			}
		}
		parts = append(parts, fmt.Sprintf("%d %s", sum[worst], worst))
		delete(sum, worst)
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// verdict is a verdict of the set that holds unless missed.
func (s Set) verdict(expectation, column string, onMiss Action, where string, missed bool) Verdict {
	v := Verdict{Set: s.Name, Expectation: expectation, Column: column, Outcome: Passed, Severity: onMiss, Where: where}
	if missed {
		v.Outcome = Outcome(onMiss)
	}
	return v
}

func (s Set) share(expectation, column string, b *Share, n, of int64, what, says string) Verdict {
	share := 0.0
	if of > 0 {
		share = float64(n) / float64(of)
	}
	v := s.verdict(expectation, column, b.OnMiss, b.Where, share > b.Most)
	most := b.Most
	v.Observed, v.Bound = &share, &most
	v.Says = fmt.Sprintf("%s: %d of %d %s %s, %s where %s is allowed", s.Name, n, of, what, says, percent(share), percent(most))
	if of == 0 {
		v.Outcome, v.Observed = Unknown, nil
		v.Says = fmt.Sprintf("%s: there are no %s of which a share could be told", s.Name, what)
	}
	return v
}

// percent writes a share to three digits, as 31.2 %.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 3, 64) + " %" }

func (s Set) volume(o Seen) (out []Verdict) {
	b := s.Volume
	for _, side := range []struct {
		name   string
		bound  float64
		onMiss Action
		missed bool
		word   string // of a miss
		held   string
	}{
		{"volume.least", b.Least, b.OnLeast, float64(o.Now) < b.Least*float64(o.Median), "under", "at least"},
		{"volume.most", b.Most, b.OnMost, float64(o.Now) > b.Most*float64(o.Median), "over", "at most"},
	} {
		if side.bound == 0 {
			continue
		}
		v := s.verdict(side.name, "", side.onMiss, b.Where, side.missed && o.Over > 0)
		bound := side.bound
		v.Bound = &bound
		switch {
		case o.Over == 0:
			v.Outcome, v.Says = Unknown, fmt.Sprintf("%s: too little came before to say how many %s are usual", s.Name, o.What)
		default:
			if o.Median > 0 {
				times := float64(o.Now) / float64(o.Median)
				v.Observed = &times
			}
			word := side.word
			if v.Outcome == Passed {
				word = side.held
			}
			v.Says = fmt.Sprintf("%s: %d %s, %s %s of the median of the %d %s before (%d)", s.Name, o.Now, o.What, word, percent(bound), o.Over, o.Past, o.Median)
		}
		out = append(out, v)
	}
	return out
}

func (s Set) fresh(o Seen) []Verdict {
	f := s.Fresh
	if f == nil {
		return nil
	}
	age := o.Until.Sub(o.Newest)
	v := s.verdict("fresh", "", f.OnMiss, f.Where, age > f.Within)
	seconds, within := max(0, age).Seconds(), f.Within.Seconds()
	v.Observed, v.Bound = &seconds, &within
	what, end := "the last of its "+o.What+" is", "the interval's end"
	if o.ByFile {
		what, end = "its newest file is", "now"
	}
	v.Says = fmt.Sprintf("%s: %s from %s, %s before %s, where %s is allowed", s.Name, what, o.Newest.UTC().Format("2006-01-02 15:04Z"), span(max(0, age)), end, span(f.Within))
	if o.Newest.IsZero() {
		v.Outcome, v.Observed, v.Says = Unknown, nil, fmt.Sprintf("%s: nothing tells how fresh it is", s.Name)
	}
	return []Verdict{v}
}

// span writes a duration to the minute, as 6h, 2h5m or 30m.
func span(d time.Duration) string {
	d = d.Round(time.Minute)
	h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case h == 0:
		return fmt.Sprintf("%dm", m)
	case m == 0:
		return fmt.Sprintf("%dh", h)
	}
	return fmt.Sprintf("%dh%dm", h, m)
}

// maxNews is how many columns a verdict names.
const maxNews = 20

func (s Set) schema(o Seen) (out []Verdict) {
	if s.Schema == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.Lacking)) {
		v := s.verdict("schema", name, s.Schema.OnMiss, s.Schema.Where, true)
		v.Says = fmt.Sprintf("%s: %d of its %d files %s the column %q: it is null there", s.Name, o.Lacking[name], o.Files, one(int64(o.Lacking[name]), "lacks", "lack"), name)
		out = append(out, v)
	}
	v := s.verdict("schema", "", s.Schema.OnMiss, s.Schema.Where, false)
	v.Says = s.Name + ": its files have the declared columns"
	if len(out) > 0 {
		v.Says = s.Name + ": its files have its other columns"
	}
	if news := o.news(); len(news) > 0 {
		rest := ""
		if len(news) > maxNews {
			rest, news = fmt.Sprintf(", and %d more", len(news)-maxNews), news[:maxNews]
		}
		v.Says += "; new since those before: " + strings.Join(news, ", ") + rest
	}
	return append(out, v)
}

// news lists the columns that are new, or of another type than before. Names of columns are untrusted: they are quoted.
func (o Seen) news() (out []string) {
	if o.Before == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.Columns)) {
		before, now := o.Before[name], o.Columns[name]
		switch {
		case before == nil:
			out = append(out, fmt.Sprintf("%q (%s)", name, strings.Join(now, " or ")))
		case !slices.Equal(before, now):
			out = append(out, fmt.Sprintf("%q is %s and was %s", name, strings.Join(now, " or "), strings.Join(before, " or ")))
		}
	}
	return out
}

// Missed returns the verdicts with an outcome.
func Missed(all []Verdict, with Outcome) (out []Verdict) {
	for _, v := range all {
		if v.Outcome == with {
			out = append(out, v)
		}
	}
	return out
}
