package online_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
)

// TestMain is also the main function of the child processes that tests start.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("RAPPORT_ONLINE_CHILD") {
	case "steps":
		err = childSteps()
	case "talk":
		err = childTalk()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// childTalk answers commands from standard input, a line each: "get KEY", "deny OWNER", "swap GENERATION FENCE".
func childTalk() error {
	ctx := context.Background()
	s, err := online.OpenEmbedded(os.Getenv("RAPPORT_ONLINE_DIR"), online.Options{})
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		answer := "done"
		switch f := strings.Fields(in.Text()); f[0] {
		case "get":
			e, p, err := s.Get(ctx, f[1], 0)
			switch {
			case errors.Is(err, online.ErrDenied):
				answer = "denied"
			case errors.Is(err, online.ErrNotFound):
				answer = "not found"
			case err != nil:
				return err
			default:
				answer = fmt.Sprintf("%s of %d", e.Value, p.Generation)
			}
		case "deny":
			err = s.Deny(ctx, f[1])
		case "swap":
			var p online.Pointer
			if _, err := fmt.Sscan(f[1]+" "+f[2], &p.Generation, &p.Fence); err != nil {
				return err
			}
			err = s.Swap(ctx, p)
		}
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return in.Err()
}

// TestTwoProcesses shows that what one process does, the next lookup of another sees.
func TestTwoProcesses(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir, online.Options{})
	for g := range uint64(2) {
		value := fmt.Appendf(nil, "v%d", g)
		onlinetest.Load(t, s, g, online.Entry{Key: "k/1", Owner: "o1", Value: value}, online.Entry{Key: "k/2", Owner: "o2", Value: value}, online.Entry{Key: "k/3", Owner: "o3", Value: value})
	}
	if err := s.Swap(ctx, online.Pointer{Generation: 0, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "RAPPORT_ONLINE_CHILD=talk", "RAPPORT_ONLINE_DIR="+dir)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	answers := bufio.NewScanner(out)
	ask := func(command, want string) {
		t.Helper()
		fmt.Fprintln(in, command)
		if !answers.Scan() || answers.Text() != want {
			t.Fatalf("%s: the child answered %q, want %q", command, answers.Text(), want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ask("get k/1", "v0 of 0")
	must(s.Deny(ctx, "o1"))
	ask("get k/1", "denied")
	must(s.Allow(ctx, "o1"))
	ask("get k/1", "v0 of 0")
	must(s.Swap(ctx, online.Pointer{Generation: 1, Fence: 2}))
	ask("get k/1", "v1 of 1")
	_, err = s.Erase(ctx, "o3")
	must(err)
	ask("get k/3", "not found")
	ask("get k/2", "v1 of 1")
	ask("deny o2", "done")
	if _, _, err := s.Get(ctx, "k/2", 0); !errors.Is(err, online.ErrDenied) {
		t.Fatalf("get of what the child denied: %v", err)
	}
	ask("swap 0 3", "done")
	if e, p, err := s.Get(ctx, "k/1", 0); err != nil || string(e.Value) != "v0" || p.Fence != 3 {
		t.Fatalf("after the child's rollback: %q %v %v", e.Value, p, err)
	}
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 2}); !errors.Is(err, online.ErrFenced) {
		t.Fatalf("swap with an old fence: %v", err)
	}
	for i := range 50 {
		owner := fmt.Sprint("passing-", i)
		must(s.Deny(ctx, owner, "o1"))
		ask("get k/1", "denied")
		must(s.Allow(ctx, owner, "o1"))
		ask("get k/1", "v0 of 0")
	}
}
