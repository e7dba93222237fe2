package configs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/lists"
)

// Lock is purposes.lock: what the purposes of a project file may do with data, as somebody who answers for that has accepted it. It stands beside the
// project file and in the same pull request, so that a review of the one is a review of the other. A project file that goes beyond it is at fault.
type Lock struct {
	Format   int      `yaml:"format"` // 1
	Purposes []Locked `yaml:"purposes"`
	// Keys are, by data set, the columns of its files that name people, items and times, or hold what people said: no purpose lists these.
	Keys map[string][]string `yaml:"keys"`
	// Sources are, by data set, the files that are read and, of events, which list of theirs and which kinds.
	Sources   map[string][]string `yaml:"sources"`
	Sensitive []string            `yaml:"sensitive_items,omitempty"`    // as guard writes them
	Protected []string            `yaml:"protected_subjects,omitempty"` //
	// Hierarchies are those that rules of Reads name by their digests.
	Hierarchies []LockedHierarchy `yaml:"hierarchies,omitempty"`
	Accepted    []Acceptance      `yaml:"accepted"` // oldest first
}

// Locked is what one purpose was accepted with.
type Locked struct {
	Name  string              `yaml:"name"`
	Says  string              `yaml:"says"`
	Basis string              `yaml:"basis"`
	Term  []string            `yaml:"term,omitempty"` // as the project file has them
	Use   string              `yaml:"use"`            // training, evaluation or mitigation
	Reads map[string][]string `yaml:"reads"`          // by data set: names, where it has another the column after "from", and the rule by which it is made coarser after "coarsened to"
	Keep  map[string]string   `yaml:"keep,omitempty"` // by retention class; one that is not here is kept for ever
}

// LockedHierarchy is what a hierarchy was accepted as, to say how another version of its file differs.
type LockedHierarchy struct {
	Digest  string `yaml:"digest"`
	File    string `yaml:"file"`
	Values  int    `yaml:"values"`
	Outline string `yaml:"outline"` // event.Outline
}

// Acceptance is a line of the review.
type Acceptance struct {
	At      time.Time `yaml:"at" json:"at"`
	Role    string    `yaml:"role" json:"role"` // in which somebody accepted
	Why     string    `yaml:"why" json:"why"`
	Changes []string  `yaml:"changes,omitempty" json:"changes"` // what became wider by it, and then what is not allowed any more
}

// Wider is one way in which a project file goes beyond what was accepted.
type Wider struct {
	Path string `json:"path"` // of the key
	Says string `json:"says"`
}

const lockFormat = 1

// LockPath is where the lock of a project file stands: purposes.lock, and for a file that is not called rapport.yaml NAME.purposes.lock.
func LockPath(project string) string {
	name := strings.TrimSuffix(filepath.Base(project), filepath.Ext(project))
	if name == "rapport" {
		name = ""
	} else {
		name += "."
	}
	return filepath.Join(filepath.Dir(project), name+"purposes.lock")
}

// ReadLock reads the lock of a project file; nil if there is none: then nothing is locked.
func ReadLock(project string) (*Lock, error) {
	path := LockPath(project)
	body, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseLock(path, body)
}

func parseLock(path string, body []byte) (*Lock, error) {
	const hint = "restore it from version control, or remove it and accept anew: rapport purposes accept"
	l := &Lock{}
	if err := yaml.NewDecoder(bytes.NewReader(body), yaml.Strict()).Decode(l); err != nil {
		msg, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("%s: %s (%s)", path, msg, hint)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("%s: its format is %d, and this program reads %d (%s)", path, l.Format, lockFormat, hint)
	}
	names := map[string]bool{}
	for _, pu := range l.Purposes {
		if names[pu.Name] {
			return nil, fmt.Errorf("%s: purpose %q stands twice (%s)", path, pu.Name, hint)
		}
		names[pu.Name] = true
		for class, keep := range pu.Keep {
			if _, err := ParseDuration(keep); err != nil {
				return nil, fmt.Errorf("%s: purpose %q: keep.%s: %w (%s)", path, pu.Name, class, err, hint)
			}
		}
	}
	for _, h := range l.Hierarchies {
		if _, err := event.ParseOutline(h.Values, h.Outline); err != nil {
			return nil, fmt.Errorf("%s: hierarchy %s: %w (%s)", path, h.File, err, hint)
		}
	}
	if len(l.Accepted) == 0 {
		return nil, fmt.Errorf("%s: it does not say who accepted it (%s)", path, hint)
	}
	return l, nil
}

// Bytes is the lock as it stands in its file.
func (l *Lock) Bytes() ([]byte, error) {
	body, err := yaml.MarshalWithOptions(l, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, err
	}
	return append([]byte("# What the purposes of the project file may do with data, as it was accepted. A project file that goes beyond it is refused.\n"+
		"# Written by rapport purposes accept; not edited by hand.\n"), body...), nil
}

// allowed is the lock of what the project file does, which nobody has accepted.
func (p *Project) allowed() *Lock {
	l := &Lock{Format: lockFormat, Purposes: []Locked{}, Keys: p.lockedKeys(), Sources: p.lockedSources(), Protected: guards("", p.ProtectedSubjects, p.Sources.Subjects)}
	if p.SensitiveItems != nil {
		l.Sensitive = guards(p.SensitiveItems.Purpose, p.SensitiveItems.Where, p.Sources.Items)
	}
	for _, name := range sortedKeys(p.Purposes) {
		l.Purposes = append(l.Purposes, p.lockedPurpose(name))
	}
	l.Hierarchies = p.lockedHierarchies()
	return l
}

// Locked is what the lock of this project is to hold, with what was accepted before, if anything was, and this acceptance behind it.
func (p *Project) Locked(before *Lock, a Acceptance) *Lock {
	l := p.allowed()
	a.At = a.At.UTC().Truncate(time.Second)
	for _, w := range p.Wider(before) {
		a.Changes = append(a.Changes, w.Path+": "+w.Says)
	}
	if before != nil {
		l.Accepted = slices.Clone(before.Accepted)
		for _, says := range before.narrowed(l) {
			a.Changes = append(a.Changes, before.told(p.told(says)))
		}
	}
	l.Accepted = append(l.Accepted, a)
	return l
}

// narrowed says what the next lock does not allow any more.
func (l *Lock) narrowed(next *Lock) (out []string) {
	for _, was := range l.Purposes {
		path := "purposes." + was.Name
		i := slices.IndexFunc(next.Purposes, func(pu Locked) bool { return pu.Name == was.Name })
		if i < 0 {
			out = append(out, path+": is gone")
			continue
		}
		now := next.Purposes[i]
		for _, set := range sortedKeys(was.Reads) {
			for _, c := range was.Reads[set] {
				if slices.Contains(now.Reads[set], c) || slices.ContainsFunc(now.Reads[set], func(is string) bool { _, _, edited := editedHierarchy(is, c); return edited }) { // the last is told as wider
					continue
				}
				says := "no longer reads " + c
				if i := slices.IndexFunc(now.Reads[set], func(is string) bool { return coarserThan(is, c) }); i >= 0 {
					says = "reads only " + now.Reads[set][i]
				}
				out = append(out, path+".reads."+set+": "+says)
			}
		}
		for _, class := range sortedKeys(now.Keep) {
			limit, limited := time.Duration(0), was.Keep[class] != ""
			if limited {
				limit, _ = ParseDuration(was.Keep[class]) // parseLock has looked
			}
			if keep, _ := ParseDuration(now.Keep[class]); !limited || keep < limit {
				out = append(out, path+".keep."+class+": keeps "+now.Keep[class]+" only")
			}
		}
	}
	for _, set := range sortedKeys(l.Sources) {
		for _, x := range l.Sources[set] {
			if now := next.Sources[set]; !slices.Contains(now, x) && !beyond(now, x) {
				out = append(out, "sources."+set+": no longer reads "+x)
			}
		}
	}
	for _, g := range []struct {
		path, says string
		was, now   []string
	}{{"sensitive_items", "withholds items with", l.Sensitive, next.Sensitive}, {"protected_subjects", "protects people with", l.Protected, next.Protected}} {
		for _, guard := range g.now {
			if !slices.Contains(g.was, guard) {
				out = append(out, g.path+": "+g.says+" "+guard)
			}
		}
	}
	return out
}

// FirstLock is the lock of a project file that is being made: what stands in it is accepted as it is.
func FirstLock(path string, body []byte, a Acceptance) ([]byte, error) {
	p, err := parse(path, body)
	if err != nil {
		return nil, err
	}
	return p.Locked(nil, a).Bytes()
}

func (p *Project) lockedPurpose(name string) Locked {
	pu := p.Purposes[name]
	out := Locked{Name: name, Says: strings.TrimSpace(pu.Says), Basis: pu.Basis, Term: slices.Sorted(slices.Values(pu.Term)), Use: use(pu), Reads: map[string][]string{}}
	for set, columns := range pu.Reads {
		for _, c := range columns {
			out.Reads[set] = append(out.Reads[set], p.coarsely(set, c, from(c, p.sourceColumn(set, c))))
		}
		slices.Sort(out.Reads[set])
	}
	for class, keep := range pu.Keep {
		if out.Keep == nil {
			out.Keep = map[string]string{}
		}
		out.Keep[class] = features.FormatWindow(keep)
	}
	return out
}

func use(pu Purpose) string {
	if pu.Use == "" {
		return "training"
	}
	return pu.Use
}

// sourceColumn is the column of the source's files that a name stands for: "" if that is not told.
func (p *Project) sourceColumn(set, name string) string {
	source := map[string]*Attributes{"items": p.Sources.Items, "subjects": p.Sources.Subjects, "cohorts": p.Sources.Cohorts}[set]
	switch {
	case set == "events" && name == "kind":
		return p.Sources.Events.Kind
	case set == "events" && name == "value":
		return p.Sources.Events.Value
	case set == "events":
		return p.Sources.Events.Columns[name]
	case source != nil:
		return source.Columns[name]
	}
	return ""
}

// lockedKeys are the columns of each data set that are read whatever the purposes say.
func (p *Project) lockedKeys() map[string][]string {
	e := p.Sources.Events
	out := map[string][]string{"events": named(map[string]string{"subject": e.Subject, "item": e.Item, "at": e.At, "created": e.Created})}
	if s := p.Sources.Items; s != nil {
		out["items"] = named(map[string]string{"item": s.Item})
	}
	if s := p.Sources.Subjects; s != nil {
		out["subjects"] = named(map[string]string{"subject": s.Subject})
	}
	if s := p.Sources.Cohorts; s != nil {
		out["cohorts"] = named(map[string]string{"subject": s.Subject})
	}
	if s := p.Sources.Consent; s != nil {
		out["consent"] = named(s.Columns)
	}
	if s := p.Sources.Preferences; s != nil {
		out["preferences"] = named(s.Columns)
	}
	if s := p.Sources.Identities; s != nil {
		out["identities"] = named(map[string]string{"alias": s.From, "main id": s.To})
	}
	return out
}

// everyKind is what is read of events whose kinds the project file does not list.
const everyKind = "every kind"

// lockedSources are the files of each data set and, of events, the list whose elements are events, and the kinds.
func (p *Project) lockedSources() map[string][]string {
	out := map[string][]string{}
	add := func(set, path string) {
		if path != "" {
			out[set] = append(out[set], "files "+plain(path))
		}
	}
	e := p.Sources.Events
	add("events", e.Path)
	if e.Explode != "" {
		out["events"] = append(out["events"], "each of "+plain(e.Explode))
	}
	switch {
	case e.Kind == "":
	case len(e.Kinds) == 0:
		out["events"] = append(out["events"], everyKind)
	default:
		for _, raw := range sortedKeys(e.Kinds) {
			if kind := e.Kinds[raw]; kind != "-" {
				out["events"] = append(out["events"], "kind "+from(kind, raw))
			}
		}
	}
	for set, s := range map[string]*Attributes{"items": p.Sources.Items, "subjects": p.Sources.Subjects, "cohorts": p.Sources.Cohorts} {
		if s != nil {
			add(set, s.Path)
		}
	}
	if s := p.Sources.Consent; s != nil {
		add("consent", s.Path)
	}
	if s := p.Sources.Preferences; s != nil {
		add("preferences", s.Path)
	}
	if s := p.Sources.Identities; s != nil {
		add("identities", s.Path)
	}
	return out
}

// beyond reports whether one that reads x reads nothing that was does not allow, although that does not name it: a kind, where every kind was read.
func beyond(was []string, x string) bool {
	return strings.HasPrefix(x, "kind ") && slices.Contains(was, everyKind)
}

// named writes which column each name stands for, sorted; one that stands for none is left out.
func named(columns map[string]string) []string {
	out := []string{}
	for _, name := range sortedKeys(columns) {
		if at := columns[name]; at != "" {
			out = append(out, from(name, at))
		}
	}
	return out
}

// from writes a name, and the column that it stands for where that is another; "" is none.
func from(name, at string) string {
	if at == "" || at == name {
		return plain(name)
	}
	return plain(name) + " from " + plain(at)
}

// plain writes a name so that no other text of a lock reads the same.
func plain(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '"' || r == ',' || !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// guards writes declared conditions on a source as text, sorted; purpose is whose consent lifts them, "": nobody's. A list of values is a line a value, where it
// is the only list of its entry: one more value withholds more, and leaves the other lines as they are.
func guards(purpose string, where []map[string]condition, source *Attributes) []string {
	var out []string
	for _, e := range exclusions(where) {
		list := slices.IndexFunc(e, func(c lists.Condition) bool { return len(c.In) > 1 && !c.Not })
		if list < 0 || slices.ContainsFunc(e[list+1:], func(c lists.Condition) bool { return len(c.In) > 1 && !c.Not }) {
			out = append(out, guardLine(purpose, e, source))
			continue
		}
		for _, value := range e[list].In {
			one := slices.Clone(e)
			one[list].In = []string{value}
			out = append(out, guardLine(purpose, one, source))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func guardLine(purpose string, e lists.Exclusion, source *Attributes) string {
	var all []string
	for _, c := range e {
		all = append(all, guard(c, source))
	}
	slices.Sort(all)
	line := strings.Join(all, " and ")
	if purpose != "" {
		line += unless + plain(purpose) + " is consented to"
	}
	return line
}

const unless = ", unless "

func guard(c lists.Condition, source *Attributes) string {
	s := plain(c.Column)
	if source != nil {
		s = from(c.Column, source.Columns[c.Column])
	}
	switch {
	case c.Min != nil && c.Max != nil:
		s += fmt.Sprintf(" %v to %v", *c.Min, *c.Max)
	case c.Min != nil:
		s += fmt.Sprintf(" at least %v", *c.Min)
	case c.Max != nil:
		s += fmt.Sprintf(" at most %v", *c.Max)
	default:
		var values []string
		for _, v := range c.In {
			values = append(values, strconv.Quote(v))
		}
		slices.Sort(values)
		s += " in " + strings.Join(slices.Compact(values), ", ")
	}
	if c.Not {
		s = "not " + s
	}
	return s
}

// withheld reports whether one of these guards does what another did: the same, or the same for everybody.
func withheld(now []string, was string) bool {
	return slices.ContainsFunc(now, func(g string) bool { return g == was || strings.HasPrefix(was, g+unless) })
}

// Wider lists in which ways the project goes beyond a lock, in a fixed order; nil if it does not, or nothing is locked. Reading less, keeping shorter and
// withholding more is no fault. Another sentence is one: people agreed to the old one.
func (p *Project) Wider(l *Lock) (out []Wider) {
	if l == nil {
		return nil
	}
	add := func(path, format string, args ...any) {
		out = append(out, Wider{path, l.told(p.told(fmt.Sprintf(format, args...)))})
	}
	before := map[string]Locked{}
	for _, pu := range l.Purposes {
		before[pu.Name] = pu
	}
	locked := p.allowed()
	for _, now := range locked.Purposes {
		path := "purposes." + now.Name
		was, known := before[now.Name]
		if !known {
			add(path, "is a new purpose")
			continue
		}
		if now.Basis != was.Basis {
			add(path+".basis", "is %s, where %s was accepted", now.Basis, was.Basis)
		}
		if now.Use != was.Use {
			add(path+".use", "is %s, where %s was accepted", now.Use, was.Use)
		}
		if !slices.Equal(now.Term, was.Term) {
			add(path+".term", "is %s, where %s was accepted", listed(now.Term), listed(was.Term))
		}
		if now.Says != was.Says {
			add(path+".says", "is another sentence than was accepted")
		}
		for _, set := range sortedKeys(now.Reads) {
			for _, c := range now.Reads[set] {
				if !slices.Contains(was.Reads[set], c) && !coarser(c, was.Reads[set]) {
					add(path+".reads."+set, "reads %s%s", c, p.sinceAccepted(l, c, was.Reads[set]))
				}
			}
		}
		for _, class := range slices.Sorted(maps.Keys(was.Keep)) {
			limit, _ := ParseDuration(was.Keep[class]) // parseLock has looked
			switch keep, limited := p.Purposes[now.Name].Keep[class]; {
			case !limited:
				add(path+".keep", "keeps %s for ever, where %s was accepted", class, was.Keep[class])
			case keep > limit:
				add(path+".keep."+class, "keeps %s, where %s was accepted", features.FormatWindow(keep), was.Keep[class])
			}
		}
	}
	for _, c := range classSets {
		was, limit := keptBy(l.Purposes, c.class, c.sets)
		now, keep := keptBy(locked.Purposes, c.class, c.sets)
		if was == "" || !longer(keep, limit) || longer(keep, keepOf(before[now], c.class)) && before[now].Name != "" { // the last is told above
			continue
		}
		add("purposes."+now+".keep", "keeps %s %s, and did not read them, where %s was accepted, by %s", c.class, keptFor(keep), keptFor(limit), was)
	}
	for _, set := range sortedKeys(locked.Keys) {
		for _, c := range locked.Keys[set] {
			if !slices.Contains(l.Keys[set], c) {
				add("sources."+set, "reads %s", c)
			}
		}
	}
	for _, set := range sortedKeys(locked.Sources) {
		for _, x := range locked.Sources[set] {
			if was := l.Sources[set]; !slices.Contains(was, x) && !beyond(was, x) {
				add("sources."+set+sourceKey(x), "reads %s", x)
			}
		}
	}
	for _, set := range []string{"consent", "preferences"} {
		was, heard := l.Keys[set]
		if is, hears := locked.Keys[set]; heard && !hears {
			add("sources", "no longer has %s: what people said would count for nothing", set)
		} else if heard {
			for _, c := range was {
				if !slices.Contains(is, c) {
					add("sources."+set, "no longer reads %s", c)
				}
			}
		}
	}
	for _, g := range l.Sensitive {
		if !withheld(locked.Sensitive, g) {
			add("sensitive_items", "no longer withholds items with %s", g)
		}
	}
	for _, g := range l.Protected {
		if !withheld(locked.Protected, g) {
			add("protected_subjects", "no longer protects people with %s", g)
		}
	}
	return out
}

// classSets are the retention classes whose rows come from data sets that purposes read, and these: a purpose that begins to read one keeps the class as well.
var classSets = []struct {
	class string
	sets  []string
}{{"events", []string{"events"}}, {"training", []string{"subjects", "cohorts"}}}

// keptBy is who keeps a class longest of the purposes that read one of the data sets, and how long (0: for ever); "" if none reads any.
func keptBy(purposes []Locked, class string, sets []string) (name string, keep time.Duration) {
	for _, pu := range purposes {
		reads := slices.ContainsFunc(sets, func(set string) bool { return len(pu.Reads[set]) > 0 })
		if x := keepOf(pu, class); reads && (name == "" || longer(x, keep)) {
			name, keep = pu.Name, x
		}
	}
	return name, keep
}

// keepOf is how long a purpose keeps a class; 0: for ever.
func keepOf(pu Locked, class string) time.Duration {
	keep, _ := ParseDuration(pu.Keep[class]) // parseLock has looked; one that is missing is 0
	return keep
}

// longer compares how long something is kept; 0 is for ever.
func longer(a, b time.Duration) bool { return b != 0 && (a == 0 || a > b) }

// keptFor says how long something is kept.
func keptFor(keep time.Duration) string {
	if keep == 0 {
		return "for ever"
	}
	return features.FormatWindow(keep)
}

// sourceKey is the key of a source that a text of the lock stands for.
func sourceKey(x string) string {
	switch {
	case strings.HasPrefix(x, "files "):
		return ".path"
	case strings.HasPrefix(x, "each of "):
		return ".explode"
	}
	return ".kinds"
}

// listed writes terms; none is none.
func listed(terms []string) string {
	if len(terms) == 0 {
		return "none"
	}
	return strings.Join(terms, ", ")
}

// checkLock makes a fault of each way in which the project goes beyond its lock.
func (p *Project) checkLock() {
	l, err := ReadLock(p.dec.file)
	if err != nil {
		p.dec.report(0, "", "", "%s", err)
		return
	}
	for _, w := range p.Wider(l) {
		p.dec.at(w.Path, "rapport purposes accept --role privacy --why TEXT, if that is agreed", "%s, which %s does not allow", w.Says, filepath.Base(LockPath(p.dec.file)))
	}
}

// Same reports whether another lock allows the same and no more; l may be nil.
func (l *Lock) Same(other *Lock) (bool, error) {
	if l == nil {
		return false, nil
	}
	a, b := *l, *other
	a.Accepted, b.Accepted = nil, nil
	x, err := a.Bytes()
	if err != nil {
		return false, err
	}
	y, err := b.Bytes()
	return bytes.Equal(x, y), err
}
