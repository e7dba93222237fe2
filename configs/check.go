package configs

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const (
	defaultK      = 20
	defaultWindow = 180 * 24 * time.Hour
	defaultFloor  = 0.5
)

// defaults fills in what the file leaves out.
func (p *Project) defaults() {
	if p.Pseudonyms.KeyID == "" {
		p.Pseudonyms.KeyID = "k1"
	}
	for name, m := range p.Models {
		if at := "models." + name + ".lists.k"; m.Lists.K == 0 {
			if p.dec.lines[at] > 0 {
				p.dec.at(at, fmt.Sprintf("leave it out for %d", defaultK), "0 is not between 1 and 1000")
			}
			m.Lists.K = defaultK
		}
		if m.Lists.Seen == "" {
			m.Lists.Seen = "auto"
		}
		if m.Seed == 0 {
			m.Seed = 1
		}
		if at := "models." + name + ".parts"; len(m.Parts) == 0 {
			if p.dec.lines[at] > 0 {
				p.dec.at(at, "leave it out for popular, again, als and content", "names no part")
			}
			for _, part := range []string{"popular", "again", "als", "content"} {
				m.Parts = append(m.Parts, Part{Name: part, path: "models." + name + ".parts"})
			}
		}
		p.Models[name] = m
	}
	for name, j := range p.Jobs {
		if j.TimeZone == "" {
			j.TimeZone = "UTC"
		}
		if j.Every == "" {
			j.Every = "1d"
		}
		if j.Train.Window == 0 {
			j.Train.Window = defaultWindow
		}
		if j.Evaluate.Protocol == "" {
			j.Evaluate.Protocol = string(eval.Temporal)
		}
		if len(j.Evaluate.K) == 0 {
			j.Evaluate.K = []int{10, 20}
		}
		if j.Overlap == "" {
			j.Overlap = "skip"
		}
		if j.Drift.Action == "" {
			j.Drift.Action = "warn"
		}
		if j.Drift.Reference == "" {
			j.Drift.Reference = "training"
		}
		if x := p.Sources.Events.Expect; j.MinVolume == nil {
			floor := defaultFloor
			if x != nil && x.Volume != nil && x.Volume.Least != nil {
				floor = *x.Volume.Least
			}
			j.MinVolume = &floor
		}
		if j.Publish.Alias == "" {
			j.Publish.Alias = "champion"
		}
		p.Jobs[name] = j
	}
}

// check reports what is wrong beyond types and names of keys.
func (p *Project) check() {
	d := p.dec
	need := func(path, value, hint string) bool {
		if value == "" {
			d.at(path, hint, "missing")
		}
		return value != ""
	}
	if need("project", p.Project, "a short name, as shop") && !policy.ValidName(p.Project) {
		d.at("project", "", "%q is no name: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter", p.Project)
	}
	if need("storage", p.Storage.URL, "as file:./lake or s3://bucket/prefix") {
		p.checkURL("storage", p.Storage.URL, false)
	}
	if c := p.Storage.Credentials; !slices.Contains([]string{"", "env", "file", "instance"}, c) {
		d.at("storage.credentials", "env, file or instance; leave it out to try them in this order", "says where the credentials are, and is not itself one")
	}
	if s := p.Storage.SSE; s != "" && s != "s3" && !strings.HasPrefix(s, "kms:") {
		d.at("storage.sse", "s3 or kms:KEYID", "%q is not known", s)
	}
	if need("online", p.Online.URL, "as embedded:./online") {
		p.checkOnline()
	}
	const where = "where the secret stands: " + secretPlaces
	if need("pseudonyms.key", p.Pseudonyms.Key, where) {
		p.checkSecret("pseudonyms.key", p.Pseudonyms.Key)
	}
	for i, k := range p.Pseudonyms.Previous {
		path := fmt.Sprintf("pseudonyms.previous[%d]", i)
		if need(path+".key", k.Key, where) {
			p.checkSecret(path+".key", k.Key)
		}
		need(path+".key_id", k.KeyID, "the key_id that stood beside it")
	}
	p.checkServe()
	p.checkRetention()
	p.checkMemory()
	p.checkSources()
	p.checkPurposes()
	p.checkGuards()
	p.checkViews()
	for _, name := range sortedKeys(p.Models) {
		p.checkModel(name, p.Models[name])
	}
	if len(p.Jobs) == 0 {
		d.at("jobs", "a project needs a job to do anything", "missing")
	}
	p.checkCalendar()
	live, purpose := "", ""
	for _, name := range sortedKeys(p.Jobs) {
		j := p.Jobs[name]
		p.checkDrift(name, j)
		if j.Drift.Of != "" {
			p.checkWatch(name, j)
			continue
		}
		p.checkJob(name, j)
		// The online store has one live generation, and its fence is that of one model's alias.
		if line := j.Train.Model + " as " + p.Jobs[name].Publish.Alias; live == "" {
			live = line
		} else if line != live {
			d.at("jobs."+name+".publish", "give it the same model and alias, or a project of its own", "publishes %s, but another job of this project publishes %s to the same online store", line, live)
		}
		// It has one deny set as well: a job of another purpose would let back in whom this one denies, to rows that this one has made.
		train := j.Purpose.Train
		if _, declared := p.Purposes[train]; !declared {
			continue
		}
		if purpose == "" {
			purpose = train
		} else if train != purpose {
			d.at("jobs."+name+".purpose.train", "give it the same purpose, or a project of its own", "trains for %s, but another job of this project for %s, and they share one deny set", j.Purpose.Train, purpose)
		}
	}
}

func (p *Project) checkOnline() {
	o, d := p.Online, p.dec
	u, err := url.Parse(o.URL)
	redis := err == nil && (u.Scheme == "redis" || u.Scheme == "rediss")
	switch {
	case strings.HasPrefix(o.URL, "embedded:"):
		for key, v := range map[string]string{"username": o.Username, "password": o.Password, "ca_file": o.CAFile, "cert_file": o.CertFile, "key_file": o.KeyFile} {
			if v != "" {
				d.at("online."+key, "leave it out", "an embedded store has no such setting")
			}
		}
	case !redis:
		d.at("online", "embedded:PATH, redis://host:port/db or rediss://host:port/db", "this is no online store")
	case u.Host == "":
		d.at("online", "as redis://cache:6379/0", "names no server")
	default:
		if _, ok := u.User.Password(); ok {
			d.at("online", "password: env:NAME beside url", "the password itself may not stand in the project file")
		}
		if u.Scheme == "redis" && o.CAFile+o.CertFile+o.KeyFile != "" {
			d.at("online", "rediss:// in place of redis://", "certificates are given, and the connection would not be encrypted")
		}
	}
	p.checkSecret("online.password", o.Password)
	if (o.CertFile == "") != (o.KeyFile == "") {
		d.at("online", "give both, or neither", "cert_file and key_file belong together")
	}
}

// alertKinds are the things that somebody may be told of.
var alertKinds = []string{"failed", "rejected", "late", "drift", "budget", "consent", "late_request", "late_retrain", "late_purge", "access"}

func (p *Project) checkServe() {
	d := p.dec
	if p.Serve.Listen != "" {
		if _, _, err := net.SplitHostPort(p.Serve.Listen); err != nil {
			d.at("serve.listen", "as 127.0.0.1:8321", "not host:port")
		}
	}
	p.checkSecret("serve.token", p.Serve.Token)
	p.checkTokens()
	p.checkClear()
	for i := range p.Alerts {
		a, path := &p.Alerts[i], fmt.Sprintf("alerts[%d]", i)
		if a.Webhook == "" {
			d.at(path+".webhook", "https://…, or env:NAME where the address is a secret", "missing")
		} else if !isSecretPlace(a.Webhook) {
			p.checkSafe(path+".webhook", a.Webhook)
		}
		p.checkSecret(path+".secret", a.Secret)
		if a.Format == "" {
			a.Format = "json"
		}
		oneOf(d, path+".format", a.Format, "json", "slack")
		for _, on := range a.On {
			oneOf(d, path+".on", on, alertKinds...)
		}
		if len(a.On) == 0 {
			a.On = alertKinds
		}
		if a.Link != "" {
			p.checkHTTP(path+".link", a.Link)
		}
	}
	switch {
	case p.Lineage.URL == "":
	case p.Lineage.Token != "":
		p.checkSafe("lineage.url", p.Lineage.URL)
	default:
		p.checkHTTP("lineage.url", p.Lineage.URL)
	}
	p.checkSecret("lineage.token", p.Lineage.Token)
}

// checkSafe wants an address to which what goes there, the address itself and what is sent, goes unread by others. It does not repeat it.
func (p *Project) checkSafe(path, address string) {
	if err := alert.CheckAddress(address); err != nil {
		p.dec.at(path, "", "%v", err)
	}
}

// checkHTTP wants an address that a request can go to. It does not repeat it: addresses of webhooks are often secrets.
func (p *Project) checkHTTP(path, address string) {
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p.dec.at(path, "as https://host/path", "no address that a request can go to")
	}
}

// each reports every error of a joined one at path, without the name of what stands there: the path says it.
func (p *Project) each(path string, err error) {
	if err == nil {
		return
	}
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, e := range many.Unwrap() {
			p.each(path, e)
		}
		return
	}
	msg := err.Error()
	var fault *features.Fault
	if errors.As(err, &fault) {
		msg = fault.Problem
		if fault.Feature != "" {
			path += ".features." + fault.Feature
		}
	}
	_, name, _ := strings.Cut(path, ".")
	p.dec.at(path, "", "%s", strings.TrimPrefix(msg, fmt.Sprintf("purpose %q: ", name)))
}

func (p *Project) checkURL(path, url string, pattern bool) {
	if pattern {
		if _, _, err := storage.SplitURL(url); err != nil {
			p.dec.at(path, "", "%v", err)
		}
		return
	}
	if !strings.HasPrefix(url, "file:") && !strings.HasPrefix(url, "s3://") {
		p.dec.at(path, "file:PATH or s3://bucket/prefix", "%q is no storage URL", url)
	}
}

func (p *Project) checkSources() {
	d, e := p.dec, p.Sources.Events
	for _, k := range []struct{ key, value, hint string }{
		{"path", e.Path, "as s3://lake/events/dt={date}/*.parquet"},
		{"subject", e.Subject, "the column that names the subject"},
		{"item", e.Item, "the column that names the item"},
		{"at", e.At, "the column that holds the time"},
	} {
		if k.value == "" {
			d.at("sources.events."+k.key, k.hint, "missing")
		}
	}
	if e.Path != "" {
		p.checkURL("sources.events.path", e.Path, true)
	}
	for _, c := range sortedKeys(e.Columns) {
		if slices.Contains(eventColumns, c) || c == event.ColCreated && e.Created != "" {
			d.at("sources.events.columns."+c, "as my_"+c, "every event has a %s of its own: name this column otherwise", c)
		}
	}
	if e.TimeUnit != "" {
		oneOf(d, "sources.events.time_unit", e.TimeUnit, "s", "ms", "us", "ns")
	}
	p.zone("sources.events.zone", e.Zone)
	p.checkExport()
	p.checkExpect()
	p.checkCoarsening()
	if e.Lateness > 0 && !strings.Contains(e.Path, "{date}") && !strings.Contains(e.Path, "{dd}") {
		d.at("sources.events.lateness", "leave it out: without a date in the path every file is looked at", "needs {date} in the path")
	}
	for _, a := range []struct {
		name, key string
		attrs     *Attributes
	}{{"items", "item", p.Sources.Items}, {"subjects", "subject", p.Sources.Subjects}, {"cohorts", "subject", p.Sources.Cohorts}} {
		if a.attrs == nil {
			continue
		}
		path := "sources." + a.name
		key := a.attrs.Subject
		if a.key == "item" {
			key = a.attrs.Item
		}
		if key == "" {
			d.at(path+"."+a.key, "the column that names the "+a.key, "missing")
		}
		if a.attrs.Path == "" {
			d.at(path+".path", "", "missing")
		} else {
			p.checkURL(path+".path", a.attrs.Path, true)
		}
	}
	p.checkConsent()
	if c := p.Sources.Preferences; c != nil {
		if c.Path != "" {
			p.checkURL("sources.preferences.path", c.Path, true)
		} else if len(c.Columns) > 0 || c.Zone != "" {
			d.at("sources.preferences.path", "name the files, or leave columns and zone out", "missing")
		}
		p.zone("sources.preferences.zone", c.Zone)
	}
	p.checkIdentities()
}

// checkExport checks what tells Rapport how a real export writes events.
func (p *Project) checkExport() {
	d, e := p.dec, p.Sources.Events
	if e.UnknownKinds != nil {
		if v := *e.UnknownKinds; v <= 0 || v > 1 {
			d.at("sources.events.unknown_kinds", "as 0.01", "must be above 0 and at most 1")
		}
		if len(e.Kinds) == 0 {
			d.at("sources.events.unknown_kinds", "add kinds, as {order_completed: buy}", "no kind is unknown where kinds does not name those that are known")
		}
	}
	for _, raw := range sortedKeys(e.Kinds) {
		if e.Kinds[raw] == "" {
			d.at("sources.events.kinds."+raw, "leave the kind out, and its rows are counted as unknown", "maps to nothing")
		}
	}
	if len(e.Kinds) > 0 && e.Kind == "" {
		d.at("sources.events.kinds", "kind: the column that holds them", "no column is declared")
	}
	if err := table.CheckTimeFormat(e.TimeFormat); err != nil {
		d.at("sources.events.time_format", "as %d.%m.%Y %H:%M", "%v", err)
	}
	if e.TimeFormat != "" && e.TimeUnit != "" {
		d.at("sources.events.time_format", "give one of them: time_unit is of numbers, time_format of text", "time_unit is given too")
	}
	if e.Explode != "" && e.Item != "" && !strings.HasPrefix(e.Item, e.Explode+"[]") {
		d.at("sources.events.explode", "as item: "+e.Explode+"[].sku", "the item is not a column of its elements")
	}
	if e.Settle < 0 || e.Lateness < 0 {
		d.at("sources.events", "", "settle and lateness may not be negative")
	}
}

// zone resolves a time zone; "" is UTC. The zone of this machine is refused: results would depend on where they are made.
func (p *Project) zone(path, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		p.dec.at(path, "as Europe/Berlin", "unknown time zone %q", name)
		return time.UTC
	}
	return loc
}

func (p *Project) checkPurposes() {
	if len(p.Purposes) == 0 {
		p.dec.at("purposes", "say what data is used for, in plain words", "missing")
	}
	for _, name := range sortedKeys(p.Purposes) {
		pu := p.purpose(name)
		p.each("purposes."+name, policy.Check([]policy.Purpose{pu}, nil))
		p.checkTerms(name, p.Purposes[name])
		if pu.Basis == policy.Consent && p.Sources.Consent == nil {
			p.dec.at("purposes."+name+".basis", "add sources.consent", "needs consent records, and none are declared: nobody's data could be used")
		}
		for _, c := range pu.Reads["events"] {
			if c != "kind" && c != "value" && p.Sources.Events.Columns[c] == "" {
				p.dec.at("purposes."+name+".reads.events", "declare it under sources.events.columns", "column %q is not declared", c)
			}
		}
		for _, s := range []struct {
			set      string
			declared bool
		}{{"items", p.Sources.Items != nil}, {"subjects", p.Sources.Subjects != nil}, {"cohorts", p.Sources.Cohorts != nil}} {
			if len(pu.Reads[s.set]) > 0 && !s.declared {
				p.dec.at("purposes."+name+".reads."+s.set, "declare sources."+s.set, "no such data set is declared")
			}
		}
	}
}

// eventColumns are the columns that every event has.
var eventColumns = []string{"subject", "item", "time", "kind", "value"}

func (p *Project) checkModel(name string, m Model) {
	path := "models." + name
	if !policy.ValidName(name) {
		p.dec.at(path, "", "%q is no name: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter", name)
	}
	seen := map[string]bool{}
	for _, part := range m.Parts {
		if seen[part.Name] {
			p.dec.at(part.path, "", "part %q is named twice", part.Name)
		}
		seen[part.Name] = true
		p.trainer(part) // reports its own faults
	}
	if m.Ranker != nil {
		p.ranker(m.Ranker.Part, &blend.Trainer{})
	}
	for _, kind := range sortedKeys(m.Weights) {
		if w := m.Weights[kind]; math.IsNaN(w) || math.Abs(w) > math.MaxFloat32 {
			p.dec.at(path+".weights."+kind, "0 leaves these events out, a negative weight their items too", "is no weight")
		}
	}
	p.checkImpressions(path, m)
	p.checkKinds(path+".weights", m)
	p.checkLists(path+".lists", m.Lists, seen)
}

// checkKinds refuses weights of kinds that no event can have, and those that leave nothing to learn from. Which kinds there are is known only where
// sources.events.kinds declares them.
func (p *Project) checkKinds(path string, m Model) {
	kinds := p.kinds()
	if kinds == nil {
		return
	}
	for _, kind := range sortedKeys(m.Weights) {
		if !slices.Contains(kinds, kind) {
			p.dec.at(path+"."+kind, p.known("sources.events.kinds", kind, kinds), "no event has the kind %q", kind)
		}
	}
	weights := m.weights()
	if !slices.ContainsFunc(kinds, func(kind string) bool {
		w, given := weights[kind]
		return !given || w > 0
	}) {
		p.dec.at(path, "give one kind a weight above 0", "every kind has a weight of 0 or less: no event would be learned from")
	}
}

// kinds are those that an event can have, ascending; nil where they are not declared.
func (p *Project) kinds() []string {
	e := p.Sources.Events
	var kinds []string
	for _, raw := range sortedKeys(e.Kinds) {
		kinds = append(kinds, e.Kinds[raw])
	}
	if len(kinds) == 0 {
		return nil
	}
	if e.DefaultKind != "" {
		kinds = append(kinds, e.DefaultKind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// checkImpressions refuses impressions that nothing reads, that no event is, and that are a signal as well.
func (p *Project) checkImpressions(path string, m Model) {
	at := path + ".impressions"
	if len(m.Impressions) > 0 && m.Ranker == nil {
		p.dec.at(at, "add ranker: neural, or give these kinds the weight 0 and leave impressions out", "only a ranker reads impressions, and the model has none")
	}
	kinds := p.kinds()
	for i, kind := range m.Impressions {
		w, given := m.Weights[kind]
		switch {
		case kind == "" || slices.Contains(m.Impressions[:i], kind):
			p.dec.at(at, "name each kind once", "kind %q is empty or named twice", kind)
		case kinds != nil && !slices.Contains(kinds, kind):
			p.dec.at(at, p.known("sources.events.kinds", kind, kinds), "no event has the kind %q", kind)
		case given && w != 0:
			p.dec.at(path+".weights."+kind, "leave the weight out: that an item was shown says nothing of taste", "%q is an impression, and yet weighs %v", kind, w)
		}
	}
}

// weights are those of the model, in which impressions are no signal.
func (m Model) weights() map[string]float64 {
	if len(m.Impressions) == 0 {
		return m.Weights
	}
	w := maps.Clone(m.Weights)
	if w == nil {
		w = map[string]float64{}
	}
	for _, kind := range m.Impressions {
		if _, given := w[kind]; !given {
			w[kind] = 0
		}
	}
	return w
}

// checkTimes checks a job's name and when it runs, and returns its intervals.
func (p *Project) checkTimes(name string, j Job) (table.Every, error) {
	d, path := p.dec, "jobs."+name
	if !policy.ValidName(name) {
		d.at(path, "", "%q is no name: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter", name)
	}
	loc := p.zone(path+".time_zone", j.TimeZone)
	every, err := table.EveryOf(j.Every, loc)
	if err != nil {
		d.at(path+".every", "as 1h, 1d or 1w", "%v", err)
	}
	if j.Schedule != "" {
		if _, err := schedule.Parse(j.Schedule, loc); err != nil {
			d.at(path+".schedule", "", "%v", err)
		}
	}
	oneOf(d, path+".overlap", j.Overlap, "skip", "buffer-one", "cancel-other", "allow-all")
	if j.CatchUp < 0 || j.Lookback < 0 {
		d.at(path, "", "catch_up and lookback may not be negative")
	}
	return every, err
}

// checkRanker refuses a job whose model has a re-ranker and that leaves it nothing to learn from, or more circumstances than it takes.
func (p *Project) checkRanker(path string, j Job) {
	if used := j.Evaluate.Split.Last + j.Evaluate.Split.Validation; 3*(used+j.Evaluate.Split.Validation) > 2*j.Train.Window {
		p.dec.at(path+".train.window", "lengthen it, or leave out models."+j.Train.Model+".ranker",
			"test and validation take %s, and the re-ranker learns on as long a time before them as the validation at least: a third of the window must be left to the parts", features.FormatWindow(used))
	}
	var context []string
	for _, c := range p.Purposes[j.Purpose.Train].Reads["events"] {
		if p.Sources.Events.Columns[c] != "" && !slices.Contains(p.Sources.Events.Numbers, c) {
			context = append(context, c)
		}
	}
	if most := models.MaxContextColumns - 2; len(context) > most {
		p.dec.at("purposes."+j.Purpose.Train+".reads.events", "let it read fewer, or leave out models."+j.Train.Model+".ranker", "%d context columns, and a re-ranker takes at most %d", len(context), most)
	}
	for _, c := range context {
		if c == models.DaypartColumn || c == models.WeekdayColumn {
			p.dec.at("sources.events.columns."+c, "as my_"+c, "the re-ranker tells the %s from the time itself: name this column otherwise", c)
		}
	}
}

func (p *Project) checkJob(name string, j Job) {
	d, path := p.dec, "jobs."+name
	if every, err := p.checkTimes(name, j); err == nil && j.Evaluate.Split.Last == 0 {
		now := every.Containing(time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC))
		j.Evaluate.Split.Last = now.End.Sub(now.Start)
		p.Jobs[name] = j
	}
	if j.Evaluate.Split.Validation == 0 {
		j.Evaluate.Split.Validation = max(j.Evaluate.Split.Last, min(4*j.Evaluate.Split.Last, j.Train.Window/4))
		p.Jobs[name] = j
	}
	if _, ok := p.Models[j.Train.Model]; !ok {
		p.undeclared(path+".train.model", "models", "model", j.Train.Model, sortedKeys(p.Models))
	}
	if p.Models[j.Train.Model].Ranker != nil {
		p.checkRanker(path, j)
	}
	if used := j.Evaluate.Split.Last + j.Evaluate.Split.Validation; 3*used > 2*j.Train.Window {
		d.at(path+".train.window", "the last split is the test, the validation before it weighs the parts, and the rest is learned from",
			"test and validation take %s: at least a third of the window must be left to learn from", features.FormatWindow(used))
	}
	if pu, ok := p.Purposes[j.Purpose.Train]; !ok {
		p.undeclared(path+".purpose.train", "purposes", "purpose", j.Purpose.Train, sortedKeys(p.Purposes))
	} else {
		if pu.Use == useEvaluation || pu.Use == useMitigation {
			d.at(path+".purpose.train", "", "purpose %q is declared for %s alone", j.Purpose.Train, pu.Use)
		}
		p.checkReads(name, j)
		p.checkListReads(name, j)
		p.checkGuardReads(name, j)
	}
	p.checkEvaluate(name, j)
	p.checkMinimize(name, j)
	p.checkMitigation(name, j)
	p.checkTrust(name, j)
	if v := *j.MinVolume; v < 0 || v >= 1 {
		d.at(path+".min_volume", "0.5 refuses an interval with under half of the usual events", "must be at least 0 and less than 1")
	}
	for i, b := range j.Budgets {
		if err := b.budget().Validate(j.Evaluate.K, j.Evaluate.cohorts(), BaselineNames); err != nil {
			p.each(fmt.Sprintf("%s.budgets[%d]", path, i), err)
		}
	}
	p.checkJobViews(name, j)
}

// undeclared reports a name that is used at path and stands nowhere under what.
func (p *Project) undeclared(path, what, kind, got string, names []string) {
	switch {
	case p.dec.broken[what]: // it may well be there
	case got == "":
		p.dec.at(path, p.known(what, got, names), "missing")
	default:
		p.dec.at(path, p.known(what, got, names), "no %s %q is declared", kind, got)
	}
}

func (p *Project) known(what, got string, names []string) string {
	if near := nearest(got, names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) == 0 {
		return "declare it under " + what
	}
	return "declared: " + strings.Join(names, ", ")
}

func (p *Project) purpose(name string) policy.Purpose {
	pu := p.Purposes[name]
	out := policy.Purpose{Name: name, Says: pu.Says, Basis: policy.Basis(pu.Basis), Reads: pu.Reads, Keep: pu.Keep, Use: pu.Use}
	for _, t := range p.Terms(name) {
		out.Terms = append(out.Terms, t.String())
	}
	return out
}

func (b Budget) budget() eval.Budget {
	return eval.Budget{
		Metric: b.Metric, Cohort: b.Cohort, RelativeGap: b.RelativeGap, AbsoluteGap: b.AbsoluteGap, Against: b.Against, Ratio: b.Ratio,
		AtLeast: b.AtLeast, AtMost: b.AtMost, Margin: b.Margin, Pool: b.Pool,
		MinN: b.MinN, OnFail: eval.Action(b.OnFail), Owner: b.Owner, Why: b.Why,
	}
}
