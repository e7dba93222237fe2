package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	ok, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// run carries out each group of arguments and reports whether all is well.
func run(args []string, stdout, stderr io.Writer) (bool, error) {
	s := newSummary(stdout)
	var failed error
	for group := range split(args) {
		cmd := exec.Command("go", append([]string{"test", "-json"}, group...)...)
		cmd.Stderr = stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return false, err
		}
		if err := cmd.Start(); err != nil {
			return false, err
		}
		readErr := s.read(out)
		if readErr != nil {
			io.Copy(io.Discard, out) // so that go test can end; what it said no longer counts
		}
		if err := cmd.Wait(); err != nil {
			err = fmt.Errorf("go test %s: %w", strings.Join(group, " "), err)
			failed = errors.Join(failed, err)
		}
		failed = errors.Join(failed, readErr)
	}
	s.close()
	return failed == nil && s.failed == 0 && s.passed > 0, failed
}

// split yields the groups between "--".
func split(args []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for {
			i := slices.Index(args, "--")
			if i < 0 {
				yield(args)
				return
			}
			if !yield(args[:i]) {
				return
			}
			args = args[i+1:]
		}
	}
}

// event is one line of `go test -json` (go doc cmd/test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that does not build
	Test       string
	Output     string
}

// summary counts tests, subtests among them, and prints packages as they end.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	packages                map[string]*pkg
}

// pkg is what is held of a package that is still running.
type pkg struct {
	own    strings.Builder             // output of no test
	tests  map[string]*strings.Builder // output of each test that has not passed
	failed []string
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, packages: map[string]*pkg{}}
}

// read takes one event stream to its end.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				s.add(e)
			} else { // go's own words, as on a broken go.mod
				s.out.Write(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read go test: %w", err)
		}
	}
}

func (s *summary) add(e event) {
	p := s.at(cmp.Or(e.Package, e.ImportPath))
	switch e.Action {
	case "output", "build-output":
		p.to(e.Test).WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.end(e, p)
			return
		}
		s.count(e.Action)
		if e.Action == "fail" {
			p.failed = append(p.failed, e.Test)
		} else {
			delete(p.tests, e.Test)
		}
	case "build-fail":
		fmt.Fprint(s.out, p.own.String())
		p.own.Reset()
	}
}

func (s *summary) count(action string) {
	switch action {
	case "pass":
		s.passed++
	case "fail":
		s.failed++
	case "skip":
		s.skipped++
	}
}

// end prints a package that has ended and forgets it.
func (s *summary) end(e event, p *pkg) {
	delete(s.packages, e.Package)
	if e.Action == "fail" {
		if len(p.failed) == 0 { // it did not build, or died outside a test
			s.failed++
		}
		for _, name := range p.failed {
			fmt.Fprint(s.out, p.to(name).String())
			delete(p.tests, name)
		}
		for _, b := range p.tests { // what ran when the process died
			fmt.Fprint(s.out, b.String())
		}
		fmt.Fprint(s.out, p.own.String())
		return
	}
	for line := range strings.Lines(p.own.String()) {
		if strings.HasPrefix(line, "ok  \t") && !strings.Contains(line, "[no tests to run]") {
			fmt.Fprint(s.out, line)
		}
	}
}

// close prints packages that never ended, and the count.
func (s *summary) close() {
	for name, p := range s.packages {
		if p.own.Len() > 0 || len(p.tests) > 0 {
			s.failed++
			fmt.Fprintf(s.out, "%sFAIL\t%s\tnever ended\n", p.own.String(), name)
		}
	}
	fmt.Fprintf(s.out, "%d passed, %d failed", s.passed, s.failed)
	if s.skipped > 0 {
		fmt.Fprintf(s.out, ", %d skipped", s.skipped)
	}
	fmt.Fprintln(s.out)
}

func (s *summary) at(name string) *pkg {
	p := s.packages[name]
	if p == nil {
		p = &pkg{tests: map[string]*strings.Builder{}}
		s.packages[name] = p
	}
	return p
}

func (p *pkg) to(test string) *strings.Builder {
	if test == "" {
		return &p.own
	}
	b := p.tests[test]
	if b == nil {
		b = &strings.Builder{}
		p.tests[test] = b
	}
	return b
}
