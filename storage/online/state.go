package online

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxState bounds the size of the file live.
const maxState = 64 << 20

// state is the content of the file live: everything that a rename must turn over at once.
type state struct {
	Format      int          `json:"format"`
	Live        *Pointer     `json:"live,omitempty"`
	Generations []generation `json:"generations"` // finished, ascending
}

// generation describes one finished table.
type generation struct {
	Number  uint64 `json:"generation"`
	File    string `json:"file"`
	Size    int64  `json:"size"`
	Entries uint64 `json:"entries"`
	Digest  string `json:"digest"`
}

var tableName = regexp.MustCompile(`^gen-[0-9]{20}-[0-9a-f]{16}\.sst$`)

// find returns the generation of that number, or nil.
func (s *state) find(number uint64) *generation {
	for i := range s.Generations {
		if s.Generations[i].Number == number {
			return &s.Generations[i]
		}
	}
	return nil
}

// put adds g, or replaces the generation of the same number.
func (s *state) put(g generation) {
	if old := s.find(g.Number); old != nil {
		*old = g
		return
	}
	s.Generations = append(s.Generations, g)
	slices.SortFunc(s.Generations, func(a, b generation) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
}

// isLive reports whether the generation of that number is live.
func (s *state) isLive(number uint64) bool { return s.Live != nil && s.Live.Generation == number }

// decodeState parses the content of the file live.
func decodeState(b []byte) (state, error) {
	line, rest, _ := bytes.Cut(b, []byte{'\n'})
	payload, ok := parseFrame(line)
	if !ok || len(rest) > 0 {
		return state{}, fmt.Errorf("%w: bad checksum", ErrCorrupt)
	}
	var s state
	if err := json.Unmarshal(payload, &s); err != nil {
		return state{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := checkFormat(s.Format); err != nil {
		return state{}, err
	}
	for i, g := range s.Generations {
		if !tableName.MatchString(g.File) || g.Size < 0 || i > 0 && s.Generations[i-1].Number >= g.Number {
			return state{}, fmt.Errorf("%w: generation %d is malformed", ErrCorrupt, g.Number)
		}
	}
	if s.Live != nil && s.find(s.Live.Generation) == nil {
		return state{}, fmt.Errorf("%w: generation %d is live but not listed", ErrCorrupt, s.Live.Generation)
	}
	return s, nil
}

// readState reads the state from an open file live.
func readState(f *os.File) (state, error) {
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(b) > maxState {
		err = fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, maxState)
	}
	var s state
	if err == nil {
		s, err = decodeState(b)
	}
	if err != nil {
		return state{}, fmt.Errorf("read %s (move it away and run `rapport online load` if it is damaged): %w", f.Name(), err)
	}
	return s, nil
}

// loadState reads the state of the folder; an absent file is the empty state.
func loadState(dir string) (state, error) {
	f, err := os.Open(filepath.Join(dir, "live"))
	if errors.Is(err, os.ErrNotExist) {
		return state{Format: formatNumber}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	return readState(f)
}

// saveState makes s the state of the folder. The caller holds the folder's lock.
func saveState(fs vfs.FS, dir string, s state) error {
	s.Format = formatNumber
	payload, err := json.Marshal(s)
	if err == nil {
		err = replaceFile(fs, dir, "live", appendFrame(nil, payload))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, "live"), writing(err))
	}
	return nil
}

// replaceFile gives the file dir/name a new content durably and in one step. The caller holds a lock that keeps other
// writers of this name away.
func replaceFile(fs vfs.FS, dir, name string, content []byte) error {
	temp := filepath.Join(dir, name+".tmp")
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fs.Rename(temp, filepath.Join(dir, name))
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	return err
}

// syncDir makes the names in dir durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
