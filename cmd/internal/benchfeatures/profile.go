package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// works are kinds of work by the function that does it: of a sample's stack, innermost first, the first frame that holds one of the words decides.
// The runtime's own frames decide nothing but where it collects garbage, so that a copy or an allocation belongs to who asked for it. What the
// engine does in a function that has no place here stands under its name.
var works = []struct{ words, name string }{
	{"gcBgMarkWorker bgsweep bgscavenge gcAssist", "garbage collection"},
	{"klauspost/compress golang/snappy parquet-go/compress", "decompression"},
	{"crypto/sha256 hash/crc32", "checksums"},
	{"storage/table. parquet-go arrow-go", "decoding"},
	{"rapport/storage. syscall. internal/poll", "reading files"},
	{"main.(*answer)", "keeping the answer"},
	{"local.(*buffer) ).put local.(*partition).rows", "putting rows out"},
	{"local.(*reader) local.(*masker) local.(*scatter) local.newScatter local.hash local.(*numbering) local.(*numberShard) local.(*lately) aggregate.Hash", "hashing and scattering"},
	{"local.(*entities)", "finding entities"},
	{"local/internal/words.", "columns of words"},
	{"local.(*classState) local.(*pairs) local.(*shelf) local.(*shared) features/aggregate.", "aggregation"},
}

// shares runs a task once more under the profiler and says what share of the processor's time each kind of work took.
func (b *bench) shares(ctx context.Context, name string, t task) error {
	t.Profile = filepath.Join(b.dir, "cpu.profile")
	t.Answer = ""
	defer os.Remove(t.Profile)
	if _, err := delegate(ctx, t); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-unit=ms", t.Profile)
	cmd.Stderr = os.Stderr
	body, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	spent := sumTraces(body)
	total := time.Duration(0)
	for _, d := range spent {
		total += d
	}
	names := slices.SortedFunc(maps.Keys(spent), func(a, b string) int { return int(spent[b] - spent[a]) })
	var out []string
	rest := time.Duration(0)
	for i, n := range names {
		if share := 100 * float64(spent[n]) / float64(total); share >= 1 && i < 16 {
			out = append(out, fmt.Sprintf("%s %.0f %%", n, share))
		} else {
			rest += spent[n]
		}
	}
	b.Say(name, "of %.2f s of processor time: %s; the rest %.0f %%", total.Seconds(), strings.Join(out, ", "), 100*float64(rest)/float64(total))
	return nil
}

// sumTraces sums the samples that pprof -traces prints by kind of work. A trace is a block of lines between rules: the first has the time and
// the innermost frame, each further one a caller.
func sumTraces(body []byte) map[string]time.Duration {
	out := map[string]time.Duration{}
	var took time.Duration
	var stack []string
	flush := func() {
		if took > 0 && len(stack) > 0 {
			out[workOf(stack)] += took
		}
		took, stack = 0, nil
	}
	for s := bufio.NewScanner(bytes.NewReader(body)); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "-----") {
			flush()
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(line, "  ") {
			continue
		}
		if d, err := time.ParseDuration(words[0]); err == nil && len(words) > 1 {
			took, words = d, words[1:]
		}
		if took > 0 {
			stack = append(stack, words[0])
		}
	}
	flush()
	return out
}

func workOf(stack []string) string {
	for _, frame := range stack {
		for _, w := range works {
			if slices.ContainsFunc(strings.Fields(w.words), func(word string) bool { return strings.Contains(frame, word) }) {
				return w.name
			}
		}
		if _, function, ok := strings.Cut(frame, "rapport/features/"); ok {
			return function
		}
	}
	return "runtime"
}
