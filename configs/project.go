package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features/event"
)

// Project is a project file as written, with defaults filled in. Its Go field names are its keys in snake_case.
type Project struct {
	Project    string // a short name: a-z, 0-9, _ and -
	Storage    Storage
	Online     Online
	Pseudonyms Pseudonyms
	Clock      Clock
	Memory     string // what a build of views may take for its state, as 8GiB, before it goes to disk (TMPDIR): 64MiB at least, half of the machine's or the container's if left out; readers and the rows that are written come on top
	Sources    Sources
	Purposes   map[string]Purpose

	SensitiveItems    *SensitiveItems
	ProtectedSubjects []map[string]condition // people who are never profiled, as minors: each entry names those of whom a row of sources.subjects meets all of its conditions, as {age_band: [under 16]} or {age: {max: 15}}. They contribute to nothing and read the list not based on profiling, whatever they or others for them have agreed to. The columns are read for this alone, and none is kept; who has no row, or no value, is not among them. What was withheld when a day was read comes back only when its files change: try an entry with rapport validate first

	Views  map[string]View
	Models map[string]Model
	Jobs   map[string]Job
	Serve  Serve

	Retention *Retention

	Alerts  []Alert
	Lineage Lineage

	Calendar map[string]Expected // days of which is known beforehand that they are unlike others, by a name

	dir    string // folder of the file: relative paths start here
	dec    *decoder
	coarse map[string]event.Coarsenings // by data set
}

// Storage is where everything durable stands: a URL alone, or a mapping with the settings of an S3-compatible server.
type Storage struct {
	URL         string // s3://bucket/prefix or file:PATH
	Endpoint    string // https://host:port; AWS if left out
	Region      string // where the bucket is
	PathStyle   bool   // for servers without a host name a bucket
	CAFile      string // who signed the server's certificate, if the system does not know
	CertFile    string // of a client certificate, where the server wants one
	KeyFile     string // of the same
	Insecure    string // why objects may go to another machine unencrypted, where the endpoint is http://: in words, for who reads this file later
	Credentials string // "" (environment, then file, then instance role), env, file, or instance
	SSE         string // "", s3, or kms:KEYID
	Checksums   bool   // send trailing checksums, which some servers reject
}

func (s *Storage) decode(d *decoder, n ast.Node, path string) {
	if _, ok := n.(*ast.StringNode); ok {
		s.URL, _ = d.scalar(n, path)
		return
	}
	d.structInto(n, reflect.ValueOf(s).Elem(), path)
}

// Online is the store that serving systems read: a URL alone, or a mapping with what a Redis server wants.
type Online struct {
	URL      string // embedded:PATH, redis://host:port/db or rediss://host:port/db
	Username string // of the server's access list
	Password string // env:NAME, file:PATH or command:PROGRAM ARGUMENT…, never the secret itself
	CAFile   string // who signed the server's certificate, if the system does not know
	CertFile string // of a client certificate, where the server wants one
	KeyFile  string // of the same
	Insecure string // why rows may go to another machine unencrypted, where the URL is redis://: in words, for who reads this file later
}

func (o *Online) decode(d *decoder, n ast.Node, path string) {
	if _, ok := n.(*ast.StringNode); ok {
		o.URL, _ = d.scalar(n, path)
		return
	}
	d.structInto(n, reflect.ValueOf(o).Elem(), path)
}

// Pseudonyms says where the secret stands from which the store, serving and erasure keys are derived.
type Pseudonyms struct {
	Key      string // env:NAME, file:PATH or command:PROGRAM ARGUMENT…, never the secret itself, which has at least 16 bytes and is best 32 random ones (openssl rand -hex 32)
	KeyID    string // stands in what is stored, so that a later key can be told from this one; k1 if left out
	Previous []PreviousKey
}

// PreviousKey is a retired secret that still finds people who have not reappeared since the rotation.
type PreviousKey struct {
	Key   string // env:NAME, file:PATH or command:…
	KeyID string // that stood beside it
}

// Clock pins "now" for a project of old data. A live project leaves it out.
type Clock struct {
	Fixed time.Time // what every run takes for now
}

// Sources are the data sets outside Rapport.
type Sources struct {
	Events   Events
	Items    *Attributes
	Subjects *Attributes
	Cohorts  *Attributes
	Consent  *Consent

	Preferences *Preferences
	Identities  *Identities
}

// Identities is a table of ids that are the same person's, Parquet, CSV or JSON Lines: one row a link, from an alias, as a cookie or a card, to the id
// that the person is known by. Rows of events, consent, preferences and attributes under an alias count as the person's; nothing else links ids.
// A chain, and an alias of two people, are refused by row.
type Identities struct {
	Path string // pattern of the files
	From string // the column that holds the other id, as cookie_id
	To   string // the column that holds the id that the person is known by, as user_id
}

// Events maps the columns of the event files.
type Events struct {
	Path        string            // pattern of the files, with {date} (or {yyyy}, {mm} and {dd}) where the path says when a file arrived
	Subject     string            // the column that names the person
	Item        string            // the column that names the thing
	At          string            // the column that says when
	Created     string            // a column that says when the event became known, where that may be later
	Kind        string            // the column that says what happened
	Value       string            // a column with a number: price, rating
	DefaultKind string            // kind of every event where no column says it
	Columns     map[string]string // context columns: name → column
	Numbers     []string          // the context columns that hold numbers; the others are categories
	TimeUnit    string            // s, ms, us or ns, where the time is an integer
	Zone        string            // where times are local without a zone
	Lateness    time.Duration     // how long after its day an event may arrive; none if left out. With it each day reads the files of so many days more, and is read again when they come

	Explode      string            // a list column of which each element is an event; columns inside are named as items[].sku
	Kinds        map[string]string // raw kind → kind, or "-" to leave its rows out; kinds that are not named are unknown
	UnknownKinds *float64          // share of rows of unknown kind above which a day fails; 0.01 if left out
	TimeFormat   string            // of times that are text in another form than RFC 3339, as %d.%m.%Y %H:%M
	Settle       time.Duration     // how long after its end a day without _SUCCESS is taken for complete; at once if left out
	Expect       *Expect
	Coarsen      map[string]Coarsen // context columns, and value
}

// Coarsen makes the values of a column coarser where they are read: what they were goes no further. One of these is said of a column. A rule that is changed
// reads all days again; those whose files are gone are not used any more, and rapport gc removes them.
type Coarsen struct {
	Width     float64   // numbers become bins of this width, in the unit of the column: in a column of numbers 37 is 30, else "30 to under 40", where the width is 10
	Edges     []float64 // numbers become bins that begin here: in a column of numbers 37 is 18, else "18 to under 65", where the edges are [0, 18, 65]
	Prefix    int       // so many characters are left
	Hierarchy string    // a CSV or Parquet file beside the project file that says what each value becomes, with the columns value, level_1, level_2 and so on, each level coarser than the one before it; a value that it does not know is "other"
	Level     int       // of the hierarchy; 1 if left out
	AtLeast   int       // people of a day (of a snapshot, where it has no days) who must share what is told of a value, 11 or more: what fewer share is told at the next level of the hierarchy, at last not at all; if left out, all are told at level
	Clock     string    // what is left of a time or a clock's reading, as 08:30, by the clock that it is written in: its hour, or the part of the day
}

// Expect says what the rows of a source should be like. What a column requires leaves rows out that break it, and so does drop; all else only
// judges, and what is missed warns or fails the run.
type Expect struct {
	Volume     *ExpectVolume
	Fresh      *ExpectFresh            // how old the newest may be: of events at the end of their interval, of other sources their newest file now
	Schema     string                  // warn or fail where a file lacks a declared column; columns that are new are told
	Duplicates *ExpectDuplicates       // share of rows that may repeat another: events equal in subject, item, time and kind, rows with the key of another
	Bad        *ExpectShare            // share of rows that may be left out for what they hold
	Columns    map[string]ExpectColumn // by their names here: value, those under columns, attributes
}

// ExpectVolume bounds the rows of an interval, or of a snapshot, by the median of up to 8 before it, once there are 4.
type ExpectVolume struct {
	Least   *float64 // share of the median under which it is too little; of events it stands in for min_volume
	Most    *float64 // multiple of the median above which it is too much; of events 2 if left out, 0: never
	OnLeast string   // fail if left out
	OnMost  string   // warn if left out
}

// ExpectFresh is a duration, or a mapping.
type ExpectFresh struct {
	Within time.Duration // how old
	OnMiss string        // fail if left out
}

// ExpectShare is a share, or a mapping.
type ExpectShare struct {
	Most   *float64 // share of rows, 0 to 1
	OnMiss string   // fail if left out
}

// ExpectDuplicates is a share, or a mapping.
type ExpectDuplicates struct {
	Most   *float64 // share of rows, 0 to 1
	OnMiss string   // warn if left out
	Drop   bool     // keep one of equal events, and leave out the others
}

// ExpectColumn is what is expected of one column. Numbers that are none (NaN, infinite) leave their rows out without being told to.
type ExpectColumn struct {
	Required bool         // rows without it are left out
	Min      *float64     // of a number; rows below are left out
	Max      *float64     // of a number; rows above are left out
	Known    []string     // of a category; rows with others are left out
	Bad      *ExpectShare // share of rows that may be left out for this column; 0.01 if any may be
	Nulls    *ExpectShare // share of rows that may be without it
}

// Attributes maps the columns of a table with one row an item or a subject. Which columns are read is what the purposes declare.
type Attributes struct {
	Path    string            // pattern of the files
	Item    string            // the column that names the item
	Subject string            // the column that names the subject
	Columns map[string]string // attribute → column, where they differ
	Numbers []string          // the attributes that hold numbers; the others are categories
	Expect  *Expect
	Coarsen map[string]Coarsen // attributes of subjects and cohorts
}

// Consent says that there are records of consent, or of objection: in files, Parquet, CSV or JSON Lines with the columns subject, purpose, state, effective_at
// and, where there are any, recorded_at, expires_at, source, record_id; and one by one, through rapport consent import and POST /v1/consent.
type Consent struct {
	Path    string            // pattern of the files; records come one by one alone if left out
	Columns map[string]string // name here → column, where they differ
	Zone    string            // of times without one
	Hold    *float64          // share of those whose data may be used whom new files may deny, other than by their own withdrawal, before the files are held, above 0 to 1; 0.05 if left out. Fewer than 11 people are held only if they are more than half
	Sync    string            // when serve reads the files between runs, so that who has withdrawn in them is denied: cron in UTC, as */15 * * * *; left out: only runs and rapport consent sync do
	Expect  *Expect           // no record is left out for what it holds
}

// Preferences says that people are asked what they want of their lists: through files, Parquet, CSV or JSON Lines with the columns subject, preference, value
// and time, and one by one, through rapport subject prefer and POST /v1/preferences. Preferences are level (off: the list not based on profiling, broad: a
// list by levels of lists.broad, full), pause (on, off), reset, exclude and include (attribute=level), forget (an item), less and usual (an item or
// attribute=level), prefer (new, usual), thumbs-down and thumbs-up (an item).
type Preferences struct {
	Path    string            // pattern of the files; people are asked one by one alone if left out
	Columns map[string]string // name here → column, where they differ
	Zone    string            // of times without one
}

// Purpose is one declared use of data.
type Purpose struct {
	Says  string                   // in plain words, for the people it is about
	Basis string                   // on what ground; legitimate-interest ends for who objects
	Term  oneOrMore                // what others call that ground or use: terms of the W3C Data Privacy Vocabulary and of the IAB's framework, as dpv:Consent, eu-gdpr:A6-1-f or tcf:5; those are listed in docs/contracts.md, Purposes
	Reads map[string][]string      // data set → columns: what is not here is not read
	Keep  map[string]time.Duration // data set → how old what is used may be
	Use   string                   // evaluation: what is read for it can never reach a model
}

// SensitiveItems are things that tell of a person what few would have told, as of health, faith or sexuality. They are no signal for anything that is
// learned, and stand in no list and beside no item; but for those who hold the consent of the purpose that is named here. What was withheld when a day was
// read comes back only when its files change, whatever is declared or agreed to later.
type SensitiveItems struct {
	Where   []map[string]condition // each entry names the items that meet all of its conditions on attributes, as {category: [pregnancy]}; an item without the attribute is not among them
	Purpose string                 // whose consent lets their events count and their items be shown; nobody's if left out
}

// View declares features of one kind of entity over windows.
type View struct {
	Key      oneOrMore          // of whom or what: subject, item, kind or a context column; of pairs: two of them, as [subject, item]
	Windows  []time.Duration    // each ends where the interval ends; whole seconds, from 1s to 100 years, as 1h, 7d or 28d
	Hop      time.Duration      // features join sees the view as of the last whole hop before an example, counted back and forth from the end of the interval (--at); left out: as of the very moment
	Features map[string]Feature // each over every window
}

// Feature is one aggregate: {count: {kind: view}}, {sum: value}, {decayed: {half_life: 7d}}.
type Feature struct {
	Op string
	arguments
}

// arguments are what operators take; which takes what is said beside them (operators).
type arguments struct {
	Column   string               // the column that is aggregated; the value alone, as {sum: value}, is short for it
	Kind     oneOrMore            // events of these kinds alone; of a share without is: the kinds that count
	Where    map[string]condition // events whose columns hold these values alone, as {device: [app, web], price: {min: 5, max: 100}, category: {not: [gift]}}
	HalfLife time.Duration        // after which an event counts half
	N        int                  // how many values
	Q        float64              // which quantile: 0.5 is the median
	Of       string               // the column whose values are compared; kind if left out
	Is       oneOrMore            // the values that count
	Weights  map[string]weight    // by kind: a number, so that each event counts so much (implicit), or value, or {value: 0.5}, so that it counts with its value (explicit); others not at all
}

// weight is how much an event of a kind counts: a number, a column, or {column: factor}.
type weight struct {
	Times  float64
	Column string // "": each event counts alike
}

// condition keeps events whose column holds one of some values: a value, a list, or a mapping.
type condition struct {
	In  oneOrMore // one of these
	Min *float64  // at least
	Max *float64  // at most
	Not *excluded // none of these, as not: [gift], or not in a range
}

// excluded is what a condition leaves out.
type excluded struct {
	In  oneOrMore
	Min *float64
	Max *float64
}

// Model declares a recommender: its parts and what its lists hold.
type Model struct {
	Parts       []Part             // popular, again, als and content if left out; the settings of one, as of ease, with their meaning: go doc -u ./models/ease Hyper
	Ranker      *Ranker            // neural, or {neural: {hyperparameters}}: corrects the best candidates of the parts' blend; none if left out
	Weights     map[string]float64 // event kind → confidence; others 1; 0: these events are no signal; negative, as of a return or a thumbs-down: nor are they, and from then on their item is in no list of that person
	Impressions oneOrMore          // the kinds of event that say that an item was put before a person, as shown; no signal of taste, they weigh 0: the ranker alone reads them, to learn what was passed over
	Lists       Lists
	Seed        uint64 // of all that is drawn at random; 1 if left out
}

// Part is one algorithm: its name, or {name: {hyperparameters}}.
type Part struct {
	Name string
	args ast.Node
	path string
}

func (p *Part) decode(d *decoder, n ast.Node, path string) {
	p.path = path
	if s, ok := n.(*ast.StringNode); ok {
		p.Name = s.Value
		return
	}
	ps, ok := d.pairs(n, path)
	if !ok {
		return
	}
	if len(ps) != 1 {
		d.fault(line(n), path, "as als, or als: {dim: 64}", "want one algorithm")
		return
	}
	p.Name, p.args, p.path = keyOf(ps[0]), ps[0].Value, join(path, keyOf(ps[0]))
}

// Ranker is what corrects a blend: its name, or {name: {hyperparameters}}.
type Ranker struct{ Part }

// Lists says what a published list holds.
type Lists struct {
	K         int                    // items served; three times as many are published
	Seen      string                 // auto (by the data's repeat share), keep or mask
	Exclude   []map[string]condition // items that stand in no list: each entry names those that meet all of its conditions on attributes, as {category: [gift]} or {price: {min: 500}}; an item without the attribute is not among them
	AtMost    map[string]int         // attribute → how many items of one of its values a list of k may hold, as {category: 3}
	AtLeast   map[string]ListFloor   // attribute → places for items of some of its values, as {brand: {of: [A, B], share: 0.1}}
	Diversity *ListDiversity
	Calibrate *ListCalibrate
	Fresh     *ListFresh
	Broad     string // the item attribute by whose levels the lists of those are made whose preference is level broad; they are as off if left out

	Title        string    // the item attribute that holds what people call an item, for sentences that say why; models do not learn from it
	Related      int       // items in the lists that are published beside each item: similar ones, and those taken with it; none if left out
	Less         *float64  // how far less of something (the preference) moves an item down, as a share of the range of the person's scores, above 0 to 1; 0.5 if left out
	PreferNew    *float64  // how far the preference for what is new moves an item up, half of it if the person has not had the item and half if it is new; 0.5 if left out
	UnprofiledBy oneOrMore // item attributes and context columns of events: for each value a list not based on profiling is published, without what fewer than 11 people took in a context
}

// ListFloor gives the items of some values of an attribute a share of the places of each list, spread over the list, the best scores first.
type ListFloor struct {
	Of    oneOrMore // the values, together
	Share float64   // of the places, 0 to 1
}

// ListDiversity makes lists of items that are unlike one another: each next item has the largest (1 − weight)·score − weight·(its likeness to the
// nearest item before it), the scores of a list brought to 0 … 1.
type ListDiversity struct {
	By     oneOrMore // the attributes in which likeness is counted, or vectors: the model's own
	Weight float64   // above 0 and, with that of calibrate, under 1; the report shows what others would cost and bring
}

// ListCalibrate makes lists whose items are spread over an attribute as those of the person's history are.
type ListCalibrate struct {
	By     string  // the attribute
	Weight float64 // of the divergence from the history, against the scores
}

// ListFresh gives new items a share of the places of each list, spread over the list; which of them is drawn for each person by chance, the best
// scores first.
type ListFresh struct {
	Age   time.Duration // for how long an item is new
	Share float64       // of the places, 0 to 1
	Since string        // attribute that says since when there is the item: a date or a timestamp, also in text as 2026-03-01 or 2026-03-01T10:00:00Z; its first event if left out, and then an item without any is not new
}

// Job is one recurring piece of work.
type Job struct {
	Schedule  string        // cron: minute hour day month weekday, on the wall clock of time_zone; left out: only on demand
	TimeZone  string        // of the schedule and of days; UTC if left out
	Every     string        // length of an interval: 1h, 1d or 1w
	Overlap   string        // what serve does when an interval is due and the one before still runs: skip, buffer-one, cancel-other or allow-all
	CatchUp   time.Duration // how late serve may still start what it missed; 0: only what falls due while it runs
	Lookback  time.Duration // how old a day may be whose changed files are read again; 0: any age
	Purpose   JobPurpose
	Build     Build
	Train     Train
	Evaluate  Evaluate
	Budgets   []Budget
	Drift     Drift
	Trust     *Trust   // weeks are counted: people's trust beside growth
	MinVolume *float64 // an interval with less than this share of the usual events is a failed run
	Publish   Publish
	Minimize  *Minimize
}

// JobPurpose names the purposes under which a job trains and evaluates.
type JobPurpose struct {
	Train    string // under which events are read, models trained and lists published
	Evaluate string // under which cohorts are read
	Mitigate string // under which train.reweight and rapport mitigate may train on cohorts: a purpose of use: mitigation
}

// Build says what is built beside what is published.
type Build struct {
	Views []string // views that are built and not published, as those of a context column or of pairs
}

// Train says what is learned from how much history.
type Train struct {
	Model  string
	Window time.Duration // how much history; 180d if left out

	Reweight *Reweight
}

// Reweight lets what people of a group do weigh more, or less, in training, against a gap between groups (rapport mitigate says what that costs). No list is
// made with it, and no model holds who is in which group. A cohort of sources.cohorts needs purpose.mitigate.
type Reweight struct {
	Cohort oneOrMore          // one of evaluate.cohorts
	Of     map[string]float64 // group → weight, 1/16 to 16; other groups, and who is in none, weigh 1
}

// Evaluate says on what the candidate is judged.
type Evaluate struct {
	Protocol    string                          // temporal: learns from what was before the test, and is asked for that; leave_last_out: asked for each person's last event; strong: for a fifth of the items of a tenth of the people, who are not learned from. The last two are for comparisons with papers: they say nothing of a live system, and the live version is not measured
	Split       Split                           // of the temporal protocol
	K           []int                           // lengths of lists at which they are judged; the first is the headline
	Cohorts     []oneOrMore                     // by what people are compared: attributes of sources.cohorts, activity, tenure, or a context column of events (the level that most of a person's events have); a list, as [gender, age_band], is their intersection, named gender+age_band
	MinN        int                             // the smallest group that is judged
	Cold        int                             // a person with fewer events before the test is cold; 3 if left out
	Activity    []int                           // from how many events in the window the next group of the cohort begins, as [5, 20]; three groups of equal size if left out
	Tenure      []time.Duration                 // the same of the time since a person's first event in the window, as [30d, 90d]
	Diversity   oneOrMore                       // item attributes in which items of a list are compared; those of the list rules if left out
	Calibration string                          // the item attribute over which lists are compared with histories; that of the list rules if left out
	Providers   []string                        // item attributes, as brand, whose levels' exposure is measured
	Content     map[string]map[string]condition // groups of items whose share of places is measured, by cohort too, as premium: {price: {min: 50}}
	New         *EvaluateNew                    // which items are the content "new"; those of the list rules' fresh if left out
	Price       string                          // the item attribute, one of numbers, whose median on each list is measured, by cohort too
}

// EvaluateNew says which items are new.
type EvaluateNew struct {
	Age   time.Duration // for how long an item is new
	Since string        // attribute that says since when there is the item, as lists.fresh has it; its first event if left out
}

// Split is the temporal split: the last of the window is the test; before it lies the validation, on which the parts are weighed (default:
// four times as long, at most a quarter of the window); the rest is learned from.
type Split struct {
	Last       time.Duration // the test; one interval if left out
	Validation time.Duration // the validation before it
}

// Budget is one acceptable range.
type Budget struct {
	Metric      string        // as ndcg@10
	Cohort      string        // a gap between its groups is judged
	RelativeGap *float64      // the largest gap, as a share of the overall figure
	AbsoluteGap *float64      // the largest gap
	Against     string        // live, or a baseline: a ratio to it is judged
	Ratio       *float64      // the smallest
	AtLeast     *float64      // the metric itself may not fall below it; with cohort, in no group
	AtMost      *float64      // the metric itself may not exceed it; with cohort, in no group
	Margin      float64       // how far beyond its bound a value is still taken for kept, in the bound's unit
	Pool        time.Duration // over how long evaluations of the job are pooled to judge it, as 28d, each with its own version; left out: the run's own alone
	MinN        int           // the smallest group that is judged
	OnFail      string        // ratchet goes on unless the candidate is worse than the live version for sure; block refuses; warn lets pass and says so
	Owner       string        // who is named where it fails
	Why         string        // for those who read the report
}

// Drift says how inputs and scores are compared with the past. A job with of, and without train, watches another: it checks that one's inputs by its own
// schedule, and with action retrain it starts it when they have drifted.
type Drift struct {
	Reference string                 // training, the job's training window: the last 8 of the same weekdays in it, if there are 4, else its last 28 intervals; previous: the 7 intervals before; same_weekdays: however few there are
	Action    string                 // what happens when something has drifted: warn; block refuses before anything is trained; retrain, of a job that watches another
	Alpha     float64                // the rate of false alarms; 0.05 if left out
	Columns   map[string]DriftColumn // what holds of single columns, by the names that the report has: price, activity.views_7d, consent:recommend
	Views     *bool                  // false: the columns of views are not compared; they are computed of a sample, as of the interval's end and of a week before
	Of        string                 // the job that this one watches, in place of training itself
	CoolDown  time.Duration          // for so long after drift has started that job, drift does not start it again
}

// DriftColumn is what holds of one column.
type DriftColumn struct {
	Threshold float64 // on its effect, from which a change is large; 0.1 if left out
	Action    string  // warn or block, whatever holds of the others
	Off       bool    // it is not compared
}

// Trust counts each ISO week, Monday to Monday in the job's time zone, once it has ended: for each purpose the share of active people with a valid basis, whose
// consent began, ended, expired or was renewed, objections and opt-outs, complaints, looks at reasons, erasures on time and how little is read; beside them
// active and new people, events and conversions; for everybody and by the declared cohorts that are columns of sources.cohorts. Events are counted under the
// evaluation purpose (without one under the training purpose, and then no rate of consent can be told), kinds only where it reads them. Nothing is told of
// fewer than 11 people, nor what would give that away. {} counts what needs no kinds.
type Trust struct {
	Conversion  oneOrMore // kinds of event that are what a list is for, as buy
	Complaint   oneOrMore // kinds that say that somebody complained
	Explanation oneOrMore // kinds that say that somebody looked at why an item is in a list
	Days        *int      // of a week that must have files for its events to be counted, and not be a gap; 7 if left out
}

// Expected is a kind of day of which is known beforehand that it is unlike others: a sale, a holiday, a migration. It is no part of the reference of other
// days, and plots show it as a band.
type Expected struct {
	Days    []string // as 2026-11-27, each in the job's time zone
	Drift   string   // warn: drift at most warns, and starts no job
	Volume  string   // warn: too few or too many events at most warn
	Weight  *float64 // of its events in training, beside that of their kind; 1 if left out
	Compare string   // last_occurrence: with the days of the entry that lie at most 45 days apart and longer ago than that, where their events may still be kept
}

// Minimize says when, and how, a ledger is made of what each field is worth to the lists of the job, beside what it tells of people.
type Minimize struct {
	Schedule  string              // when serve makes one: cron on the wall clock of time_zone, as 0 4 1 * *; left out: rapport minimize alone makes one. A time at which no run is under way saves memory
	Budget    time.Duration       // for how long it may train; 30m if left out
	Sample    int                 // of how many people, at most; 20000 if left out
	Margin    *float64            // the largest loss of the first metric that is taken for none, as a share of it; 0.005 if left out
	Sensitive map[string][]string // data set → columns that tell much of people: they are tried first, and marked
}

// Publish says under which alias, with which views.
type Publish struct {
	Alias    string   // champion if left out
	Features []string // views that are published beside the lists
}

// Retention is when what is older than every purpose that reads it allows (purposes.NAME.keep) is removed. Left out, only rapport purge removes it.
type Retention struct {
	Schedule string // when serve removes it: cron in UTC, as 0 5 * * *. It waits up to six hours for runs under way, so that a night need not do without what it goes on from
}

// Serve is the HTTP side of rapport serve.
type Serve struct {
	Listen string // host:port; 127.0.0.1:8321 unless told otherwise
	Token  string // env:NAME, file:PATH or command:…: what callers must send, as a bearer token; who has it may do all that any role may

	Tokens     []CallerToken // one for each caller, with what it may do; beside token, or in its place
	AlertAbove int           // of how many people one token may touch the records within an hour before somebody is told, as 1000; any number if left out
}

// CallerToken is what one caller of rapport serve sends. SIGHUP makes a server read them anew.
type CallerToken struct {
	Name       string    // stands in the access log and in alerts: 1 to 64 of a-z, 0-9, _ and -
	Role       oneOrMore // reader (lists, health, metrics, status), operator (health, metrics, status), approver (approving and rejecting versions, status), privacy (preferences, consent, status); or a list of them
	Token      string    // env:NAME, file:PATH or command:…, at least 16 characters
	AlertAbove *int      // in place of serve.alert_above; 0: any number
}

// Alert is one place that is told when something needs a person.
type Alert struct {
	Webhook string   // https://…, or env:NAME, file:PATH or command:… where the address is a secret
	Format  string   // json or slack
	Secret  string   // env:NAME, file:PATH or command:…: with it, the body is signed
	On      []string // failed, rejected, late, drift, budget, consent, late_request, late_retrain, late_purge, access; all of them if left out
	Link    string   // where reports can be opened by those who are told: what stands before reports/…
}

// Lineage says where OpenLineage events go: to a file, a line each, or to an HTTP endpoint.
type Lineage struct {
	File      string
	URL       string
	Token     string // env:NAME, file:PATH or command:…
	Namespace string // of the jobs; the project's name if left out
	Insecure  string // why events may go to another machine unencrypted, where the URL is http://: in words, for who reads this file later
}

// Load reads and checks a project file. Its error is Faults: every fault at once, each with file and line.
func Load(path string) (*Project, error) { return read(path, (*Project).checkLock) }

// Draft is Load without a look at purposes.lock: for who is to accept what is new in the file.
func Draft(path string) (*Project, error) { return read(path) }

func read(path string, further ...func(*Project)) (*Project, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("project file: %w; -c FILE names one, rapport init makes one", err)
	}
	return parse(path, src, further...)
}

// parse decodes and checks; further checks are made of what has no fault so far.
func parse(path string, src []byte, further ...func(*Project)) (*Project, error) {
	d := &decoder{file: path, lines: map[string]int{}, broken: map[string]bool{}}
	p := &Project{dec: d, dir: filepath.Dir(path)}
	if n := d.parse(src); n != nil {
		d.into(n, reflect.ValueOf(p).Elem(), "")
		p.defaults()
		p.check()
		for _, check := range further {
			if len(d.faults) == 0 {
				check(p)
			}
		}
	}
	if len(d.faults) > 0 {
		sort.SliceStable(d.faults, func(i, j int) bool { return d.faults[i].Line < d.faults[j].Line })
		return nil, d.faults
	}
	return p, nil
}

func sortedKeys[V any](m map[string]V) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}

func oneOf(d *decoder, path, got string, want ...string) {
	for _, w := range want {
		if got == w {
			return
		}
	}
	hint := "one of " + strings.Join(want, ", ")
	if near := nearest(got, want); near != "" {
		hint = "did you mean " + near + "?"
	}
	d.at(path, hint, "%q is not known", got)
}
