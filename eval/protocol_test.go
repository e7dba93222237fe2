package eval

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// events is a data set of n subjects with 3 to 14 events over 40 items.
func events(n int, seed uint64) *models.Dataset {
	r := rand.New(rand.NewPCG(seed, 3))
	var all []models.Event
	for s := range n {
		for range 3 + r.IntN(12) {
			all = append(all, models.Event{Subject: uint64(100 + s), Time: int64(1 + r.IntN(9000)), Item: int32(r.IntN(40)), Weight: 1})
		}
	}
	d := &models.Dataset{Catalog: catalog(40), Kinds: []string{"view"}, Events: models.NewEventLog(all)}
	d.Cuts = models.Cuts{Base: 0, Rerank: 6000, Validation: 6000, Test: 8000, End: 10000}
	return d
}

// TestHold: whatever the protocol, what is asked for is not learned from, nor known; what is learned from ends before Cuts.Test.
func TestHold(t *testing.T) {
	d := events(400, 1)
	for _, by := range Protocols {
		for _, fresh := range []bool{false, true} {
			h, err := Hold(d, by, fresh, 5)
			if err != nil {
				t.Fatal(by, err)
			}
			if err := h.Train.Validate(); err != nil {
				t.Fatal(by, err)
			}
			learned := h.Train.Training(h.Train.Cuts.Test)
			for _, a := range h.Asked {
				q, relevant := h.Question(a)
				if len(relevant) == 0 || !ascending(relevant, 40) || q.Draw != d.Events.Subjects[a.Row] || q.At != h.Train.Cuts.Test {
					t.Fatalf("%s: row %d is asked for %v with %+v", by, a.Row, relevant, q)
				}
				again, same := h.Question(a)
				if !slices.Equal(relevant, same) || !slices.Equal(q.History.Item, again.History.Item) {
					t.Fatalf("%s: row %d is asked two things", by, a.Row)
				}
				known := learned.Subject(a.Row)
				switch by {
				case Temporal:
					if known.Len() != q.History.Len() {
						t.Fatalf("temporal: %d events known, %d learned from", q.History.Len(), known.Len())
					}
				case LeaveLastOut:
					if known.Len() == 0 || !slices.Equal(known.Item, q.History.Item) || len(relevant) != 1 {
						t.Fatalf("leave_last_out: row %d is asked for %v from %v, learned from are %v", a.Row, relevant, q.History.Item, known.Item)
					}
					if fresh && slices.Contains(known.Item, relevant[0]) {
						t.Fatalf("leave_last_out: row %d is asked for an item that it had", a.Row)
					}
				case StrongGeneralization:
					all := models.Distinct(d.Events.Subject(a.Row).Item)
					if known.Len() != 0 || len(relevant) != len(all)/5 || len(relevant)+len(models.Distinct(q.History.Item)) != len(all) {
						t.Fatalf("strong: row %d: %d learned from, %d of %d items asked for", a.Row, known.Len(), len(relevant), len(all))
					}
					for _, i := range relevant {
						if slices.Contains(q.History.Item, i) {
							t.Fatalf("strong: item %d is known and asked for", i)
						}
					}
				}
			}
			if n := len(h.Asked); by == StrongGeneralization && (n < 15 || n > 60) || by == LeaveLastOut && n < 390 {
				t.Errorf("%s asks %d of 400", by, n)
			}
		}
	}
}

// TestHoldIsOfTheSubject: who is asked under strong generalization, and for what, does not depend on who else is there.
func TestHoldIsOfTheSubject(t *testing.T) {
	d := events(300, 2)
	asked := func(d *models.Dataset) map[uint64][]int32 {
		h, err := Hold(d, StrongGeneralization, false, 7)
		if err != nil {
			t.Fatal(err)
		}
		out := map[uint64][]int32{}
		for _, a := range h.Asked {
			_, out[d.Events.Subjects[a.Row]] = h.Question(a)
		}
		return out
	}
	all := asked(d)
	half := *d
	var some []models.Event
	for s, n := range d.Events.Subjects {
		h := d.Events.Subject(s)
		for i := range h.Item {
			if n%2 == 0 {
				some = append(some, models.Event{Subject: n, Time: h.Time[i], Item: h.Item[i], Weight: 1})
			}
		}
	}
	half.Events = models.NewEventLog(some)
	for n, items := range asked(&half) {
		if !slices.Equal(all[n], items) {
			t.Errorf("a subject is asked for %v among all, for %v among half", all[n], items)
		}
		delete(all, n)
	}
	for n := range all {
		if n%2 == 0 {
			t.Error("a subject is asked among all and not among half")
		}
	}
}

func TestHoldRefuses(t *testing.T) {
	d := events(3, 1)
	d.Events = models.NewEventLog([]models.Event{{Subject: 1, Time: 1, Item: 1, Weight: 1}})
	for _, by := range Protocols {
		if _, err := Hold(d, by, true, 1); !errors.Is(err, ErrNothingHeld) {
			t.Errorf("%s of one event: %v", by, err)
		}
	}
	if _, err := Hold(d, "random", true, 1); err == nil {
		t.Error("an unknown protocol is accepted")
	}
}
