package benchmark

import (
	"bytes"
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
