package synth

import (
	"fmt"
	"math"
	"time"
)

// categoryNames are the categories of a world; the even ones are consumables.
var categoryNames = []string{
	"coffee", "books", "tea", "garden", "bread", "lighting", "dairy", "kitchenware", "fruit", "stationery", "cleaning", "toys",
	"pet food", "furniture", "snacks", "clothing", "cosmetics", "sports", "drinks", "electronics", "baby care", "tools", "frozen", "music",
}

// The shape of a catalog.
const (
	brands            = 40 // in the whole world
	brandsPerCategory = 5
	popularityPower   = 0.85 // weight of the item of rank r within its category: (r+1)^−0.85
	newItems          = 0.12 // share of the items that are published while the world runs
	freshDays         = 7    // how long an item is shown as new
)

type catalog struct {
	items      []item
	byCategory []shelf
	group      []weights // by latent group: preference over categories
	all        weights   // over categories: popularity
}

type item struct {
	sku       string
	category  int
	brand     int
	price     float64 // in cents' precision
	period    float64 // days between two purchases of it; 0: not a consumable
	published time.Time
	day       int // of publication; below 0: before the world
}

// shelf is a category's items, most popular first. The first is always older than the world, so that a category is never empty.
type shelf struct {
	items   []int
	popular weights
	fresh   [][]int // by day: the items that are new then
}

// groups is the number of latent groups of people.
const groups = 8

func newCatalog(w World) *catalog {
	n := min(len(categoryNames), max(4, w.Items/10))
	c := &catalog{items: make([]item, w.Items), byCategory: make([]shelf, n)}
	c.all = newWeights(n, func(i int) float64 { return 1 / math.Sqrt(float64(i)+1) })
	s := newStream()
	for i := range c.items {
		s.reset(w.Seed, streamItem, uint64(i), 0)
		it := &c.items[i]
		it.sku = fmt.Sprintf("sku-%05d", i+1)
		it.category = c.all.draw(s)
		if i < n {
			it.category = i
		}
		it.brand = (it.category*7 + s.IntN(brandsPerCategory)) % brands
		it.price = math.Round(100*math.Exp(1.2+0.13*float64(it.category%10)+0.5*s.NormFloat64())) / 100
		it.price = max(it.price, 0.19)
		if it.category%2 == 0 {
			it.period = min(40, max(5, (7+float64(it.category%6)*3)*math.Exp(0.3*s.NormFloat64())))
		}
		at := -10 - s.IntN(700)
		if s.chance(newItems) && i >= n {
			at = s.IntN(w.Days)
		}
		it.day = at
		it.published = w.Start.AddDate(0, 0, at)
		c.byCategory[it.category].items = append(c.byCategory[it.category].items, i)
	}
	for i := range c.byCategory {
		sh := &c.byCategory[i]
		s.reset(w.Seed, streamItem, uint64(i), 1)
		rest := sh.items[1:]
		s.Shuffle(len(rest), func(a, b int) { rest[a], rest[b] = rest[b], rest[a] })
		sh.popular = newWeights(len(sh.items), func(r int) float64 { return math.Pow(float64(r)+1, -popularityPower) })
		sh.fresh = make([][]int, w.Days)
		for _, it := range sh.items {
			for d := max(0, c.items[it].day); d < min(w.Days, c.items[it].day+freshDays); d++ {
				sh.fresh[d] = append(sh.fresh[d], it)
			}
		}
	}
	for g := range groups {
		// Four favourites a group, three categories apart from the next group's: neighbours overlap.
		c.group = append(c.group, newWeights(n, func(i int) float64 {
			switch (i - 3*g%n + n) % n {
			case 0:
				return 8
			case 1:
				return 5
			case 2:
				return 3
			case 3:
				return 2
			}
			return 0.3
		}))
	}
	return c
}

// pick draws an item of a category on a day: a new one in one draw of ten if there is any, else by popularity, of what is published. A minority draws by
// the popularity turned around: what most people like best, it likes least.
func (c *catalog) pick(s *stream, category, day int, rare bool) int {
	sh := &c.byCategory[category]
	if fresh := sh.fresh[day]; len(fresh) > 0 && s.chance(0.1) {
		return fresh[s.IntN(len(fresh))]
	}
	for range 16 {
		r := sh.popular.draw(s)
		if rare {
			r = len(sh.items) - 1 - r
		}
		if it := sh.items[r]; c.items[it].day <= day {
			return it
		}
	}
	return sh.items[0]
}

// dull draws an item of the less popular half of a category, as a flash sale does.
func (c *catalog) dull(s *stream, category, day int) int {
	sh := &c.byCategory[category]
	half := sh.items[len(sh.items)/2:]
	if it := half[s.IntN(len(half))]; c.items[it].day <= day {
		return it
	}
	return sh.items[0]
}

func (c *catalog) rows() []itemRow {
	rows := make([]itemRow, len(c.items))
	for i, it := range c.items {
		rows[i] = itemRow{
			SKU: it.sku, Category: categoryNames[it.category], Brand: fmt.Sprintf("brand-%02d", it.brand+1), Price: it.price,
			Published: it.published.UnixMicro(),
		}
	}
	return rows
}
