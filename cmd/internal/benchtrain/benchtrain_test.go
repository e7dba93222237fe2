package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

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
	clock := benchmark.Start()
	if m := clock.Stop(); m.Seconds < 0 || m.CPU < 0 || m.RSS <= 0 {
		t.Errorf("%+v", m)
	}
}
