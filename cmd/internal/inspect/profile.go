package inspect

import (
	"hash/maphash"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Bounds of what a profile keeps of a column.
const (
	mostDistinct = 1 << 17 // hashes; further distinct values are not counted
	mostKinds    = 50      // values, of a column with so few
)

// profile is what is learned of one column, value by value. It keeps values only while there are few of them.
type profile struct {
	table.FileColumn
	files  int // that have it
	n      int64
	nulls  int64
	seen   map[uint64]struct{}
	counts map[string]int64 // of text; nil once there were too many

	least, most      float64 // of numbers
	early, late      int64   // of times, µs
	whole            bool    // all numbers are whole
	email, phone, ip int64
	uuid, digits     int64
	spaces           int64     // in all texts: as many words as these and one a text
	formats          []*format // those that all texts so far are times of
	units            []unit    // those in which all integers so far are times of this century
	problem          string
}

// format is one way to write a time as text.
type format struct {
	text    string
	reader  *table.TimeReader // with UTC for a zone
	strict  *table.TimeReader // without
	local   bool              // a time of day without an offset was seen
	from    int64
	through int64
	sum     int64 // of all times, which tells two formats apart that read the same texts differently
}

// commonFormats are the ways in which exports write times, the likelier first.
var commonFormats = []string{
	"", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S%z",
	"%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%-d.%-m.%Y %-H:%M:%S", "%-d.%-m.%Y %-H:%M",
	"%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%-m/%-d/%Y %-H:%M:%S", "%-m/%-d/%Y %-H:%M", "%-m/%-d/%Y %-I:%M %p",
	"%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%-d/%-m/%Y %-H:%M:%S", "%-d/%-m/%Y %-H:%M",
	"%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M:%S", "%m-%d-%Y %H:%M",
	"%a %b %e %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%b %e, %Y %I:%M:%S %p", "%b %e, %Y %-I:%M:%S %p", "%d %b %Y %H:%M:%S",
}

// unit is one meaning of integers as times since 1970.
type unit struct {
	name string
	step time.Duration
}

var allUnits = []unit{{"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond}}

// of returns the time in µs if the number is one of 2000 to 2099 in this unit. The ranges of the units do not meet.
func (u unit) of(v float64) (int64, bool) {
	const from, to = 946_684_800, 4_102_444_800
	seconds := v * u.step.Seconds()
	return int64(seconds * 1e6), seconds >= from && seconds < to
}

var seed = maphash.MakeSeed()

func newProfile(c table.FileColumn) *profile {
	p := &profile{
		FileColumn: c, seen: map[uint64]struct{}{}, counts: map[string]int64{}, least: math.Inf(1), most: math.Inf(-1), early: math.MaxInt64, late: math.MinInt64,
		whole: true, units: allUnits,
	}
	for _, f := range commonFormats {
		p.formats = append(p.formats, &format{text: f, from: math.MaxInt64, through: math.MinInt64})
	}
	return p
}

// add takes in a batch of the column.
func (p *profile) add(c *table.Column, t table.Type, n int) {
	for i := range n {
		p.n++
		if c.Null(i) || t == table.String && c.Str[i] == "" {
			p.nulls++
			continue
		}
		switch t {
		case table.String:
			p.note(maphash.String(seed, c.Str[i]))
			p.text(c.Str[i])
		case table.Float64:
			p.note(math.Float64bits(c.Float[i]))
			p.number(c.Float[i])
		case table.Time:
			p.note(uint64(c.Int[i]))
			p.early, p.late = min(p.early, c.Int[i]), max(p.late, c.Int[i])
		default:
			p.note(uint64(c.Int[i]))
			p.number(float64(c.Int[i]))
		}
	}
}

func (p *profile) note(hash uint64) {
	if len(p.seen) < mostDistinct {
		p.seen[hash] = struct{}{}
	}
}

func (p *profile) number(v float64) {
	p.least, p.most = min(p.least, v), max(p.most, v)
	p.whole = p.whole && v == math.Trunc(v)
	p.units = keep(p.units, func(u unit) bool { _, ok := u.of(v); return ok })
}

var (
	emailText = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	phoneText = regexp.MustCompile(`^\+?[0-9][0-9 ()/.-]{6,}[0-9]$`)
	ipText    = regexp.MustCompile(`^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7})$`)
	uuidText  = regexp.MustCompile(`^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$`)
	digitText = regexp.MustCompile(`^-?[0-9]+$`)
)

func (p *profile) text(s string) {
	p.spaces += int64(strings.Count(s, " "))
	if p.counts != nil {
		if p.counts[s]++; len(p.counts) > mostKinds {
			p.counts = nil
		}
	}
	switch {
	case emailText.MatchString(s):
		p.email++
	case ipText.MatchString(s):
		p.ip++
	case uuidText.MatchString(s):
		p.uuid++
	case phoneText.MatchString(s) && (s[0] == '+' || s[0] == '0') && strings.Count(s, ":") == 0:
		p.phone++
	}
	if digitText.MatchString(s) && len(s) <= 19 {
		p.digits++
		v := 0.0
		for _, d := range s {
			if d != '-' {
				v = 10*v + float64(d-'0')
			}
		}
		p.units = keep(p.units, func(u unit) bool {
			at, ok := u.of(v)
			if ok {
				p.early, p.late = min(p.early, at), max(p.late, at)
			}
			return ok
		})
	} else {
		p.units = nil
	}
	p.formats = keep(p.formats, func(f *format) bool { return f.reads(s) })
}

// reads reports whether s is a time in the format, and takes it in.
func (f *format) reads(s string) bool {
	if f.reader == nil { // most columns are no times: readers are made when they are asked for
		var err error
		if f.reader, err = table.NewTimeReader(f.text, 0, time.UTC); err != nil {
			return false
		}
		if f.strict, err = table.NewTimeReader(f.text, 0, nil); err != nil {
			return false
		}
	}
	at, err := f.reader.Micros(s)
	if err != nil {
		return false
	}
	f.from, f.through, f.sum = min(f.from, at), max(f.through, at), f.sum+at
	if _, err := f.strict.Micros(s); err != nil {
		f.local = true
	}
	return true
}

func keep[T any](v []T, ok func(T) bool) []T {
	var out []T
	for _, x := range v {
		if ok(x) {
			out = append(out, x)
		}
	}
	return out
}

// values is how many values are there.
func (p *profile) values() int64 { return p.n - p.nulls }

// share is the part of the values that a count is.
func (p *profile) share(n int64) float64 {
	if p.values() == 0 {
		return 0
	}
	return float64(n) / float64(p.values())
}

func (p *profile) distinct() int64 { return int64(len(p.seen)) }
