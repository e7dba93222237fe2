package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/eval"
)

func main() { benchmark.Main("bencheval", run) }

// answer is what a child has measured.
type answer struct {
	benchmark.Measured
	Evaluated, Figures int
}

// options are what a part is told.
type options struct {
	ci        bool
	evidently string // a Python that has it; "": it is not asked
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("bencheval", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	only := flags.String("only", "ml1m,many,scan,alarms,power,gaps,ratchet,years", "which parts, with commas")
	var o options
	flags.StringVar(&o.evidently, "evidently", "", "a Python that has Evidently, whose defaults are asked beside in alarms and power")
	child := flags.Bool("child", false, "measure one part, which standard input names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child {
		return measure(ctx, in, out)
	}
	if *size != "full" && *size != "ci" {
		return fmt.Errorf("-size %s: want full or ci", *size)
	}
	o.ci = *size == "ci"
	r := &benchmark.Report{Out: out, CI: o.ci, Width: 8, Digits: 4}
	r.Say("machine", "%s", benchmark.Machine())
	parts := map[string]func(context.Context, *benchmark.Report, options) error{"ml1m": ml1m, "many": many, "scan": scan, "alarms": alarms, "power": power, "gaps": gaps, "ratchet": ratchet, "years": years}
	for _, name := range strings.Split(*only, ",") {
		part, ok := parts[name]
		if !ok {
			return fmt.Errorf("-only %s: want %s", name, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
		}
		if err := part(ctx, r, o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r.Targets()
	return nil
}

// ask measures a world in a child process.
func ask(ctx context.Context, w world) (a answer, err error) {
	return a, benchmark.Delegate(ctx, w, &a, "-child")
}

func measure(ctx context.Context, in io.Reader, out io.Writer) error {
	var w world
	if err := json.NewDecoder(in).Decode(&w); err != nil {
		return err
	}
	task, contenders := w.task()
	watch := benchmark.Start()
	q, err := eval.Evaluate(ctx, task, contenders)
	if err != nil {
		return err
	}
	a := answer{Measured: watch.Stop(), Evaluated: q.Evaluated}
	for _, c := range q.Contenders {
		a.Figures += len(c.Estimates)
	}
	for _, c := range q.Cohorts {
		for _, f := range c.Figures {
			a.Figures += len(f.ByGroup)
		}
	}
	return json.NewEncoder(out).Encode(a)
}

func ml1m(ctx context.Context, r *benchmark.Report, o options) error {
	w := world{Subjects: 6040, Items: 3700, Cohorts: 12, Contenders: 6, K: []int{10, 20}, Replicates: eval.DefaultReplicates, Rich: true}
	if o.ci {
		w.Subjects, w.Items, w.Replicates = 600, 400, 200
	}
	var seconds []float64
	for range 3 {
		a, err := ask(ctx, w)
		if err != nil {
			return err
		}
		r.Say("ml1m", "%d subjects, %d items, %d cohorts: %.2f s, %.2f s of processors, %d MB; %d figures with intervals", a.Evaluated, w.Items, w.Cohorts, a.Seconds, a.CPU, a.RSS>>20, a.Figures)
		seconds = append(seconds, a.Seconds)
		if o.ci {
			return nil
		}
	}
	r.AtMost("eval_ml1m_seconds", benchmark.Median(seconds), 20)
	return nil
}

func many(ctx context.Context, r *benchmark.Report, o options) error {
	w := world{Subjects: 1_000_000, Items: 50_000, Cohorts: 2, Contenders: 2, K: []int{10}, Replicates: 200}
	if o.ci {
		w.Subjects, w.Items = 20_000, 500
	}
	sizes := []int{w.Subjects / 10, w.Subjects}
	var memory []float64
	for _, n := range sizes {
		w.Subjects = n
		a, err := ask(ctx, w)
		if err != nil {
			return err
		}
		r.Say("many", "%d subjects, %d items: %.1f s, %.1f s of processors, %d MB", a.Evaluated, w.Items, a.Seconds, a.CPU, a.RSS>>20)
		memory = append(memory, float64(a.RSS))
	}
	if !o.ci {
		r.AtMost("eval_memory_of_ten_times_the_subjects", slices.Max(memory)/memory[0], 1.25)
	}
	return nil
}
