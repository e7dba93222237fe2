package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/storage"
)

// canaries are the people who are looked for. Their ids are of every kind that sources have; flock are so many that no count of them is small.
var (
	canaryNumber = "7046029254386353131"
	canaryMail   = "Canary+7 of <nobody>&co@example.org"
	canaryLong   = "canary-long-" + strings.Repeat("vogel/", 40) + "end"
	canaryStem   = "canary-branch" // of canaryLeaf, who stays when this one is erased
	canaryLeaf   = "canary-branch-and-leaf"
	canaryUUID   = "c0ffee00-cafe-4bad-8bad-0123456789ab"
	canaryWide   = "canari-Zoë-東京"

	canarySingles = []string{canaryNumber, canaryMail, canaryLong, canaryStem, canaryUUID, canaryWide}
	canaryFlock   = func() (ids []string) {
		for i := range 12 {
			ids = append(ids, fmt.Sprintf("canary-flock-%03d", i+1))
		}
		return ids
	}()
	canaryGone = slices.Concat(canarySingles, canaryFlock) // whom the canary of erasure erases
	canaryAll  = append(slices.Clone(canaryGone), canaryLeaf)
)

// Planted values stand on canaries alone: own ones on canaryMail, the others on all of the flock.
const (
	ownCity, ownChannel, ownForm, ownBrand          = "Canaryville-Mitte", "canarychannel-own", "canaryform-own", "canarybrand-own"
	flockCity, flockChannel, flockForm, flockBrand  = "Canaryville-Nord", "canarychannel-flock", "canaryform-flock", "canarybrand-flock"
	ownItem, flockItem, ownGender, flockGender      = "canaryitem-own", "canaryitem-flock", "canarygender-own", "canarygender-flock"
	undeclaredMail, undeclaredPhone, canaryRecordID = "canary.undeclared@example.org", "+49-canary-5550100", "canary-record-"
)

// ownValues tell of single people, and go with them. manyValues are of as many as are shown, or name an item: they stand in models, views of items, lists and reports
// of before an erasure.
var (
	ownValues  = []string{ownCity, ownChannel, ownForm, ownBrand, ownGender, flockForm, flockBrand}
	manyValues = []string{flockCity, flockChannel, flockItem, ownItem, flockGender}
)

// canaryWorld is what canaries live in: smaller than longWorld, and over before anybody's consent changes by itself.
func canaryWorld() synth.World {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	w := synth.World{Users: 50, Items: 40, Days: 10, Seed: 11, EventsPerUser: 30}
	w.Start = today.AddDate(0, 0, -w.Days)
	return w
}

// The rows of canaries' files: with columns that no purpose declares, and in one file with ids that are numbers.
type canaryEvent struct {
	rawEvent
	Mail  string `parquet:"customer_mail"`
	Phone string `parquet:"phone"`
}

type canaryNumberedEvent struct {
	UserID  int64   `parquet:"user_id"`
	SKU     string  `parquet:"sku,dict"`
	Time    int64   `parquet:"ts,timestamp(microsecond)"`
	Action  string  `parquet:"action,dict"`
	Amount  float64 `parquet:"amount,optional"`
	Device  string  `parquet:"device,dict"`
	Channel string  `parquet:"channel,dict,optional"`
}

// spelled is how sources write an id, where they may.
func spelled(id string) string {
	if id == canaryUUID {
		return strings.ToUpper(id)
	}
	return id
}

// canaryShop is a live project with canaries in every source, on one site, and everything that it has told anybody.
type canaryShop struct {
	*testing.T
	site  site
	world synth.World
	raw   storage.Bucket
	plant planting
	dir   string                  // of the project
	tmp   string                  // TMPDIR
	scans map[scanned][][2]string // what was found in a body, and in which part of it

	mu   sync.Mutex
	told map[string][]byte // what was printed, logged, answered and sent, by where
}

// planting says how canaries differ from what they are by default: people who consented before the first day.
type planting struct {
	left []string                // of whom nothing stands in the sources but records of consent
	said map[string][]rawConsent // in place of their consent, by id
}

// sources puts the world and its canaries where the project reads them.
func (s *canaryShop) sources() {
	s.Helper()
	if _, err := s.world.Write(s.Context(), s.raw, ""); err != nil {
		s.Fatal(err)
	}
	for day := range s.world.Days {
		s.plantEvents(day)
	}
	at := s.world.Start.AddDate(0, 0, -1)
	var csv, lines, cohorts bytes.Buffer
	csv.WriteString("user_id,region,age_band\n")
	var consent []rawConsent
	for i, id := range canaryAll {
		city, gender, form := "north", "f", "app"
		switch {
		case id == canaryMail:
			city, gender, form = ownCity, ownGender, ownForm
		case slices.Contains(canaryFlock, id):
			city, gender, form = flockCity, flockGender, flockForm
		}
		if !slices.Contains(s.plant.left, id) {
			fmt.Fprintf(&csv, "%q,%s,25-34\n", spelled(id), city)
			fmt.Fprintf(&cohorts, "%s\n", mustJSON(map[string]string{"user_id": spelled(id), "gender": gender, "age_band": "25-34"}))
		}
		records, other := s.plant.said[id]
		if !other {
			records = []rawConsent{{State: "ConsentGiven", Effective: at.UnixMicro()}}
		}
		for _, r := range records {
			r.Subject, r.Purpose, r.Recorded, r.Source, r.RecordID = spelled(id), "recommend", r.Effective, form, fmt.Sprintf("%s%03d of %s %s", canaryRecordID, i, id, r.State)
			if i%2 == 0 {
				consent = append(consent, r)
				continue
			}
			line := map[string]string{
				"subject": r.Subject, "purpose": r.Purpose, "state": r.State, "effective_at": time.UnixMicro(r.Effective).UTC().Format(time.RFC3339), "source": r.Source, "record_id": r.RecordID,
			}
			if r.Expires != 0 {
				line["expires_at"] = time.UnixMicro(r.Expires).UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(&lines, "%s\n", mustJSON(line))
		}
	}
	writeParquet(s, s.raw, "consent/canaries.parquet", consent)
	for key, body := range map[string][]byte{
		"subjects-canaries.csv": csv.Bytes(), "cohorts-canaries.jsonl": cohorts.Bytes(), "consent/canaries.jsonl.gz": gzipped(lines.Bytes()), "preferences/wishes.csv": s.wishes(),
	} {
		if _, err := s.raw.Put(s.Context(), key, storage.Bytes(body), storage.Cond{}); err != nil {
			s.Fatal(err)
		}
	}
}

// plantEvents gives canaries what others do on a day, and some of it as nobody else does it.
func (s *canaryShop) plantEvents(day int) {
	s.Helper()
	var named []canaryEvent
	var numbered []canaryNumberedEvent
	for i, e := range readParquet[rawEvent](s, s.raw, s.eventsKey(day, "part-0")) {
		id, channel, item := canaryAll[i%len(canaryAll)], "", ""
		switch {
		case slices.Contains(s.plant.left, id):
			continue
		case id == canaryMail:
			channel, item = ownChannel, ownItem
		case slices.Contains(canaryFlock, id):
			channel, item = flockChannel, flockItem
		}
		if channel != "" {
			e.Channel = channel
			if e.Action == "buy" || i%3 == 0 {
				e.SKU, e.Action = item, "buy"
			}
		}
		if e.UserID = spelled(id); id != canaryNumber {
			named = append(named, canaryEvent{e, undeclaredMail, undeclaredPhone})
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		numbered = append(numbered, canaryNumberedEvent{n, e.SKU, e.Time, e.Action, e.Amount, e.Device, e.Channel})
	}
	writeParquet(s, s.raw, s.eventsKey(day, "canaries"), named)
	if len(numbered) > 0 {
		writeParquet(s, s.raw, s.eventsKey(day, "canary-number"), numbered)
	}
}

func (s *canaryShop) eventsKey(day int, part string) string {
	return "events/dt=" + s.label(day) + "/" + part + ".parquet"
}

// wishes are what canaries want of their lists.
func (s *canaryShop) wishes() []byte {
	var b bytes.Buffer
	b.WriteString("subject,preference,value,time\n")
	at := s.world.Start.Format(time.RFC3339)
	for id, value := range map[string]string{canaryMail: ownBrand, canaryFlock[0]: flockBrand} {
		fmt.Fprintf(&b, "%q,exclude,brand=%s,%s\n", id, value, at)
	}
	return b.Bytes()
}

func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // of plain data
	}
	return body
}

func gzipped(body []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(body); err != nil {
		panic(err) // into memory
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// newCanaryShop makes the project on a site, with nothing run yet.
func newCanaryShop(t *testing.T, where site, plant planting) *canaryShop {
	t.Helper()
	s := &canaryShop{T: t, site: where, plant: plant, world: canaryWorld(), dir: t.TempDir(), tmp: t.TempDir(), told: map[string][]byte{}, scans: map[scanned][][2]string{}}
	t.Setenv("TMPDIR", s.tmp)
	t.Setenv("SHOP_TOKEN", "open sesame")
	var err error
	if s.raw, err = storage.Open(t.Context(), where.raw(s.dir), where.options()); err != nil {
		t.Fatal(err)
	}
	s.sources()
	writeProject(t, s.dir, s.project(s.outside()))
	return s
}

// project is the project file: that of the other tests, live, with every source that may name people and every place that is told of runs.
func (s *canaryShop) project(outside string) string {
	s.Helper()
	text := projectYAML(s, s.site.raw(s.dir)+"/", s.site.lake(s.dir))
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(l, "clock:"):
			continue
		case strings.HasPrefix(l, "online:"):
			l = "online: " + s.site.online(s.dir)
		case strings.Contains(l, "{metric:"):
			l = strings.Replace(l, "owner:", "on_fail: warn, owner:", 1)
		}
		lines = append(lines, l)
	}
	text = strings.Join(lines, "\n")
	for _, r := range [][2]string{
		{"subjects.parquet", "subjects*"},
		{"cohorts.parquet", "cohorts*"},
		{"consent/*.parquet", "consent/*"},
		{"\npurposes:", "\n  preferences: {path: \"" + s.site.raw(s.dir) + "/preferences/*\"}\n\npurposes:"},
		{"als, content]", "als: {dim: 8, epochs: 3}, content]"},
		{"window: 8d", "window: 14d"},
		{"    drift: {action: warn}", "    drift: {action: warn}\n    trust: {days: 1}"},
		{"seen: auto}", "seen: auto, unprofiled_by: [channel, category], related: 5}"},
	} {
		if !strings.Contains(text, r[0]) {
			s.Fatalf("the project has no %q any more", r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	return text + fmt.Sprintf(`
serve: {token: env:SHOP_TOKEN}
alerts:
  - {webhook: %q}
  - {webhook: %q, format: slack}
lineage: {file: ./lineage.ndjson, url: %q}
`, outside+"/hook", outside+"/slack", outside+"/lineage")
}

// outside is a server of somebody else that keeps all that it is sent: addresses, heads and bodies.
func (s *canaryShop) outside() string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all bytes.Buffer
		if err := r.Write(&all); err != nil {
			s.Errorf("what is sent to %s: %v", r.URL.Path, err)
		}
		s.tell("sent to "+strings.TrimPrefix(r.URL.Path, "/"), all.Bytes())
	}))
	s.Cleanup(srv.Close)
	return srv.URL
}

// tell keeps what somebody was told.
func (s *canaryShop) tell(where string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[where] = append(append(s.told[where], text...), '\n')
}

// rapport runs a verb with text on standard input, which must end with the code. What it prints is kept.
func (s *canaryShop) rapport(want int, stdin string, args ...string) string {
	s.Helper()
	var out, errs bytes.Buffer
	code := run(s.Context(), append([]string{"-v", "-c", filepath.Join(s.dir, projectFile)}, args...), os.Getenv, strings.NewReader(stdin), &out, &errs)
	s.tell("stdout of "+args[0], out.Bytes())
	s.tell("stderr of "+args[0], errs.Bytes())
	if code != want {
		s.Fatalf("rapport %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String()
}

// label names the interval of a day.
func (s *canaryShop) label(day int) string {
	return s.world.Start.AddDate(0, 0, day).Format(time.DateOnly)
}

// night runs the night after a day (from 0) of the world.
func (s *canaryShop) night(day int) {
	s.Helper()
	s.rapport(exitOK, "", "run", "nightly", "--at", s.world.Start.AddDate(0, 0, day+1).Format(time.RFC3339))
}

// last is the last day of the world.
func (s *canaryShop) last() int { return s.world.Days - 1 }

// rotate begins a new secret, with the old one beside it.
func (s *canaryShop) rotate() {
	s.Helper()
	file := filepath.Join(s.dir, projectFile)
	body, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	old, now := `pseudonyms: {key: "file:./pseudonym.key", key_id: k1}`, `pseudonyms: {key: "file:./pseudonym2.key", key_id: k2, previous: [{key: "file:./pseudonym.key", key_id: k1}]}`
	if !bytes.Contains(body, []byte(old)) {
		s.Fatalf("the project has no %q any more", old)
	}
	writeFile(s, file, bytes.Replace(body, []byte(old), []byte(now), 1))
	writeFile(s, filepath.Join(s.dir, "pseudonym2.key"), []byte(secondSecret))
}

func writeFile(t testing.TB, file string, body []byte) {
	t.Helper()
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

// secondSecret is the pseudonym secret after a rotation.
const secondSecret = "7365636f6e64206b6579206f662074686520636861726d6f737420626972647331"

// visit asks a server, as a serving system does, and keeps what it says, heads included.
func (s *canaryShop) visit(server *served, code int, method, path string, body any) string {
	s.Helper()
	var sent *bytes.Reader
	if sent = bytes.NewReader(nil); body != nil {
		sent = bytes.NewReader(mustJSON(body))
	}
	req, err := http.NewRequestWithContext(s.Context(), method, server.url+path, sent)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer open sesame")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	var all, answer bytes.Buffer
	if err := resp.Header.Write(&all); err != nil {
		s.Fatal(err)
	}
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		s.Fatal(err)
	}
	s.tell("answer to "+method+" "+strings.SplitN(path, "?", 2)[0], append(all.Bytes(), answer.Bytes()...))
	if resp.StatusCode != code {
		s.Fatalf("%s %s: %d, want %d: %s", method, path, resp.StatusCode, code, answer.String())
	}
	return answer.String()
}

// serve starts a server on the project. stop ends it and keeps its log.
func (s *canaryShop) serve() (server *served, stop func()) {
	s.Helper()
	server = startServe(s.T, filepath.Join(s.dir, projectFile))
	return server, func() {
		s.Helper()
		server.signal(os.Interrupt, exitOK)
		s.tell("stderr of serve", []byte(server.errors.String()))
	}
}
