package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// work is the child's side: it reads a task from in and writes its answer to out.
func work(ctx context.Context, kind string, in io.Reader, out io.Writer) error {
	switch kind {
	case "world":
		return answer(ctx, kind, in, out, makeWorld)
	case "held":
		return answer(ctx, kind, in, out, held)
	}
	return fmt.Errorf("-child %s: no such work", kind)
}

func answer[T, A any](ctx context.Context, kind string, in io.Reader, out io.Writer, f func(context.Context, T) (A, error)) error {
	var t T
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("-child %s: task: %w", kind, err)
	}
	a, err := f(ctx, t)
	if err != nil {
		return fmt.Errorf("-child %s: %w", kind, err)
	}
	return json.NewEncoder(out).Encode(a)
}

// world makes a world in a child.
func (b *bench) world(ctx context.Context, w world, folder string) (m made, err error) {
	return m, benchmark.Delegate(ctx, task{folder, w.people, w.events, w.days}, &m, "-child", "world")
}
