package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/popular"
)

// tasteful is a data set of two groups of subjects, who take items of their own half: 60 of 80 items, each once, the popular ones sooner.
func tasteful() *models.Dataset {
	const subjects, items = 300, 80
	r := rand.New(rand.NewPCG(1, 2))
	var events []models.Event
	for s := range subjects {
		half := r.Perm(items / 2)
		for k := range 10 + s%8 {
			events = append(events, models.Event{Subject: uint64(s + 1), Time: int64(1000*k + r.IntN(1000)), Item: int32(half[k] + s%2*items/2), Kind: uint8(k % 2), Weight: 1})
		}
	}
	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"like", "rate"}, Events: models.NewEventLog(events)}
	for i := range items {
		d.Catalog.IDs = append(d.Catalog.IDs, fmt.Sprintf("%03d", i))
	}
	d.Cuts = models.Cuts{Base: 0, Rerank: 7000, Validation: 7000, Test: 9000, End: 20000}
	return d
}

// Under each protocol nothing that is asked for is known, and under strong generalization nobody who is asked is learned from.
func TestProtocols(t *testing.T) {
	d := tasteful()
	for name, make := range map[string]func() (*task, error){
		"temporal": func() (*task, error) { return temporal(d, true) },
		"last":     func() (*task, error) { return last(d) },
		"strong":   func() (*task, error) { return strong(d, 1) },
	} {
		x, err := make()
		if err != nil {
			t.Fatal(name, err)
		}
		if err := x.train.Validate(); err != nil {
			t.Fatal(name, err)
		}
		if x.train.Cuts.Validation <= x.train.Cuts.Base || x.train.Cuts.Test <= x.train.Cuts.Validation {
			t.Errorf("%s: cuts %+v leave no window", name, x.train.Cuts)
		}
		for _, q := range x.questions {
			for _, i := range q.relevant {
				if slices.Contains(q.query.History.Item, i) {
					t.Fatalf("%s: an item that is asked for stands in the history", name)
				}
			}
			if q.row >= 0 {
				known := x.train.Events.SubjectBetween(q.row, x.train.Cuts.Base, x.train.Cuts.Test).Item
				for _, i := range q.relevant {
					if slices.Contains(known, i) {
						t.Fatalf("%s: an item that is asked for is learned from", name)
					}
				}
			}
		}
		switch name {
		case "last":
			if len(x.questions) != 300 || x.train.Events.Len() != d.Events.Len()-300 {
				t.Errorf("%d questions, %d of %d events are learned from", len(x.questions), x.train.Events.Len(), d.Events.Len())
			}
		case "strong":
			if n := len(x.questions); n < 15 || n > 50 {
				t.Errorf("%d of 300 subjects are asked, want a tenth", n)
			}
			empty := 0
			for s := range x.train.Events.Subjects {
				if x.train.Events.Off[s] == x.train.Events.Off[s+1] {
					empty++
				}
			}
			if empty != len(x.questions) {
				t.Errorf("%d subjects are not learned from, %d are asked", empty, len(x.questions))
			}
		}
	}
	if d.MaskSeen {
		t.Error("the data set itself was changed")
	}
	again := *d
	again.Events = models.NewEventLog([]models.Event{{Subject: 1, Time: 1, Item: 1, Weight: 1}, {Subject: 1, Time: 9500, Item: 1, Weight: 1}})
	if x, err := temporal(&again, false); err != nil || len(x.questions) != 1 || x.train.MaskSeen {
		t.Errorf("a repeat is not asked for: %v", err)
	}
	if _, err := temporal(&again, true); !errors.Is(err, errNothing) {
		t.Errorf("a repeat is asked for: %v", err)
	}
	few := *d
	few.Events = models.NewEventLog([]models.Event{{Subject: 1, Time: 1, Item: 1, Weight: 1}})
	for _, make := range []func() (*task, error){func() (*task, error) { return temporal(&few, true) }, func() (*task, error) { return last(&few) }, func() (*task, error) { return strong(&few, 1) }} {
		if _, err := make(); !errors.Is(err, errNothing) {
			t.Errorf("one event makes a protocol: %v", err)
		}
	}
}

// Planted taste is found: factors and the blend beat popularity, which knows no groups, under each protocol.
func TestMeasureFindsTaste(t *testing.T) {
	d := tasteful()
	trainer := &blend.Trainer{
		Parts: []models.Trainer{&popular.Trainer{Hyper: popular.Hyper{}}, &als.Trainer{Hyper: als.Hyper{Dim: 4, Exponent: 1, MinSubjects: 1}}}, Hyper: blend.Defaults(),
	}
	for name, make := range map[string]func() (*task, error){
		"last":   func() (*task, error) { return last(d) },
		"strong": func() (*task, error) { return strong(d, 1) },
	} {
		x, err := make()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := x.measure(t.Context(), "home", trainer, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 3 || rows[0].name != "home" || !strings.HasPrefix(rows[2].name, "part als") {
			t.Fatalf("%s: rows %+v", name, rows)
		}
		blended, _ := benchmark.Paired(rows[0].values[0], nil)
		plain, _ := benchmark.Paired(rows[1].values[0], nil)
		factors, _ := benchmark.Paired(rows[2].values[0], nil)
		if factors < 1.2*plain || blended < 1.1*plain {
			t.Errorf("%s: blend %.3f, popular %.3f, als %.3f", name, blended, plain, factors)
		}
		var out bytes.Buffer
		x.print(&out, append(rows, result{name: "missing"}))
		if text := out.String(); strings.Count(text, "\n") != 7 || !strings.Contains(text, "| missing | –") {
			t.Errorf("table:\n%s", text)
		}
	}
}

// Hand-computed: of three relevant items, those at ranks 2 and 4 of a list.
func TestMetrics(t *testing.T) {
	list, relevant := []int32{9, 1, 8, 3}, []int32{1, 3, 5}
	want := (1/math.Log2(3) + 1/math.Log2(5)) / (1 + 1/math.Log2(3) + 0.5)
	if got := (metric{"", 10, true}).of(list, relevant); math.Abs(got-want) > 1e-12 {
		t.Errorf("nDCG %v, want %v", got, want)
	}
	if got := (metric{"", 2, false}).of(list, relevant); got != 0.5 { // one of min(2, 3)
		t.Errorf("recall@2 %v", got)
	}
}

func TestOf(t *testing.T) {
	d := tasteful()
	x := of(d, []string{"like"})
	if err := x.Validate(); err != nil || x.Events.Len() == 0 || x.Events.Len() >= d.Events.Len() || slices.Contains(x.Events.Kind, 1) {
		t.Errorf("%d of %d events, %v", x.Events.Len(), d.Events.Len(), err)
	}
	if of(d, nil) != d {
		t.Error("all kinds are a copy")
	}
}

// A peer's vectors are those of the subject who asks.
func TestVectors(t *testing.T) {
	x, err := last(tasteful())
	if err != nil {
		t.Fatal(err)
	}
	n := x.train.Catalog.Len()
	v := &peers.Vectors{Width: 1, Users: make([]float32, len(x.train.Events.Subjects)), Items: make([]float32, n)}
	for s := range v.Users {
		v.Users[s] = float32(s)
	}
	for i := range v.Items {
		v.Items[i] = float32(i)
	}
	dst := make([]float32, 2*n)
	if err := newVectors(x, v).Score(context.Background(), []models.Query{x.questions[7].query, x.questions[3].query}, dst); err != nil {
		t.Fatal(err)
	}
	if dst[5] != 35 || dst[n+5] != 15 {
		t.Errorf("scores %v and %v, want 7·5 and 3·5", dst[5], dst[n+5])
	}
}

func TestProtocolsRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"a.yaml"}, {"-protocol", "random", "a.yaml", "nightly"}, {"no-such.yaml", "nightly"}} {
		if err := protocols(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// On a world that grows, going on takes fewer epochs and ends at an objective that is no worse; there is a row for each interval after the first.
func TestWarmStartsSaveEpochs(t *testing.T) {
	d := tasteful()
	d.Cuts.Test, d.Cuts.End = 9000, 10000
	var out bytes.Buffer
	if err := descend(t.Context(), d, []int64{8000, 9000, 10000}, 1, &out); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")[2:]
	if len(rows) != 2 {
		t.Fatalf("%d rows:\n%s", len(rows), out.String())
	}
	for _, row := range rows {
		var cold, warm int
		var ratio float64
		cells := strings.Split(row, "|")
		if _, err := fmt.Sscan(strings.Join(cells[2:5], " "), &cold, &warm, &ratio); err != nil || warm >= cold || ratio > 1.001 {
			t.Errorf("cold %d epochs, warm %d to %g of the objective (%v): %s", cold, warm, ratio, err, row)
		}
	}
}
