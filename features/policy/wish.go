package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Wish is one record of what a subject wants of its lists.
type Wish struct {
	Subject Subject
	Name    WishName
	Value   string
	At      time.Time // from when
}

// WishName says what a wish is about.
type WishName string

// The wishes. Of each the newest record counts (of those that name an item or an attribute=level, the newest of each).
const (
	WishLevel   WishName = "level"       // off: the list not based on profiling; broad: a list by levels of one attribute; full
	WishPause   WishName = "pause"       // on: as level off, until off
	WishReset   WishName = "reset"       // what was known before is as if it had never been
	WishExclude WishName = "exclude"     // no item with this attribute=level
	WishInclude WishName = "include"     // takes an exclude back
	WishForget  WishName = "forget"      // what was known of this item before is as if it had never been
	WishLess    WishName = "less"        // less of this item, or of items with this attribute=level: further down, and not out
	WishUsual   WishName = "usual"       // takes a less back
	WishPrefer  WishName = "prefer"      // new: items that the subject has not had, and those that are new to everybody, further up; usual: no longer
	WishDown    WishName = "thumbs-down" // this item no more
	WishUp      WishName = "thumbs-up"   // takes a thumbs-down back
)

// WishNames are all of them.
var WishNames = []WishName{WishLevel, WishPause, WishReset, WishExclude, WishInclude, WishForget, WishLess, WishUsual, WishPrefer, WishDown, WishUp}

// The values of WishPrefer.
const (
	PreferNew   = "new"
	PreferUsual = "usual"
)

// Level is how much of a subject a list may be made of.
type Level string

// The levels.
const (
	Off   Level = "off"
	Broad Level = "broad"
	Full  Level = "full"
)

// Check reports a value that its wish does not take. A level or a pause that is not known is none: it is read as the most careful one.
func (w Wish) Check() error {
	if !slices.Contains(WishNames, w.Name) {
		// The word is not told: where columns or fields are mixed up it is a person's id.
		return fmt.Errorf("the preference is not known: want one of %s", strings.Join(wishNames(), ", "))
	}
	switch w.Name {
	case WishExclude, WishInclude:
		if column, level, ok := strings.Cut(w.Value, "="); !ok || column == "" || level == "" {
			return fmt.Errorf("the value of preference %s must be ATTRIBUTE=LEVEL, as category=gift", w.Name)
		}
	case WishForget, WishDown, WishUp:
		if w.Value == "" {
			return fmt.Errorf("the value of preference %s must be an item", w.Name)
		}
	case WishLess, WishUsual:
		if w.Value == "" {
			return fmt.Errorf("the value of preference %s must be an item, or ATTRIBUTE=LEVEL, as category=gift", w.Name)
		}
	case WishPrefer:
		if w.Value != PreferNew && w.Value != PreferUsual {
			return fmt.Errorf("the value of preference %s must be %s, or %s, which takes that back", w.Name, PreferNew, PreferUsual)
		}
	}
	return nil
}

func wishNames() []string {
	var out []string
	for _, n := range WishNames {
		out = append(out, string(n))
	}
	return out
}

// Compare orders wishes by subject, time, name and value, of which the last counts.
func (w Wish) Compare(o Wish) int {
	return cmp.Or(cmp.Compare(w.Subject, o.Subject), w.At.Compare(o.At), cmp.Compare(w.Name, o.Name), cmp.Compare(w.Value, o.Value))
}

// Wants is what one subject wants, as of one time. The zero value wants nothing in particular.
type Wants struct {
	Level   Level            // "" is Full
	Paused  bool             // as Off
	Since   int64            // µs: what was known before does not count; 0: all does
	Exclude []string         // attribute=level, ascending
	Forget  map[string]int64 // item → µs before which it does not count
	Down    []string         // items that stand in no list, ascending
	Less    []string         // items, or attribute=level, ascending
	New     bool             // rather what is new
}

// Unprofiled reports whether the subject wants the list not based on profiling.
func (w Wants) Unprofiled() bool { return w.Paused || w.Level == Off }

// Wishes is what every subject wants.
type Wishes map[Subject]Wants

// Wanted returns what the records that are in force by now come to. Records may come in any order and more than once; of two of one time and
// wish the more careful one counts. O(n log n).
func Wanted(now time.Time, records []Wish) Wishes {
	sorted := slices.SortedFunc(slices.Values(records), Wish.Compare)
	out := Wishes{}
	type topic struct {
		subject Subject
		name    WishName
		value   string
	}
	at := map[topic]time.Time{}
	newer := func(t topic, w Wish, careful bool) bool { // whether w replaces what is known of t
		last, ok := at[t]
		if ok && last.Equal(w.At) && !careful {
			return false
		}
		at[t] = w.At
		return true
	}
	excluded, down, less := stands{}, stands{}, stands{}
	for _, w := range sorted {
		if w.At.After(now) {
			continue
		}
		s := out[w.Subject]
		switch w.Name {
		case WishLevel:
			level := Level(w.Value)
			if level != Broad && level != Full {
				level = Off
			}
			if newer(topic{w.Subject, WishLevel, ""}, w, level == Off || level == Broad && s.Level != Off) {
				s.Level = level
			}
		case WishPause:
			if on := w.Value != "off"; newer(topic{w.Subject, WishPause, ""}, w, on) {
				s.Paused = on
			}
		case WishReset:
			s.Since = max(s.Since, w.At.UnixMicro())
		case WishExclude, WishInclude:
			if on := w.Name == WishExclude; newer(topic{w.Subject, WishExclude, w.Value}, w, on) {
				excluded.set(w.Subject, w.Value, on)
			}
		case WishDown, WishUp:
			if on := w.Name == WishDown; newer(topic{w.Subject, WishDown, w.Value}, w, on) {
				down.set(w.Subject, w.Value, on)
			}
		case WishLess, WishUsual:
			if on := w.Name == WishLess; newer(topic{w.Subject, WishLess, w.Value}, w, on) {
				less.set(w.Subject, w.Value, on)
			}
		case WishPrefer:
			if on := w.Value == PreferNew; newer(topic{w.Subject, WishPrefer, ""}, w, !on) {
				s.New = on
			}
		case WishForget:
			if s.Forget == nil {
				s.Forget = map[string]int64{}
			}
			s.Forget[w.Value] = max(s.Forget[w.Value], w.At.UnixMicro())
		}
		out[w.Subject] = s
	}
	for subject, s := range out {
		s.Exclude, s.Down, s.Less = excluded.of(subject), down.of(subject), less.of(subject)
		out[subject] = s
	}
	return out
}

// stands says of what a subject has named whether it stands.
type stands map[Subject]map[string]bool

func (s stands) set(subject Subject, value string, on bool) {
	if s[subject] == nil {
		s[subject] = map[string]bool{}
	}
	s[subject][value] = on
}

// of returns what stands of a subject's, ascending.
func (s stands) of(subject Subject) (out []string) {
	for _, v := range slices.Sorted(maps.Keys(s[subject])) {
		if s[subject][v] {
			out = append(out, v)
		}
	}
	return out
}

// Digest is a hash of what everybody wants; "" if nobody has said anything.
func (w Wishes) Digest() string {
	if len(w) == 0 {
		return ""
	}
	h := sha256.New()
	for _, s := range slices.Sorted(maps.Keys(w)) {
		x := w[s]
		fmt.Fprintf(h, "%d %q %t %d %q\n", s, x.Level, x.Paused, x.Since, x.Exclude)
		for _, item := range slices.Sorted(maps.Keys(x.Forget)) {
			fmt.Fprintf(h, "%q %d\n", item, x.Forget[item])
		}
		if len(x.Down)+len(x.Less) > 0 || x.New { // what nobody wants leaves the digest as it was before it could be wanted
			fmt.Fprintf(h, "down %q less %q new %t\n", x.Down, x.Less, x.New)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
