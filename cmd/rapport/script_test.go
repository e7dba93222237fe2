package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rapport-ml/rapport/storage"
)

// TestMain lets scripts run this binary as rapport, in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rapport": main})
}

// TestScript works as a user does, at a shell. Besides testscript's own commands there are
//
//	shop [-ran] DIR           a project over the small world, at the night after its last day but one; with -ran that night has been run
//	exits CODE CMD ARGS...    run a command, which must end with this exit code
//	interrupts SIG STEP CMD…  run a command, signal it when it reports a step, and expect exit code 130
//	keys FILE PATH...         FILE (or stdout) holds JSON with something at each path: .steps[].name means in every element
//	remember VAR FILE KEY     set a variable to the text at a top-level key of JSON
//	edit FILE OLD NEW         replace text that must be there; by what stands in a file, if NEW is @FILE
//	truncate FILE             cut a file to half
//	spoil FILE HOW            rewrite a Parquet file: see spoil
//	messy DIR                 14 days of nested events, as an exporter might write them
//	hold DIR KEY              take a lease in a bucket as a process of another machine
func TestScript(t *testing.T) {
	world := sync.OnceValues(func() (string, error) { return makeShop(t) }) // what shop copies
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"shop": func(ts *testscript.TestScript, _ bool, args []string) {
				from, err := world()
				ts.Check(err)
				dir := args[len(args)-1]
				ts.Check(os.CopyFS(ts.MkAbs(dir), os.DirFS(from)))
				if args[0] == "-ran" {
					ts.Check(ts.Exec("rapport", "-c", filepath.Join(dir, projectFile), "run", "nightly"))
				}
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					var exit *exec.ExitError
					if !errors.As(err, &exit) {
						ts.Fatalf("%v", err)
					}
					got = exit.ExitCode()
				}
				if got != want {
					ts.Fatalf("exit code %d, want %d", got, want)
				}
			},
			"interrupts": interrupts,
			"messy": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(messy(ts.MkAbs(args[0])))
			},
			"keys": func(ts *testscript.TestScript, _ bool, args []string) {
				var v any
				if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
					ts.Fatalf("%s is no JSON: %v", args[0], err)
				}
				for _, path := range args[1:] {
					if at := missing(v, path); at != "" {
						ts.Fatalf("%s: nothing at %s", args[0], at)
					}
				}
			},
			"remember": func(ts *testscript.TestScript, _ bool, args []string) {
				var v map[string]any
				if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &v); err != nil {
					ts.Fatalf("%s is no JSON object: %v", args[1], err)
				}
				text, ok := v[args[2]].(string)
				if !ok {
					ts.Fatalf("%s: no text at %s", args[1], args[2])
				}
				ts.Setenv(args[0], text)
			},
			"edit": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(args[0])
				if !strings.Contains(text, args[1]) {
					ts.Fatalf("%s has no %q", args[0], args[1])
				}
				by := args[2]
				if file, ok := strings.CutPrefix(by, "@"); ok {
					by = ts.ReadFile(file)
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], by)), 0o644))
			},
			"truncate": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.Truncate(ts.MkAbs(args[0]), int64(len(ts.ReadFile(args[0]))/2)))
			},
			"spoil": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(spoil(ts.MkAbs(args[0]), args[1]))
			},
			"hold": func(ts *testscript.TestScript, _ bool, args []string) {
				b, err := storage.Open(t.Context(), "file:"+ts.MkAbs(args[0]), storage.Options{})
				ts.Check(err)
				_, err = storage.Acquire(t.Context(), b, args[1], "another-machine pid 7", time.Hour, time.Now)
				ts.Check(err)
			},
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("USER", "script")
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}

// makeShop makes the folder that scripts copy.
func makeShop(t *testing.T) (string, error) {
	dir := t.TempDir()
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "raw"), storage.Options{})
	if err != nil {
		return "", err
	}
	if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
		return "", err
	}
	last, before := nightAfter(smallWorld.Days-1).Format(time.RFC3339), nightAfter(smallWorld.Days-2).Format(time.RFC3339)
	text := projectYAML(t, "file:./raw/", "file:./lake")
	for _, r := range [][2]string{{last, before}, {"als, content]", "als: {dim: 8, epochs: 3}]"}} {
		if !strings.Contains(text, r[0]) {
			return "", errors.New("the project has no " + r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	writeProject(t, dir, text)
	return dir, nil
}

// interrupts starts a command and signals it as soon as its progress names a step.
func interrupts(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL}
	sig, step := signals[args[0]], args[1]
	if sig == nil {
		ts.Fatalf("no signal %s", args[0])
	}
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	progress, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var text strings.Builder
	sent := false
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if !sent && strings.HasPrefix(lines.Text(), step) {
			sent = true
			ts.Check(cmd.Process.Signal(sig))
		}
	}
	err = cmd.Wait()
	io.WriteString(ts.Stderr(), text.String())
	ts.Logf("%s", text.String())
	if !sent {
		ts.Fatalf("it never reported %s", step)
	}
	want := exitInterrupted
	if sig == syscall.SIGKILL {
		want = -1 // it had no say
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		ts.Fatalf("exit code %d (%v), want %d", code, err, want)
	}
}

// missing returns the part of path at which v holds nothing, or "". A path is .key and [] (every element, of which there must be one).
func missing(v any, path string) string {
	rest := path
	for rest != "" {
		if after, ok := strings.CutPrefix(rest, "[]"); ok {
			list, ok := v.([]any)
			if !ok || len(list) == 0 {
				return path
			}
			for _, e := range list {
				if missing(e, after) != "" {
					return path
				}
			}
			return ""
		}
		key := rest[1:]
		if end := strings.IndexAny(key, ".["); end >= 0 {
			key, rest = key[:end], key[end:]
		} else {
			rest = ""
		}
		m, ok := v.(map[string]any)
		if !ok {
			return path
		}
		if v, ok = m[key]; !ok {
			return path
		}
	}
	return ""
}

// eventRow is a row of the synthetic events, as far as scripts need it.
type eventRow struct {
	User    string   `parquet:"user_id"`
	SKU     string   `parquet:"sku"`
	At      int64    `parquet:"ts,timestamp(microsecond)"`
	Action  string   `parquet:"action"`
	Amount  *float64 `parquet:"amount,optional"`
	Device  string   `parquet:"device"`
	Channel string   `parquet:"channel"`
}

// spoil rewrites a file of events: "no-user" drops the subject column, "text-amount" and "text-time" turn numbers into text, "strangers"
// makes every subject one whom nobody has a record of, "headless" empties every subject. "half" drops every other row of any file. "twice" has every row two times; "noisy"
// has in each 40 rows an amount that is no number, a device that nobody has, a time of 1970, and in half of the others no amount.
func spoil(path, how string) error {
	switch how {
	case "no-user":
		type row struct {
			SKU    string `parquet:"sku"`
			At     int64  `parquet:"ts,timestamp(microsecond)"`
			Action string `parquet:"action"`
		}
		return rewrite(path, func(e eventRow) row { return row{e.SKU, e.At, e.Action} })
	case "text-amount":
		type row struct {
			User    string `parquet:"user_id"`
			SKU     string `parquet:"sku"`
			At      int64  `parquet:"ts,timestamp(microsecond)"`
			Action  string `parquet:"action"`
			Amount  string `parquet:"amount"`
			Device  string `parquet:"device"`
			Channel string `parquet:"channel"`
		}
		return rewrite(path, func(e eventRow) row { return row{e.User, e.SKU, e.At, e.Action, "dear", e.Device, e.Channel} })
	case "text-time":
		type row struct {
			User    string   `parquet:"user_id"`
			SKU     string   `parquet:"sku"`
			At      string   `parquet:"ts"`
			Action  string   `parquet:"action"`
			Amount  *float64 `parquet:"amount,optional"`
			Device  string   `parquet:"device"`
			Channel string   `parquet:"channel"`
		}
		return rewrite(path, func(e eventRow) row { return row{e.User, e.SKU, "soon", e.Action, e.Amount, e.Device, e.Channel} })
	case "strangers":
		return rewrite(path, func(e eventRow) eventRow { e.User = "stranger " + e.User; return e })
	case "headless":
		return rewrite(path, func(e eventRow) eventRow { e.User = ""; return e })
	case "half":
		return halve(path)
	case "twice":
		rows, err := parquet.ReadFile[eventRow](path)
		if err != nil {
			return err
		}
		return parquet.WriteFile(path, slices.Concat(rows, rows))
	case "noisy":
		n, none := 0, math.NaN()
		return rewrite(path, func(e eventRow) eventRow {
			switch n++; {
			case n%40 == 0:
				e.Amount = &none
			case n%40 == 1:
				e.Device = "fridge"
			case n%40 == 2:
				e.At = 0
			case n%2 == 0:
				e.Amount = nil
			}
			return e
		})
	}
	return fmt.Errorf("spoil: no way %q", how)
}

func rewrite[T any](path string, change func(eventRow) T) error {
	rows, err := parquet.ReadFile[eventRow](path)
	if err != nil {
		return err
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = change(r)
	}
	return parquet.WriteFile(path, out)
}

func halve(path string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	in, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w := parquet.NewWriter(&out, in.Schema())
	n := 0
	for _, g := range in.RowGroups() {
		rows := g.Rows()
		for buf := make([]parquet.Row, 1); ; n++ {
			got, err := rows.ReadRows(buf)
			if got == 1 && n%2 == 0 {
				if _, err := w.WriteRows(buf); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
