package inspect

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Plan is what a project file needs beside the export itself.
type Plan struct {
	Project  string
	Path     string // of the events, as it stands in the file; "" is the export's own
	Endpoint string // of an S3-compatible store; "" is none
	Basis    string // legal basis; "" leaves it open
	Consent  string // pattern of the consent records; "" if there are none
	Now      time.Time
}

// live is how old the newest event may be for a project whose clock is the world's.
const live = 72 * time.Hour

// Open lists what the project file leaves open, which validate reports with its lines, each with the flag of init that fills it in.
func (e *Export) Open(p Plan) []string {
	m := e.Events
	var out []string
	for _, o := range []struct {
		open bool
		what string
	}{
		{m.Subject == "", "the column that names the subject (--subject)"},
		{m.Item == "", "the column that names the item (--item)"},
		{m.At == "", "the column that holds the time (--time)"},
		{len(m.Candidates) > 0, "the form of times, which can be read in several ways (--time-format): " + strings.Join(m.Candidates, " or ")},
		{m.LocalTimes && m.Zone == "", "the zone of local times (--zone)"},
		{p.Basis == "", "the legal basis on which people's data may be used (--basis consent or legitimate-interest)"},
		{p.Basis == "consent" && p.Consent == "", "where the consent records are (--consent)"},
	} {
		if o.open {
			out = append(out, o.what)
		}
	}
	return out
}

// Pinned is the time at which a project of old data stands still: the night after the newest event. It is zero for data of today.
func (e *Export) Pinned(now time.Time) time.Time {
	if e.Last.IsZero() || now.Sub(e.Last) < live {
		return time.Time{}
	}
	zone := time.UTC
	if loc, err := time.LoadLocation(e.Events.Zone); err == nil {
		zone = loc
	}
	y, m, d := e.Last.In(zone).Date()
	return time.Date(y, m, d+1, 3, 0, 0, 0, zone).UTC()
}

// yaml builds a project file line by line.
type yaml struct{ b strings.Builder }

func (y *yaml) line(format string, args ...any) { fmt.Fprintf(&y.b, format+"\n", args...) }

// key writes a key of events, its value quoted, with a comment.
func (y *yaml) key(indent int, name, value, why string) {
	text := strings.Repeat(" ", indent) + name + ":"
	if value != "" {
		text += " " + quoted(value)
	}
	if why != "" { // which may name columns, that are called as the producer of a file likes: a comment stays one
		text = fmt.Sprintf("%-42s # %s", text, strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, why))
	}
	y.line("%s", text)
}

// quoted is a YAML scalar: plain where it cannot be misread.
func quoted(s string) string {
	if plainKind.MatchString(s) && !strings.ContainsAny(s, ": /") && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // text always encodes
	return strings.TrimSpace(b.String())
}

func list(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, quoted(n))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// Project writes a project file for the export. What could not be told has a key without a value, and a comment that says what belongs there.
func (e *Export) Project(p Plan) []byte {
	m := e.Events
	y := &yaml{}
	path := p.Path
	if path == "" {
		path = e.Path
	}
	y.line("# A Rapport project, as `rapport init --from` guessed it from %d of %d files. Each guess says why: correct what is wrong.", len(e.Looked), e.Files)
	y.line("# `rapport validate` reports what is missing, with its line; `rapport plan nightly` says what a run would do, and `rapport run nightly` does it.")
	y.line("project: %s", p.Project)
	y.line("")
	y.line("# Everything durable stands here, in a folder or in an S3-compatible bucket (s3://bucket/prefix).")
	if p.Endpoint != "" {
		y.line("storage: {url: \"file:./lake\", endpoint: %s, path_style: true}   # the sources are reached with the same settings", quoted(p.Endpoint))
	} else {
		y.line("storage: file:./lake")
	}
	y.line("# Where serving systems read lists and features.")
	y.line("online: embedded:./online")
	y.line("")
	y.line("# The secret from which pseudonyms are made: 32 random bytes that `rapport init` wrote with mode 0600. Keep a copy: without it no new")
	y.line("# event can be joined to a subject that is already known, and nobody can be looked up, exported or erased.")
	y.line("pseudonyms: {key: \"file:./pseudonym.key\", key_id: k1}")
	if at := e.Pinned(p.Now); !at.IsZero() {
		y.line("")
		y.line("# The newest event that was seen is of %s, so \"now\" is pinned to the night after it; every report says so. For data that", e.Last.Format(time.DateOnly))
		y.line("# arrive every day, remove this line.")
		y.line("clock: {fixed: %s}", at.Format(time.RFC3339))
	}
	y.line("")
	y.line("sources:")
	y.line("  events:")
	arrival := "no date in it: the times in each file say which days it holds"
	if e.Dated {
		arrival = "the date is the day a file arrived; rows belong to the day of their own time"
	}
	y.key(4, "path", path, arrival)
	if m.Explode != "" {
		y.key(4, "explode", m.Explode, "each element of this list is an event")
	}
	why := map[string]string{}
	for _, c := range e.Columns {
		if c.Role != "" {
			why[c.Name] = c.Why
		}
	}
	column := func(key, name, missing string) {
		if name == "" {
			y.key(4, key, "", "not guessed: "+missing)
			return
		}
		y.key(4, key, name, why[name])
	}
	column("subject", m.Subject, "the column that names the subject, as user_id")
	column("item", m.Item, "the column that names the item, as sku or items[].sku")
	column("at", m.At, "the column that holds the time of the event")
	e.timeKeys(y)
	if m.Kind != "" {
		column("kind", m.Kind, "")
	}
	e.kindKeys(y)
	if m.Value != "" {
		column("value", m.Value, "")
	}
	context := slices.Sorted(maps.Keys(m.Columns))
	if len(context) > 0 {
		var pairs []string
		for _, name := range context {
			pairs = append(pairs, name+": "+quoted(m.Columns[name]))
		}
		y.line("    columns: {%s}   # context: name here → column there", strings.Join(pairs, ", "))
	}
	if e.Dated {
		y.key(4, "lateness", "1d", "how long after its day an event may still arrive")
	}
	if e.Success {
		y.key(4, "settle", "2h", "_SUCCESS stands beside files: a night waits for it, or this long after the day's end")
	}
	if p.Consent != "" {
		y.line("  consent: {path: %s}   # subject, purpose, state, effective_at", quoted(p.Consent))
	}
	e.rest(y, p, context)
	return []byte(y.b.String())
}

// timeKeys writes how event times are written.
func (e *Export) timeKeys(y *yaml) {
	m := e.Events
	switch {
	case len(m.Candidates) > 0:
		y.key(4, "time_format", "", "not guessed, all fit: "+strings.Join(m.Candidates, " or "))
	case m.TimeFormat != "":
		y.key(4, "time_format", m.TimeFormat, "the form that all times of the sample have")
	case m.TimeUnit != "":
		y.key(4, "time_unit", m.TimeUnit, "by their size: times since 1970")
	}
	switch {
	case m.Zone != "":
		y.key(4, "zone", m.Zone, "as was said")
	case m.LocalTimes:
		y.key(4, "zone", "", "not guessed: the times are local, without a zone; as Europe/Berlin")
	}
}

// kindKeys writes what kinds of events are called.
func (e *Export) kindKeys(y *yaml) {
	m := e.Events
	if m.Kind == "" {
		y.key(4, "default_kind", "buy", "no column says what happened")
		return
	}
	if len(e.Kinds) == 0 {
		return
	}
	y.line("    kinds:                                 # kind there: kind here; \"-\" leaves its rows out")
	for _, k := range e.Kinds {
		note := fmt.Sprintf("%d rows of the sample", k.Rows)
		if m.Kinds[k.Name] == "-" {
			note += "; not taken for a sign of interest"
		}
		y.key(6, quoted(k.Name), m.Kinds[k.Name], note)
	}
	y.key(4, "unknown_kinds", "0.01", "a day with a larger share of rows of other kinds fails")
}

// rest writes what follows the sources.
func (e *Export) rest(y *yaml, p Plan, context []string) {
	m := e.Events
	reads := []string{}
	if m.Kind != "" {
		reads = append(reads, "kind")
	}
	if m.Value != "" {
		reads = append(reads, "value")
	}
	reads = append(reads, context...)
	names := m.kindNames()
	if m.Kind == "" {
		names = []string{"buy"}
	}
	y.line("")
	y.line("# What may be read, and for what. A column that no purpose reads never leaves the raw files.")
	y.line("purposes:")
	y.line("  recommend:")
	y.line("    says: We use what you looked at and bought here to suggest things you may like.")
	basis := "as was said; honoured unless the subject objects"
	if p.Basis == "consent" {
		basis = "as was said: nobody without a record is profiled"
	}
	if p.Basis == "" {
		basis = "not guessed: consent (with sources.consent) or legitimate-interest; only you can say"
	}
	y.key(4, "basis", p.Basis, basis)
	y.line("    reads:")
	y.line("      events: %s", list(reads))
	y.line("    keep: {events: 365d}")
	y.line("")
	y.line("# Features of subjects and items over sliding windows that end where the interval ends.")
	y.line("views:")
	y.line("  activity:")
	y.line("    key: subject")
	y.line("    windows: [1d, 7d, 28d]")
	y.line("    features:")
	y.line("      events: {count: {}}")
	if m.Kind != "" {
		for _, k := range names {
			y.line("      %s: {count: {kind: %s}}", strings.ReplaceAll(k, "-", "_")+"_count", quoted(k))
		}
	}
	if m.Value != "" {
		y.line("      spend: {sum: value}")
	}
	y.line("      recent: {decayed: {half_life: 7d}}")
	y.line("      last_seen: {recency: {}}")
	y.line("  demand:")
	y.line("    key: item")
	y.line("    windows: [1d, 28d]")
	y.line("    features:")
	y.line("      subjects: {distinct: subject}")
	y.line("")
	y.line("models:")
	y.line("  home:")
	y.line("    parts: [popular, again, als]          # content needs a table of items: declare sources.items, and add it")
	if m.Kind != "" && len(names) > 0 {
		var w []string
		for _, k := range names {
			w = append(w, fmt.Sprintf("%s: %d", quoted(k), max(1, weights[k])))
		}
		y.line("    weights: {%s}   # how much an event of each kind says", strings.Join(w, ", "))
	}
	y.line("    lists: {k: 20, seen: auto}            # auto: items seen before are left out only if repeats are rare in the data")
	y.line("")
	window := "60d"
	if e.Last.Sub(e.First) > 60*24*time.Hour {
		window = "180d"
	}
	y.line("jobs:")
	y.line("  nightly:")
	y.line("    schedule: \"0 3 * * *\"")
	switch {
	case m.Zone != "":
		y.key(4, "time_zone", m.Zone, "days are those of the source")
	case m.LocalTimes:
		y.line("    # time_zone: Europe/Berlin          # without it, days are those of UTC")
	}
	y.line("    every: 1d")
	y.line("    lookback: 3d                          # files of older days may change without being read again")
	y.line("    purpose: {train: recommend}")
	y.line("    train: {model: home, window: %s}", window)
	y.line("    evaluate: {split: {last: 1d}, k: [10, 20]}")
	y.line("    budgets:")
	y.line("      - {metric: ndcg@10, against: live, ratio: 0.95, owner: you, why: no silent regressions}")
	y.line("    drift: {action: warn}")
	y.line("    publish: {alias: champion, features: [activity, demand]}")
}
