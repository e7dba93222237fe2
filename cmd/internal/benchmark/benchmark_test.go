package benchmark

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	for _, ci := range []bool{false, true} {
		var out bytes.Buffer
		r := Report{Out: &out, CI: ci, Digits: 4}
		r.AtLeast("fast", 1, 1)
		r.AtLeast("slow", .9, 1)
		r.AtLeast("half", 1.5, 2)
		r.AtMost("small", 1, 1)
		r.AtMost("large", 1.1, 1)
		if out.Len() > 0 {
			t.Errorf("ci %v: %q before the end", ci, out.String())
		}
		r.Targets()
		want := "target fast 1 >= 1 ok\ntarget slow 0.9 >= 1 short\ntarget half 1.5 >= 2 short\ntarget small 1 <= 1 ok\ntarget large 1.1 <= 1 short\n"
		if ci {
			want = ""
		}
		if out.String() != want {
			t.Errorf("ci %v: %q, want %q", ci, out.String(), want)
		}
	}
}

func TestSay(t *testing.T) {
	var out bytes.Buffer
	r := Report{Out: &out, Width: 6}
	r.Say("one", "%d of %s", 2, "them")
	if want := "one    2 of them\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if m := Machine(); !strings.Contains(m, "GOMAXPROCS") {
		t.Errorf("the machine is %q", m)
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 5: {5, 4}, 7: {7}} {
		if got := Median(values); got != want {
			t.Errorf("of %v it is %v, want %v", values, got, want)
		}
	}
}

func TestPaired(t *testing.T) {
	a, b := []float64{1, .5, 0, .5}, []float64{.25, .25, .25, .25}
	mean, half := Paired(a, b) // differences .75, .25, −.25, .25: mean .25, sd √(.5/3), of the mean √(.5/3/4)
	if want := 1.96 * math.Sqrt(.5/12); mean != .25 || math.Abs(half-want) > 1e-12 {
		t.Errorf("%v ± %v, want .25 ± %v", mean, half, want)
	}
	if mean, half := Paired([]float64{3}, nil); mean != 3 || half != 0 {
		t.Errorf("of one figure %v ± %v", mean, half)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	figures := [][]float64{{.5, .5}, {.5, 1}}
	Table(&out, "nDCG@10", "the blend", []string{"blend", "als"}, []string{"all"}, func(c, _ int) []float64 { return figures[c] })
	want := "| nDCG@10 | all | minus the blend |\n|---|---|---|\n| blend | 0.5000 | (n = 2) |\n| als | 0.7500 | +0.2500 ± 0.4900 |\n"
	if out.String() != want {
		t.Errorf("%s, want\n%s", out.String(), want)
	}
}
