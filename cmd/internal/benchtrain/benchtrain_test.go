package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	for _, ci := range []bool{false, true} {
		b := &bench{ci: ci}
		b.atLeast("fast", 1, 1)
		b.atLeast("slow", .9, 1)
		b.atMost("small", 1, 1)
		b.atMost("large", 1.1, 1)
		want := "target fast 1 >= 1 ok\ntarget slow 0.9 >= 1 short\ntarget small 1 <= 1 ok\ntarget large 1.1 <= 1 short"
		if ci {
			want = ""
		}
		if got := strings.Join(b.targets, "\n"); got != want {
			t.Errorf("ci %v: %q, want %q", ci, got, want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-size", "huge"}, {"-only", "nothing"}, {"-child", "nothing"}, {"-repeats", "many"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, strings.NewReader("{}"), &out); err == nil {
			t.Errorf("%v is accepted: %s", args, out.String())
		}
	}
}

// A child's task and answer come through as they are, and its errors name the work.
func TestWork(t *testing.T) {
	kind("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	defer delete(kinds, "double")
	var out bytes.Buffer
	if err := work(t.Context(), "double", strings.NewReader("21"), &out); err != nil || strings.TrimSpace(out.String()) != "42" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := work(t.Context(), "double", strings.NewReader(`"x"`), &out); err == nil || !strings.Contains(err.Error(), "double") {
		t.Errorf("error %v", err)
	}
}

func TestStopwatch(t *testing.T) {
	clock := start()
	if m := clock.stop(); m.Seconds < 0 || m.CPU < 0 || m.RSS <= 0 {
		t.Errorf("%+v", m)
	}
}
