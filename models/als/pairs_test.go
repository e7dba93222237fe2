package als

import (
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// The pairs are those of a map of maps, in both orientations, and the same on 1, 2 and 8 processors.
func TestPairsByOracle(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	r := rand.New(rand.NewPCG(3, 7))
	const subjects, items, until = 300, 20, 90 * day
	var events []event
	for s := range subjects {
		if s%7 == 3 {
			continue // a subject without events
		}
		for range r.IntN(60) {
			events = append(events, event{s, int32(min(r.IntN(items), r.IntN(items+1))), int64(r.IntN(100)) * day, 1 + float32(r.IntN(2))})
		}
	}
	d := dataset(items, events)
	h := Hyper{MinSubjects: 40, HalfLife: 0}.withDefaults()
	d.Cuts.Base = 10 * day
	sums, people := map[int]map[int32]float64{}, map[int32]map[int]bool{}
	for s := range d.Events.Subjects {
		for e := d.Events.Off[s]; e < d.Events.Off[s+1]; e++ {
			if i := d.Events.Item[e]; d.Events.Time[e] >= d.Cuts.Base && d.Events.Time[e] < until {
				if sums[s] == nil {
					sums[s] = map[int32]float64{}
				}
				if people[i] == nil {
					people[i] = map[int]bool{}
				}
				sums[s][i] += float64(d.Events.Weight[e])
				people[i][s] = true
			}
		}
	}
	want := &pairs{bySubj: sparse{off: []int{0}}, byItem: sparse{off: []int{0}}}
	at := map[int32]int32{}
	for i := range int32(items) {
		if n := len(people[i]); n >= h.MinSubjects {
			at[i] = int32(len(want.items))
			want.items = append(want.items, i)
		} else if n > 0 {
			want.rare = append(want.rare, i)
		}
	}
	if len(want.rare) == 0 || len(want.items) == 0 {
		t.Fatalf("%d items take part, %d are rare", len(want.items), len(want.rare))
	}
	for s := range d.Events.Subjects {
		before := len(want.bySubj.col)
		for _, i := range want.items {
			if w, ok := sums[s][i]; ok {
				want.bySubj.col, want.bySubj.conf = append(want.bySubj.col, at[i]), append(want.bySubj.conf, h.confidence(w))
				want.confidence += float64(h.confidence(w))
			}
		}
		if len(want.bySubj.col) > before {
			want.bySubj.off, want.rows = append(want.bySubj.off, len(want.bySubj.col)), append(want.rows, int32(s))
		}
	}
	want.subjects = len(want.rows)
	for i := range want.items {
		for row := range want.rows {
			for k := want.bySubj.off[row]; k < want.bySubj.off[row+1]; k++ {
				if want.bySubj.col[k] == int32(i) {
					want.byItem.col, want.byItem.conf = append(want.byItem.col, int32(row)), append(want.byItem.conf, want.bySubj.conf[k])
				}
			}
		}
		want.byItem.off = append(want.byItem.off, len(want.byItem.col))
	}
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		if got := len(split(d.Events.Off, items)); got != n {
			t.Fatalf("%d shares on %d processors", got, n)
		}
		got, err := collect(d, until, &h)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("on %d processors other pairs than the oracle's", n)
		}
	}
}

// Shares cover all rows once, in order, also where one row has all the entries or there are none.
func TestSharesCoverRows(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	for _, off := range [][]int{nil, {0}, {0, 0, 0}, {0, 1000}, {0, 0, 1000, 1000}, {5, 105, 205, 305, 405, 505}, {0, 1, 2, 1000, 1001}} {
		next := 0
		for _, s := range split(off, 3) {
			if s.lo != next || s.hi < s.lo {
				t.Errorf("%v: share %+v after row %d", off, s, next)
			}
			next = s.hi
		}
		if next != max(len(off)-1, 0) {
			t.Errorf("%v: the shares end at row %d", off, next)
		}
	}
}

// Of several faults the first event's is told, on any number of processors.
func TestTheFirstFaultIsTold(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	var events []event
	for s := range 200 {
		events = append(events, event{s, 0, 1, 1}, event{s, 1, 2, 1})
	}
	d := dataset(2, events)
	d.Events.Weight[150], d.Events.Weight[390] = float32(math.Inf(1)), -1
	h := Defaults()
	if _, err := collect(d, 10, &h); err == nil || !strings.Contains(err.Error(), "event 150 ") {
		t.Errorf("%v, want event 150 to be named", err)
	}
	if _, err := collect(&models.Dataset{Catalog: &models.Catalog{}}, 10, &h); err != nil {
		t.Errorf("nothing at all: %v", err)
	}
}
