package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// days is the longest window of every view, in days.
const days = 90

// epoch is when the events begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// day returns the interval of day d.
func day(d int) table.Interval {
	return table.Interval{Start: epoch.AddDate(0, 0, d), End: epoch.AddDate(0, 0, d+1)}
}

// shape is a world of events: those of its days and, before them, of one day that the longest window has left. Equal shapes have equal events.
type shape struct {
	name     string // "sparse" or "dense"
	events   int    // of all days, that one too
	subjects int
	items    int
	days     int // with that one
}

// sparseShape has 22.4 events a subject, as 20 M events of 893,000 subjects have. events is the number of the last n days.
func sparseShape(events, n int) shape {
	return shape{"sparse", events * (n + 1) / n, max(1, events*893/20_000), 50_000, n + 1}
}

// A subject of a dense shape comes 45 times in 91 days for 5 events each: 200 events or more in any 90.
const (
	bursts = 45
	burst  = 5
)

func denseShape(events, n int) shape {
	subjects := max(1, events*(n+1)/n/(bursts*burst))
	return shape{"dense", subjects * bursts * burst, subjects, 50_000, n + 1}
}

// seed is that of all random numbers here.
const seed = 20260101

// visit is one event by the ranks of its subject and item: 0 is the busiest.
type visit struct {
	at            int64 // µs
	subject, item int32
}

// day returns the events of day d, ascending in time.
func (s shape) day(d int) []visit {
	if s.name == "dense" {
		return s.denseDay(d)
	}
	r := stream(uint64(d), 1)
	n := s.events*(d+1)/s.days - s.events*d/s.days
	start, length := day(d).Start.UnixMicro(), float64(day(d).End.UnixMicro()-day(d).Start.UnixMicro())
	out := make([]visit, n)
	for i := range out {
		out[i] = visit{
			at:      start + int64(length*(float64(i)+r.Float64())/float64(n)),
			subject: rank(r.Float64(), s.subjects, 2),
			item:    rank(r.Float64(), s.items, 3),
		}
	}
	return out
}

// denseDay gives each of a subject's bursts a day of its own choice, and looks through all of them for those of day d.
func (s shape) denseDay(d int) []visit {
	start := day(d).Start.UnixMicro()
	last := day(d).End.UnixMicro() - start - int64(10*time.Minute/time.Microsecond)
	var out []visit
	for subject := range s.subjects {
		for b := range bursts {
			h := mix(mix(seed+uint64(subject)) ^ uint64(b))
			if int(h>>32*uint64(s.days)>>32) != d {
				continue
			}
			r := stream(h, 2)
			at := start + r.Int64N(last)
			item := rank(r.Float64(), s.items, 3)
			for range burst {
				at += 1 + r.Int64N(int64(time.Minute/time.Microsecond))
				out = append(out, visit{at, int32(subject), (item + int32(r.IntN(8))) % int32(s.items)})
			}
		}
	}
	slices.SortFunc(out, func(a, b visit) int {
		switch {
		case a.at != b.at:
			return int(min(1, max(-1, a.at-b.at)))
		case a.subject != b.subject:
			return int(a.subject) - int(b.subject)
		}
		return int(a.item) - int(b.item)
	})
	return out
}

// rank draws from a power law: a rank's density falls as rank^(1/power − 1), Zipf's law of exponent 1 − 1/power. u is in [0, 1).
func rank(u float64, n, power int) int32 {
	x := u
	for range power - 1 {
		x *= u
	}
	return int32(x * float64(n))
}

// stream is the random numbers of one purpose.
func stream(a, kind uint64) *rand.Rand {
	h := mix(seed+kind) ^ a
	return rand.New(rand.NewPCG(mix(h), mix(h^0x5bf03635)))
}

// mix is the output function of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) after one step.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// The ids of a rank. Numbers of subjects are spread over 64 bits, as pseudonyms are; those of items are a catalogue's.
func subjectNumber(rank int32) int64 { return int64(mix(uint64(rank) ^ 0x5eed)) }
func itemNumber(rank int32) int64    { return 10_000_000 + int64(rank)*7919%1_000_003 }
func subjectText(rank int32) string {
	return fmt.Sprintf("user-%09d", (int64(rank)+1)*618_033_989%1_000_000_007)
}
func itemText(rank int32) string { return fmt.Sprintf("sku-%08d", itemNumber(rank)) }

// ids names the subjects and items of a shape in text, each once.
type ids struct{ subjects, items []string }

func newIDs(s shape) *ids {
	n := &ids{make([]string, s.subjects), make([]string, s.items)}
	for i := range n.subjects {
		n.subjects[i] = subjectText(int32(i))
	}
	for i := range n.items {
		n.items[i] = itemText(int32(i))
	}
	return n
}

// The kinds of events, and how many of a hundred are of each.
var (
	kinds   = []string{"view", "cart", "buy"}
	percent = []int{90, 7, 3}

	devices   = []string{"ios", "android", "web", "tv"}
	countries = []string{"at", "be", "ch", "cz", "de", "dk", "es", "fi", "fr", "gb", "ie", "it", "nl", "no", "pl", "pt", "se", "us"}
)

// schema returns the columns of events, 13 or the first 5, which are those that views read. Ids are numbers or text.
func schema(text, narrow bool) table.Schema {
	id := table.Int64
	if text {
		id = table.String
	}
	s := table.Schema{
		{Name: "subject", Type: id},
		{Name: "item", Type: id},
		{Name: "time", Type: table.Time},
		{Name: "kind", Type: table.String},
		{Name: "value", Type: table.Float64}, // a price to the cent; a third of the views has none
		{Name: "device", Type: table.String},
		{Name: "country", Type: table.String},
		{Name: "channel", Type: table.Int64},
		{Name: "session", Type: table.Int64},
		{Name: "quantity", Type: table.Int64},
		{Name: "page", Type: table.Int64},
		{Name: "score", Type: table.Float64},
		{Name: "returning", Type: table.Bool},
	}
	if narrow {
		return s[:5:5]
	}
	return s
}

// rows makes the events of day d as a table of 13 columns with ids as numbers, and one with ids as text if names is not nil. They share all other
// columns.
func rows(d int, events []visit, names *ids) (number, text *table.Batch) {
	r := stream(uint64(d), 3)
	n := len(events)
	b := &table.Batch{Schema: schema(false, false), N: n, Cols: make([]table.Column, 13)}
	for i, f := range b.Schema {
		switch f.Type {
		case table.Float64:
			b.Cols[i].Float = make([]float64, n)
		case table.String:
			b.Cols[i].Str = make([]string, n)
		default:
			b.Cols[i].Int = make([]int64, n)
		}
	}
	c := b.Cols
	c[4].Valid = make([]bool, n)
	for i, e := range events {
		c[0].Int[i], c[1].Int[i], c[2].Int[i] = subjectNumber(e.subject), itemNumber(e.item), e.at
		x, y := r.Uint64(), r.Uint64()
		take := func(n int) int { // a draw below n of what is left of x
			v := int(x % uint64(n))
			x /= uint64(n)
			return v
		}
		kind, p := 0, take(100)
		for p >= percent[kind] {
			p -= percent[kind]
			kind++
		}
		c[3].Str[i] = kinds[kind]
		if c[4].Valid[i] = take(3) > 0 || kind > 0; c[4].Valid[i] {
			c[4].Float[i] = float64(99+mix(uint64(e.item))%20_000+uint64(take(100))) / 100
		}
		c[5].Str[i] = devices[take(len(devices))]
		c[6].Str[i] = countries[mix(uint64(e.subject))%uint64(len(countries))]
		c[7].Int[i] = int64(take(6))
		c[8].Int[i] = int64(mix(uint64(e.subject)<<20^uint64(e.at)/uint64(time.Hour/time.Microsecond)) >> 1)
		c[9].Int[i] = int64(1 + take(4))
		c[10].Int[i] = int64(take(5000))
		c[11].Float[i] = float64(y>>11) / (1 << 53)
		c[12].Int[i] = int64(y & 1)
	}
	if names == nil {
		return b, nil
	}
	text = &table.Batch{Schema: schema(true, false), N: n, Cols: append([]table.Column{{Str: make([]string, n)}, {Str: make([]string, n)}}, c[2:]...)}
	for i, e := range events {
		text.Cols[0].Str[i], text.Cols[1].Str[i] = names.subjects[e.subject], names.items[e.item]
	}
	return b, text
}
