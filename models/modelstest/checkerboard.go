package modelstest

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// The board: subjects and items are even or odd, and even subjects choose even items.
const (
	subjects = 40
	items    = 24
	day      = int64(24 * 3600 * 1e6) // µs
	base     = int64(1_700_000_000_000_000)
)

// cuts of the checkerboard: 50 days of training, the last ten of them a re-ranker's, 10 of validation, 10 of test.
var cuts = models.Cuts{Base: base, Rerank: base + 40*day, Validation: base + 50*day, Test: base + 60*day, End: base + 70*day}

// Checkerboard returns a data set whose right answer is known: even subjects choose even items, odd subjects odd ones, nine of twelve
// each, so that three remain to be found. All items of one colour are equally popular, within a few hours' decay. Each subject has
// events in the validation and the test window, and returns to one of its items every ten days. Items have a colour (which says it all), a shape (which says
// nothing) and a price, subjects a team (which says it all) and a town (which says nothing).
func Checkerboard() *models.Dataset { return board(events()) }

// events returns the checkerboard's events.
func events() []models.Event {
	var out []models.Event
	add := func(s int, item int, at int64) {
		out = append(out, models.Event{Subject: number(s), Item: int32(item), Time: base + at, Weight: 1})
	}
	for s := range subjects {
		// Item 2j+colour is left out by the subjects whose turn it is: s/2 mod 4 leaves out j ≡ s/2 (mod 4).
		day0 := int64(s) * day / subjects
		for j := range items / 2 {
			if j%4 != s/2%4 {
				add(s, 2*j+s%2, day0+int64((j+s)%12)*5*day)
			}
		}
		habit := 2*((s/2+1)%4) + s%2
		for r := range int64(6) {
			add(s, habit, day0+(r*10+7)*day)
		}
	}
	return out
}

// number returns a subject number that no other content of an artifact resembles.
func number(s int) uint64 {
	x := uint64(s+1) * 0x9e3779b97f4a7c15 // Fibonacci hashing: distinct, all eight bytes in use
	return x ^ x>>29
}

// board puts events of the checkerboard's subjects and items in their data set. It sorts the events.
func board(events []models.Event) *models.Dataset {
	d := &models.Dataset{Kinds: []string{"choose"}, Cuts: cuts, Catalog: catalog(items), Events: models.NewEventLog(events)}
	team := make([]string, len(d.Events.Subjects))
	town := make([]string, len(d.Events.Subjects))
	numbers := make([]uint64, subjects)
	for s := range numbers {
		numbers[s] = number(s)
	}
	for i, n := range d.Events.Subjects {
		s := slices.Index(numbers, n)
		team[i], town[i] = [2]string{"home", "guest"}[s%2], [3]string{"here", "there", ""}[s%3]
	}
	d.Subjects = &models.Attributes{N: len(team), Cats: []models.CatColumn{models.NewCatColumn("team", team), models.NewCatColumn("town", town)}}
	return d
}

// catalog returns the first n items.
func catalog(n int) *models.Catalog {
	c := &models.Catalog{IDs: make([]string, n), Attrs: &models.Attributes{N: n}}
	colour, shape, price := make([]string, n), make([]string, n), make([]float64, n)
	for i := range n {
		c.IDs[i] = fmt.Sprintf("item-%04d", i)
		colour[i], shape[i] = [2]string{"white", "black"}[i%2], [3]string{"round", "square", ""}[i/2%3]
		price[i] = float64(i / 2 % 5)
		if i/2%6 == 5 {
			price[i] = math.NaN()
		}
	}
	c.Attrs.Cats = []models.CatColumn{models.NewCatColumn("colour", colour), models.NewCatColumn("shape", shape)}
	c.Attrs.Nums = []models.NumColumn{{Name: "price", Values: price}}
	return c
}

// even reports whether row s of d belongs to an even subject.
func even(d *models.Dataset, s int) bool { return d.Subjects.Cats[0].Level(s) == "home" }
