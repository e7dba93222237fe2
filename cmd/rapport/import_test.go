package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each edition of MovieLens becomes a project that validates, trains and publishes as it is.
func TestImportMovieLensRuns(t *testing.T) {
	for _, edition := range []string{"ml-100k", "ml-1m", "ml-csv"} {
		t.Run(edition, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), edition)
			work := func(want string, args ...string) {
				t.Helper()
				var out, log bytes.Buffer
				if code := run(t.Context(), args, os.Getenv, strings.NewReader("3\n"), &out, &log); code != exitOK || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "FAULT") {
					t.Fatalf("%v: exit code %d, %q is not in\n%s%s", args, code, want, &out, &log)
				}
			}
			project := filepath.Join(dir, projectFile)
			work("declared-by-operator", "import", "movielens", "../internal/importer/testdata/movielens/"+edition, "--to", dir)
			work("source items", "-c", project, "validate")
			work("generation 1", "-c", project, "run", "nightly")
			work("personal list", "-c", project, "recommend", "--ids", "-")
		})
	}
}
