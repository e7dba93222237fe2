package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
)

var update = flag.Bool("update", false, "write the golden files anew")

const logicGolden = "testdata/logic.golden"

// TestLogicNumbers compares what each step of two nights makes with testdata/logic.golden: a line a step, its key and a hash of its tables' digests
// and its facts. A key that stands there must make what stands there: whoever changes a step's output raises its logic number in
// jobs/keys.go, and so its key. -update refuses the same.
func TestLogicNumbers(t *testing.T) {
	// Computed numbers differ in their last bits from one kind of processor to another.
	class := fmt.Sprintf("# %s %s", runtime.GOARCH, models.KernelClass())
	s := newShop(t, smallWorld)
	s.night(6)
	s.night(7)
	now := map[string]string{}
	for key, made := range s.outcome().Steps {
		now[key] = fmt.Sprintf("%x", sha256.Sum256([]byte(made)))[:32]
	}

	golden, ours := readGolden(t, class)
	for key, made := range now {
		name, _, _ := strings.Cut(key, "/")
		exact := slices.Contains([]string{"ingest", "items", "subjects", "cohorts", "consent"}, name)
		switch want, ok := golden[key]; {
		case !ours && !exact: // another kind of processor made the file
		case ok && want != made:
			t.Errorf("%s makes %s, it made %s: raise the logic number of %s in jobs/keys.go", key, made, want, name)
		case !ok && !*update:
			t.Errorf("%s is not in %s: if this is meant, go test ./cmd/rapport -run LogicNumbers -update", key, logicGolden)
		}
	}
	if *update && !t.Failed() {
		var out bytes.Buffer
		fmt.Fprintln(&out, class)
		for _, key := range slices.Sorted(maps.Keys(now)) {
			fmt.Fprintln(&out, key, now[key])
		}
		if err := os.MkdirAll(filepath.Dir(logicGolden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(logicGolden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readGolden returns the golden lines by key, and whether they were made by this class of processor.
func readGolden(t *testing.T, class string) (lines map[string]string, ours bool) {
	t.Helper()
	body, err := os.ReadFile(logicGolden)
	if err != nil && !(*update && os.IsNotExist(err)) {
		t.Fatal(err)
	}
	lines = map[string]string{}
	in := bufio.NewScanner(bytes.NewReader(body))
	for in.Scan() {
		if strings.HasPrefix(in.Text(), "#") {
			ours = in.Text() == class
			continue
		}
		key, made, _ := strings.Cut(in.Text(), " ")
		lines[key] = made
	}
	return lines, ours || len(lines) == 0
}

// TestNewBinaryPlansNothing: another revision of the code, with the same logic numbers, has nothing to do over a year of days.
func TestNewBinaryPlansNothing(t *testing.T) {
	year := synth.World{Users: 20, Items: 30, Days: 365, Seed: 3, EventsPerUser: 365, Start: smallWorld.Start}
	s := newShop(t, year)
	s.job.Window, s.job.Floor = 365*24*time.Hour, 0 // few people: some days are quiet
	s.night(364)
	s.runner = s.newRunner(s.opened.Bucket, "new")
	s.runner.Revision = "another revision"
	p := s.plan(364)
	days := 0
	for _, step := range p.Steps {
		if step.Name == "ingest" {
			days++
		}
	}
	if days != 365 || p.ToDo != 0 {
		t.Errorf("over %d days, %d steps are to do: %v", days, p.ToDo, toDo(p))
	}
	if res := s.night(364); !res.Nothing {
		t.Error("the new binary did something")
	}
}
