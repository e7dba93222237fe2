package synth

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

var (
	devices  = []string{"phone", "desktop", "tablet"}
	channels = []string{"direct", "search", "email", "social"}
)

// The shape of a session.
const (
	moreViews    = 0.75 // a session goes on after each view: 4 views on average
	longest      = 40   // views
	cartRate     = 0.15 // of views; twice that in a favourite category or brand
	buyRate      = 0.6  // of carts
	sessionSize  = 5.7  // events of a session on average, measured
	shelfSize    = 5    // items that are shown for each view, in a world with impressions
	likedMore    = 6    // how much likelier a liked one is looked at
	sameCategory = 0.7  // of the next view
	seconds      = 24 * 60 * 60
)

// hours is how busy each hour of the day is.
var hours = newWeights(24, func(h int) float64 {
	return []float64{1, .5, .3, .2, .2, .4, 1, 2, 3, 3, 3, 3.5, 4, 3.5, 3, 3, 3.5, 4.5, 6, 7, 7.5, 6, 4, 2}[h]
})

// day makes the events of one day.
type day struct {
	w      World
	cat    *catalog
	people []person
	number int
	start  time.Time
	stream *stream
	rows   []eventRow
	sale   int // the category of the flash sale, −1: none
	broken bool
}

func newDay(w World, c *catalog, people []person, number int) *day {
	d := &day{w: w, cat: c, people: people, number: number, start: w.Start.AddDate(0, 0, number), stream: newStream(), sale: -1}
	if w.drifts(number, Demand) {
		d.sale = 1 % len(c.byCategory)
	}
	d.broken = w.drifts(number, Upstream)
	return d
}

// events returns the day's events sorted by time.
func (d *day) events() []eventRow {
	busy := 0.9
	if wd := d.start.Weekday(); wd == time.Saturday || wd == time.Sunday {
		busy = 1.25
	}
	if d.sale >= 0 {
		busy *= 1.8
	}
	for i := range d.people {
		p := &d.people[i]
		if p.join > d.number {
			continue
		}
		d.stream.reset(d.w.Seed, streamDay, uint64(i), uint64(d.number))
		var due []int
		for k := range p.staples {
			if p.staples[k].due(d.w, d.cat, i, d.number) {
				due = append(due, p.staples[k].item)
			}
		}
		sessions := d.stream.poisson(p.browsing * busy / sessionSize)
		for range sessions {
			d.session(p, i, due, true)
			due = nil
		}
		if len(due) > 0 {
			d.session(p, i, due, false)
		}
	}
	slices.SortFunc(d.rows, func(a, b eventRow) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.UserID, b.UserID), strings.Compare(a.SKU, b.SKU), strings.Compare(a.Action, b.Action))
	})
	return d.rows
}

// due reports whether the staple is bought on the day: if some start + k·period + jitter falls into it.
func (st *staple) due(w World, c *catalog, person, day int) bool {
	it := &c.items[st.item]
	if it.day > day {
		return false
	}
	k := int(math.Floor((float64(day) - st.start) / it.period))
	for k := max(0, k-1); float64(k) <= (float64(day)-st.start)/it.period+1; k++ {
		jitter := (float64(mix(w.Seed^mix(uint64(person)<<20^uint64(k))^uint64(st.item))>>11)/(1<<53) - 0.5) * 0.2 * it.period
		at := st.start + float64(k)*it.period + jitter
		if at < st.end && int(math.Floor(at)) == day {
			return true
		}
	}
	return false
}

// session adds one visit: the staples that are due, then browsing.
func (d *day) session(p *person, i int, due []int, browse bool) {
	s := d.stream
	first := len(d.rows)
	device, channel := devices[p.device], channels[s.IntN(len(channels))]
	if s.chance(0.15) {
		device = devices[s.IntN(len(devices))]
	}
	clock := int64(0) // µs since the session began
	add := func(it int, action string, amount float64) {
		clock += int64(15+s.IntN(60))*1e6 + s.Int64N(1e6)
		row := eventRow{UserID: p.id, SKU: d.cat.items[it].sku, Time: clock, Action: action, Amount: amount, Device: device, Channel: channel}
		if d.broken && s.chance(0.8) {
			row.Device, row.Channel = "unknown", ""
		}
		d.rows = append(d.rows, row)
	}
	for _, it := range due {
		if s.chance(0.5) {
			add(it, "view", 0)
		}
		add(it, "buy", d.amount(it))
	}
	if browse {
		d.browse(p, i, add)
	}
	// The session begins at some moment of a busy hour, early enough to end within the day.
	begin := (int64(hours.draw(s))*3600 + int64(s.IntN(3600))) * 1e6
	begin = d.start.UnixMicro() + min(begin, int64(seconds)*1e6-1-clock)
	for r := first; r < len(d.rows); r++ {
		d.rows[r].Time += begin
	}
}

// browse looks at items, mostly of one category, and buys some.
func (d *day) browse(p *person, i int, add func(item int, action string, amount float64)) {
	s := d.stream
	category := p.category(d.cat, s)
	for range 1 + s.geometric(moreViews, longest) {
		if !s.chance(sameCategory) {
			category = p.category(d.cat, s)
		}
		if d.w.Intent && s.chance(0.5) {
			category = p.intent(d.w, d.cat, i, d.number)
		}
		it := d.cat.pick(s, category, d.number, p.rare)
		if d.w.Shown {
			it = d.shelf(p, i, category, add)
		} else if d.sale >= 0 && s.chance(0.5) {
			it = d.cat.dull(s, d.sale, d.number)
		} else if !p.likes(d.w, i, &d.cat.items[it]) && s.chance(0.5) {
			it = d.cat.pick(s, category, d.number, p.rare) // a second look for the favourite brand
		}
		add(it, "view", 0)
		rate := cartRate
		if category == p.favourites[0] || category == p.favourites[1] || p.likes(d.w, i, &d.cat.items[it]) {
			rate *= 2
		}
		if !s.chance(rate) {
			continue
		}
		amount := d.amount(it)
		add(it, "cart", amount)
		if s.chance(buyRate) {
			add(it, "buy", amount)
		}
	}
}

// shelf shows items of a category, by their popularity, and returns the one that is looked at: more often one that the person likes, and one that
// stands further up. What it likes less it has seen and passed over.
func (d *day) shelf(p *person, i, category int, add func(item int, action string, amount float64)) int {
	var items [shelfSize]int
	w := newWeights(shelfSize, func(place int) float64 {
		it := d.cat.pick(d.stream, category, d.number, p.rare)
		items[place] = it
		add(it, "shown", 0)
		if p.likes(d.w, i, &d.cat.items[it]) {
			return likedMore / float64(place+1)
		}
		return 1 / float64(place+1)
	})
	return items[w.draw(d.stream)]
}

// amount is the price of one piece, or of some.
func (d *day) amount(it int) float64 {
	x := d.cat.items[it].price * float64(1+d.stream.geometric(0.2, 5))
	if d.sale >= 0 && d.cat.items[it].category == d.sale {
		x *= 0.6
	}
	return max(0.01, math.Round(100*x)/100)
}
