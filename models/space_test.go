package models

import (
	"math"
	"reflect"
	"testing"
	"time"
)

type hyper struct {
	Dim      int           `json:"dim"`
	Weight   float64       `json:"weight"`
	HalfLife time.Duration `json:"half_life"`
	Keep     string        `json:"keep"`
}

var space = Space{
	{Name: "dim", Low: 16, High: 256, Log: true, Step: 16},
	{Name: "weight", Low: 0.01, High: 1, Log: true},
	{Name: "half_life", Low: 10, High: 1000, Log: true, Days: true, Zero: 0.25},
}

func TestSpaceAt(t *testing.T) {
	for _, c := range []struct {
		u    []float64
		want Values
	}{
		{[]float64{0, 0, 0}, Values{"dim": 16, "weight": 0.01, "half_life": 0}},
		{[]float64{0.5, 0.5, 0.25}, Values{"dim": 64, "weight": 0.1, "half_life": 10}},       // 16·√16, .01·√100
		{[]float64{0.25, 0.25, 0.625}, Values{"dim": 32, "weight": 0.032, "half_life": 100}}, // .01·100^¼ = .0316
		{[]float64{1, 1, 1}, Values{"dim": 256, "weight": 1, "half_life": 1000}},
	} {
		if got := space.At(c.u); !reflect.DeepEqual(got, c.want) {
			t.Errorf("at %v: %v, want %v", c.u, got, c.want)
		}
	}
}

// Values go into hyperparameters and come out again; what the space does not hold stays.
func TestSpaceSet(t *testing.T) {
	h := hyper{Dim: 8, Weight: 3, HalfLife: 12 * time.Hour, Keep: "x"}
	now, err := space.Of(h)
	if want := (Values{"dim": 8, "weight": 3, "half_life": 0.5}); err != nil || !reflect.DeepEqual(now, want) {
		t.Fatalf("%v, %v", now, err)
	}
	v := Values{"dim": 64, "half_life": 90}
	got, err := Set(h, space, v)
	if want := (hyper{Dim: 64, Weight: 3, HalfLife: 90 * 24 * time.Hour, Keep: "x"}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if text := space.String(v); text != "{dim: 64, half_life: 90d}" {
		t.Errorf("written as %s", text)
	}
	if text := space.String(now); text != "{dim: 8, weight: 3, half_life: 12h}" {
		t.Errorf("written as %s", text)
	}
	if _, err := Set(h, space, Values{"keep": 1}); err == nil {
		t.Error("a value outside the space is set")
	}
	if _, err := Set(h, space, Values{"dim": 1.5}); err == nil {
		t.Error("half a dimension is set")
	}
}

func TestSpaceValidate(t *testing.T) {
	if err := space.Validate(hyper{}); err != nil {
		t.Error(err)
	}
	for name, s := range map[string]Space{
		"no such name": {{Name: "depth", Low: 1, High: 2}},
		"no range":     {{Name: "dim", Low: 2, High: 2}},
		"log of 0":     {{Name: "dim", Low: 0, High: 2, Log: true}},
		"all zero":     {{Name: "dim", Low: 1, High: 2, Zero: 1}},
	} {
		if s.Validate(hyper{}) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A sample holds whole subjects with their attributes, a larger one holds a smaller one, and shares are about what they are called.
func TestSample(t *testing.T) {
	const n = 3000
	var events []Event
	ages := make([]float64, n)
	levels := make([]string, n)
	for s := range n {
		ages[s], levels[s] = float64(s), string(rune('a'+s%7))
		for k := range s % 4 {
			events = append(events, Event{Subject: uint64(s), Time: int64(k), Item: int32((s + k) % 5), Weight: 1 + float32(s), Context: Context(s % 3)})
		}
	}
	d := &Dataset{Catalog: &Catalog{IDs: []string{"a", "b", "c", "d", "e"}}, Kinds: []string{"had"}, Events: NewContextLog(events)}
	// Subjects without events have rows too.
	full := EventLog{Subjects: make([]uint64, n), Off: make([]int, n+1), Item: d.Events.Item, Time: d.Events.Time, Kind: d.Events.Kind, Weight: d.Events.Weight, Context: d.Events.Context}
	for s := range n {
		full.Subjects[s], full.Off[s+1] = uint64(s), full.Off[s]+s%4
	}
	d.Events = full
	d.Subjects = &Attributes{N: n, Cats: []CatColumn{NewCatColumn("level", levels)}, Nums: []NumColumn{{Name: "age", Values: ages}}}
	if d.Sample(1) != d {
		t.Error("the whole is copied")
	}
	var before map[uint64]bool
	for _, share := range []float64{0.05, 1.0 / 3} {
		x := d.Sample(share)
		if got := float64(len(x.Events.Subjects)) / n; math.Abs(got-share) > 0.03 {
			t.Errorf("a share of %.3f holds %.3f", share, got)
		}
		if err := x.Events.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := x.Subjects.Validate(); err != nil || x.Subjects.N != len(x.Events.Subjects) {
			t.Fatal(x.Subjects.N, err)
		}
		has := map[uint64]bool{}
		for k, number := range x.Events.Subjects {
			has[number] = true
			if got, want := x.Events.Subject(k), full.Subject(int(number)); !reflect.DeepEqual(got.Item, want.Item) && want.Len() > 0 ||
				got.Len() != want.Len() || want.Len() > 0 && (got.Weight[0] != want.Weight[0] || got.Context[0] != want.Context[0]) {
				t.Fatalf("subject %d has %+v, want %+v", number, got, want)
			}
			if x.Subjects.Nums[0].Values[k] != float64(number) || x.Subjects.Cats[0].Level(k) != levels[number] {
				t.Fatalf("subject %d has the attributes of another", number)
			}
		}
		for number := range before {
			if !has[number] {
				t.Fatalf("subject %d is in a small share and not in a larger one", number)
			}
		}
		before = has
	}
	if len(d.Events.Subjects) != n || d.Subjects.N != n {
		t.Error("sampling changed the data set")
	}
}
