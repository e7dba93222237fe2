package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// kinds are the pieces of work that a child process of this program can do, by name. The file of a part adds its own in an init function,
// with kind.
var kinds = map[string]func(context.Context, []byte) (any, error){}

// kind makes f what a child does for delegate(ctx, name, …): it gets the task and returns the answer, both as JSON on the way.
func kind[T, A any](name string, f func(context.Context, T) (A, error)) {
	kinds[name] = func(ctx context.Context, task []byte) (any, error) {
		var t T
		if err := json.Unmarshal(task, &t); err != nil {
			return nil, fmt.Errorf("task: %w", err)
		}
		return f(ctx, t)
	}
}

// work is the child's side: it reads a task from in and writes the answer to out.
func work(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	f := kinds[name]
	if f == nil {
		return fmt.Errorf("no work is called %q", name)
	}
	task, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	answer, err := f(ctx, task)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(out).Encode(answer)
}

// delegate does the work of a kind in a child process and decodes its answer.
func delegate(ctx context.Context, name string, task, answer any) error {
	return benchmark.Delegate(ctx, task, answer, "-child", name)
}
