package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/eval"
)

// TestMain answers as the program itself would when the test's binary is asked to measure.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "-child" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCI(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-size", "ci"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ml1m", "600 subjects", "many", "20000 subjects", "gaps", "a gap of 50 %", "beside a live one of 30 %", "years", "20 budgets"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing is said of %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "target ") {
		t.Error("a small world has targets")
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{{"-size", "huge"}, {"-only", "drift,all", "-size", "ci"}} {
		if err := run(t.Context(), args, nil, &strings.Builder{}); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// TestWorld: all figures of the world that is timed have a value: nothing is left out of what is timed.
func TestWorld(t *testing.T) {
	w := world{Subjects: 900, Items: 400, Cohorts: 2, Contenders: 6, K: []int{10, 20}, Replicates: 50, Rich: true}
	task, contenders := w.task()
	q, err := eval.Evaluate(t.Context(), task, contenders)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range q.Contenders[:4] {
		for _, e := range c.Estimates {
			if e.Value == nil || e.Low == nil {
				t.Errorf("%s: %s on %s has no figure", c.Name, e.Metric, e.Split)
			}
		}
	}
	if len(q.Content) != 2 || len(q.Providers) != 1 || len(q.Content[0].Cohorts) != 2 {
		t.Error("no content or providers")
	}
	a, _ := json.Marshal(q)
	task, contenders = w.task()
	if q, err = eval.Evaluate(t.Context(), task, contenders); err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(q); string(a) != string(b) {
		t.Error("equal worlds differ")
	}
}
