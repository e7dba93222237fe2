package synth

import (
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
)

var (
	ageBands = []string{"18-24", "25-34", "35-49", "50-64", "65+"}
	regions  = []string{"north", "east", "south", "west", "centre", "islands"}
	genders  = []string{"female", "male", "diverse"}
)

// The shape of a population.
const (
	newSubjects = 0.15 // share of the subjects that arrive while the world runs
	stapleShare = 0.13 // share of a subject's events that are habits
	perStaple   = 1.5  // events a staple purchase makes: the buy, and a view in half of the cases
	noCohort    = 0.10 // share of the subjects without a cohort row
	noGender    = 0.05
	noAgeBand   = 0.05
)

type person struct {
	id          string
	group       int
	favourites  [2]int // categories
	age, region int
	gender      int
	rare        bool // of the minority
	device      int
	join        int     // first day
	activity    float64 // relative
	browsing    float64 // expected browsing events on a day
	staples     []staple
}

// staple is an item that a person buys again and again: on days start + k·period, with jitter, before end.
type staple struct {
	item       int
	start, end float64
}

func newPeople(w World, c *catalog) []person {
	people := make([]person, w.Users)
	s := newStream()
	active := 0.0 // Σ activity · days
	for i := range people {
		p := &people[i]
		p.draw(w, c, s.reset(w.Seed, streamPerson, uint64(i), 0), i)
		active += p.activity * float64(w.Days-p.join)
	}
	perDay := w.EventsPerUser * float64(w.Users) / active // events a day at activity 1
	for i := range people {
		p := &people[i]
		rate := perDay * p.activity
		habit := p.adopt(w, c, s.reset(w.Seed, streamStaple, uint64(i), 0), stapleShare*rate)
		p.browsing = rate - min(habit, rate)
	}
	return people
}

// draw sets all but the rates.
func (p *person) draw(w World, c *catalog, s *stream, i int) {
	p.id = fmt.Sprintf("u%06d", i+1)
	p.group = s.IntN(groups)
	for f := range p.favourites {
		p.favourites[f] = c.group[p.group].draw(s)
	}
	if p.age = s.IntN(len(ageBands)); s.chance(0.5) {
		p.age = p.group % len(ageBands)
	}
	if p.region = s.IntN(len(regions)); s.chance(0.4) {
		p.region = p.group % len(regions)
	}
	p.gender = p.group % 2
	if s.chance(0.35) {
		p.gender = 1 - p.gender
	}
	if s.chance(0.02) {
		p.gender = 2
	}
	if w.Minority > 0 {
		p.rare = float64(mix(w.Seed^mix(uint64(i)^streamMinority))>>11)*0x1p-53 < w.Minority
		if p.gender = 1; p.rare {
			p.gender = 0
		}
	}
	p.device = newWeights(3, func(i int) float64 { return []float64{6, 3, 1}[i] }).draw(s)
	p.activity = min(12, max(0.05, math.Exp(s.NormFloat64())))
	if s.chance(newSubjects) && w.Days > 1 {
		p.join = 1 + s.IntN(w.Days-1)
	}
}

// adopt gives the person staples that make about the given number of events on a day, and returns how many they make on average.
func (p *person) adopt(w World, c *catalog, s *stream, rate float64) float64 {
	days := float64(w.Days - p.join)
	got := 0.0
	for range 200 { // a bound; rates that need more are left short
		missing := rate - got
		if missing <= 0 {
			break
		}
		it := c.pick(s, p.category(c, s), p.join, p.rare)
		period := c.items[it].period
		if period == 0 {
			continue
		}
		st := staple{item: it, start: float64(p.join) - s.Float64()*period, end: float64(w.Days)}
		if s.chance(0.3) { // taken up later
			st.start = float64(p.join) + s.Float64()*days*0.7
		}
		if s.chance(0.2) { // given up
			st.end = max(st.start, float64(p.join)) + s.Float64()*days
		}
		span := min(st.end, float64(w.Days)) - max(st.start, float64(p.join))
		events := perStaple / period * span / days
		if events > missing && !s.chance(missing/events) {
			break // rounded at random, so that the mean is right
		}
		got += events
		p.staples = append(p.staples, st)
	}
	return got
}

// category draws a category that the person looks at: a favourite, one of the group's, or what everybody likes.
func (p *person) category(c *catalog, s *stream) int {
	switch x := s.Float64(); {
	case x < 0.40:
		return p.favourites[s.IntN(len(p.favourites))]
	case x < 0.85:
		return c.group[p.group].draw(s)
	}
	return c.all.draw(s)
}

// intent is the category that the person is after on a day, whatever its tastes.
func (p *person) intent(w World, c *catalog, i, day int) int {
	return int(mix(w.Seed^mix(uint64(i)<<20^uint64(day/3))) % uint64(len(c.byCategory)))
}

// likes reports whether the item is of the brand that the person prefers in its category.
func (p *person) likes(w World, i int, it *item) bool {
	favourite := mix(w.Seed^mix(uint64(i))^uint64(it.category)) % brandsPerCategory
	return it.brand == (it.category*7+int(favourite))%brands
}

func subjectRows(people []person) []subjectRow {
	rows := make([]subjectRow, len(people))
	for i, p := range people {
		rows[i] = subjectRow{UserID: p.id, Region: regions[p.region], AgeBand: ageBands[p.age]}
	}
	return rows
}

func cohortRows(w World, people []person) []cohortRow {
	var rows []cohortRow
	s := newStream()
	for i, p := range people {
		s.reset(w.Seed, streamPerson, uint64(i), 1)
		if s.chance(noCohort) {
			continue
		}
		r := cohortRow{UserID: p.id, Gender: genders[p.gender], AgeBand: ageBands[p.age]}
		if s.chance(noGender) {
			r.Gender = ""
		}
		if s.chance(noAgeBand) {
			r.AgeBand = ""
		}
		rows = append(rows, r)
	}
	return rows
}

// The exact shares of subjects with a history of consent other than "given before the first event".
const (
	refusedShare   = 0.03
	expiredShare   = 0.01
	withdrawnShare = 0.01
	objectedShare  = 0.01 // to check_fairness; among those who consent to recommend
	againShare     = 0.3  // of the expired and the withdrawn
)

// consentRows returns the records of everybody, in the order of people.
func consentRows(w World, people []person) []dataset.ConsentRow {
	s := newStream().reset(w.Seed, streamConsent, 0, 0)
	var (
		n      = float64(len(people))
		counts = []int{int(math.Round(n * refusedShare)), int(math.Round(n * expiredShare)), int(math.Round(n * withdrawnShare)), int(math.Round(n * objectedShare))}
		fate   = make([]int, len(people)) // 0: plain consent; 1…4: as in counts
	)
	order := s.Perm(len(people))
	for kind, count := range counts {
		for _, i := range order[:min(count, len(order))] {
			fate[i] = kind + 1
		}
		order = order[min(count, len(order)):]
	}
	var rows []dataset.ConsentRow
	for i, p := range people {
		s.reset(w.Seed, streamConsent, uint64(i), 1)
		record := func(purpose, state string, at time.Time) *dataset.ConsentRow {
			rows = append(rows, dataset.ConsentRow{
				Subject: p.id, Purpose: purpose, State: state, Effective: at.UnixMicro(), Recorded: at.UnixMicro(), Source: "synthetic",
				RecordID: fmt.Sprintf("c%08d", len(rows)+1),
			})
			return &rows[len(rows)-1]
		}
		// In the middle of the world: between a fifth and four fifths of its time, to the second.
		middle := w.Start.Add(time.Duration((0.2+0.6*s.Float64())*float64(w.Days)*86400) * time.Second)
		asked := w.Start.AddDate(0, 0, p.join).Add(-time.Duration(1+s.IntN(300*24)) * time.Hour)
		again := middle.Add(time.Duration(1+s.IntN(10)) * 24 * time.Hour)
		back := s.chance(againShare)
		switch fate[i] {
		case 1:
			record("recommend", "Refused", asked)
			continue
		case 2:
			record("recommend", "ConsentGiven", asked).Expires = middle.UnixMicro()
			if back {
				record("recommend", "RenewedConsentGiven", again)
			}
			continue
		case 3:
			record("recommend", "ConsentGiven", asked)
			record("recommend", "Withdrawn", middle)
			if back {
				record("recommend", "ConsentGiven", again)
			}
			continue
		}
		record("recommend", "ConsentGiven", asked)
		if fate[i] == 4 {
			record("check_fairness", "Refused", asked)
		}
	}
	return rows
}
