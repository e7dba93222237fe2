package online

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// compactAfter is the number of log records beyond which the log is rewritten as one.
const compactAfter = 1000

// denySet holds names of owners, and the ErasedNames of erased ones.
type denySet struct {
	names  map[string]struct{}
	erased int // how many of names are ErasedNames
}

func (s *denySet) has(owner string) bool {
	if _, ok := s.names[owner]; ok {
		return true
	}
	return s.erased > 0 && s.hasErased(owner)
}

func (s *denySet) hasErased(owner string) bool {
	_, ok := s.names[ErasedName(owner)]
	return ok
}

func (s *denySet) add(name string) {
	if _, ok := s.names[name]; ok {
		return
	}
	if s.names == nil {
		s.names = make(map[string]struct{})
	}
	s.names[name] = struct{}{}
	if strings.HasPrefix(name, erasedPrefix) {
		s.erased++
	}
}

func (s *denySet) remove(name string) {
	if _, ok := s.names[name]; !ok {
		return
	}
	delete(s.names, name)
	if strings.HasPrefix(name, erasedPrefix) {
		s.erased--
	}
}

func (s *denySet) apply(r denyRecord) {
	for _, name := range r.Deny {
		s.add(name)
	}
	for _, name := range r.Allow {
		s.remove(name)
	}
}

// denyRecord is one line of the log: the format in the first one, a change in every other.
type denyRecord struct {
	Format int      `json:"format,omitempty"`
	Deny   []string `json:"deny,omitempty"`
	Allow  []string `json:"allow,omitempty"`
}

// replay applies the lines of b, the log from its start (atStart) or from the end of a line, to the set. It returns the number of bytes and
// records applied; bytes beyond them are a torn tail: a record whose writer died, which was never acknowledged. Its sign is a missing
// newline, or a run of NULs (a page that never reached the disk). Any other fault is damage.
func (s *denySet) replay(b []byte, atStart bool) (valid, records int, err error) {
	for valid < len(b) {
		line, rest, complete := bytes.Cut(b[valid:], []byte{'\n'})
		if !complete && !changedNewline(line) {
			break
		}
		payload, ok := parseFrame(line)
		if !ok && len(rest) == 0 && bytes.Contains(line, lostPage) {
			break
		}
		var r denyRecord
		if !ok || json.Unmarshal(payload, &r) != nil {
			return valid, records, fmt.Errorf("%w: bad record at byte %d", ErrCorrupt, valid)
		}
		if atStart && valid == 0 {
			if err := checkFormat(r.Format); err != nil {
				return valid, records, err
			}
		}
		s.apply(r)
		valid += len(line) + 1
		records++
	}
	if atStart && records == 0 {
		return 0, 0, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	return valid, records, nil
}

// lostPage is what a page that never reached the disk reads as, in part.
var lostPage = make([]byte, 64)

// changedNewline reports whether line is a whole record and one more byte, which was its newline.
func changedNewline(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	_, ok := parseFrame(line[:len(line)-1])
	return ok
}

// denyLog reads and writes the deny set in the file denied. The reading side keeps the file open and reads only what is new.
type denyLog struct {
	fs  vfs.FS
	dir string

	mu    sync.RWMutex
	file  *os.File // held open so that its inode number cannot be given to a successor
	info  os.FileInfo
	seen  int64 // the file's size when it was read last
	valid int64 // up to where records have been applied
	set   denySet
	// records counts those applied, so that a long log is noticed.
	records int
}

func (l *denyLog) path() string { return filepath.Join(l.dir, "denied") }

// hint wraps an error of reading the log.
func (l *denyLog) hint(err error) error {
	return fmt.Errorf("read the deny log %s (if it is damaged, move it away and run `rapport online load`, which denies again "+
		"whom the policy journal denies): %w", l.path(), err)
}

// with calls f on the deny set as it is on disk now. f must not keep the set.
func (l *denyLog) with(f func(*denySet)) error {
	info, err := os.Stat(l.path())
	if errors.Is(err, os.ErrNotExist) {
		f(new(denySet))
		return nil
	}
	if err != nil {
		return l.hint(err)
	}
	l.mu.RLock()
	if l.current(info) {
		f(&l.set)
		l.mu.RUnlock()
		return nil
	}
	l.mu.RUnlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refresh(); err != nil {
		l.forget()
		if errors.Is(err, os.ErrNotExist) {
			f(new(denySet))
			return nil
		}
		return l.hint(err)
	}
	f(&l.set)
	return nil
}

func (l *denyLog) current(info os.FileInfo) bool {
	return l.file != nil && os.SameFile(l.info, info) && info.Size() == l.seen
}

// refresh reads what the log has gained: its new end, or the whole of a new file.
func (l *denyLog) refresh() error {
	info, err := os.Stat(l.path())
	if err != nil {
		return err
	}
	if l.current(info) {
		return nil
	}
	if l.file == nil || !os.SameFile(l.info, info) || info.Size() < l.seen {
		l.forget()
		if l.file, err = os.Open(l.path()); err != nil {
			return err
		}
		if l.info, err = l.file.Stat(); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(l.file, l.valid, 1<<62))
	if err != nil {
		return err
	}
	n, records, err := l.set.replay(b, l.valid == 0)
	l.seen = l.valid + int64(len(b))
	l.valid += int64(n)
	l.records += records
	return err
}

// forget closes the file and empties the set.
func (l *denyLog) forget() {
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.info, l.seen, l.valid, l.set, l.records = nil, nil, 0, 0, denySet{}, 0
}

func (l *denyLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
}

// deny adds owners, unless they are denied already (an erased owner's name is not brought back).
func (l *denyLog) deny(ctx context.Context, owners []string) error {
	return l.write(ctx, false, func(s *denySet) (r denyRecord) {
		for _, o := range owners {
			if !s.has(o) {
				r.Deny = append(r.Deny, o)
			}
		}
		return r
	})
}

// allow takes owners out, under their names and as erased ones.
func (l *denyLog) allow(ctx context.Context, owners []string) error {
	return l.write(ctx, false, func(s *denySet) (r denyRecord) {
		for _, o := range owners {
			for _, name := range []string{o, ErasedName(o)} {
				if _, ok := s.names[name]; ok {
					r.Allow = append(r.Allow, name)
				}
			}
		}
		return r
	})
}

// erase keeps owners denied by digest and rewrites the log, so that their names stand nowhere in it.
func (l *denyLog) erase(ctx context.Context, owners []string) error {
	return l.write(ctx, true, func(*denySet) (r denyRecord) {
		for _, o := range owners {
			r.Deny = append(r.Deny, ErasedName(o))
			r.Allow = append(r.Allow, o)
		}
		return r
	})
}

// write changes the set on disk, under the log's lock, by the record that change makes of the present set: appended, or, where that is asked for,
// due or unavoidable, as a new file.
func (l *denyLog) write(ctx context.Context, rewrite bool, change func(*denySet) denyRecord) error {
	if err := makeDir(l.fs, l.dir); err != nil {
		return err
	}
	release, err := lock(ctx, filepath.Join(l.dir, "denied.lock"))
	if err != nil {
		return err
	}
	defer release()

	r, end, next, err := l.plan(rewrite, change)
	if err != nil {
		return err
	}
	if next != nil {
		err = replaceFile(l.fs, l.dir, "denied", encodeDenyLog(next))
	} else if len(r.Deny)+len(r.Allow) > 0 {
		err = l.append(end, r)
	}
	if err != nil {
		return fmt.Errorf("write the deny log %s: %w", l.path(), writing(err))
	}
	return nil
}

// plan says what a writer, who holds the log's lock, has to do: append r at end, or, if next is not nil, write the log anew. Lookups
// go on while it does so.
func (l *denyLog) plan(rewrite bool, change func(*denySet) denyRecord) (r denyRecord, end int64, next *denySet, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refresh(); err != nil {
		l.forget()
		if !errors.Is(err, os.ErrNotExist) {
			return r, 0, nil, l.hint(err)
		}
		rewrite = true
	}
	r = change(&l.set)
	torn := l.valid < l.seen
	if rewrite || torn || l.records > compactAfter+2*len(l.set.names) {
		next = &denySet{names: maps.Clone(l.set.names), erased: l.set.erased}
		next.apply(r)
	}
	return r, l.seen, next, nil
}

// append adds one record at the end of the log, which is at off.
func (l *denyLog) append(off int64, r denyRecord) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := l.fs.OpenReadWrite(l.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(appendFrame(nil, payload), off)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// encodeDenyLog returns the shortest log of the set.
func encodeDenyLog(s *denySet) []byte {
	header, _ := json.Marshal(denyRecord{Format: formatNumber}) // cannot fail: plain fields
	b := appendFrame(nil, header)
	if len(s.names) > 0 {
		body, _ := json.Marshal(denyRecord{Deny: slices.Sorted(maps.Keys(s.names))}) // nor can this
		b = appendFrame(b, body)
	}
	return b
}
