package main

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// The canaries of invariants 7, 10 and 11. Each plants people and values that nothing else has into every source of a live project, works with the project as its
// people do, through the command line and a running server, and then looks at every byte that is on disk, in the Redis, or was told anybody. What a scan does not
// find is only worth something where it finds what is there, so each finds its canaries first.

// finds is what a scan found: trace → where, once each.
type finds map[string][]string

func (f finds) note(trace, where string) {
	if !slices.Contains(f[trace], where) {
		f[trace] = append(f[trace], where)
	}
}

// searchStores looks for traces in every byte of the two stores.
func (s *canaryShop) searchStores(traces *storagetest.Traces) finds {
	s.Helper()
	found := finds{}
	s.site.stores(s, s.scanner(traces, found))
	return found
}

// search looks for traces in the stores, and in all that was told anybody.
func (s *canaryShop) search(traces *storagetest.Traces) finds {
	s.Helper()
	found := s.searchStores(traces)
	scan := s.scanner(traces, found)
	walkDisk(s, s.tmp, "TMPDIR/", scan)
	for _, name := range []string{projectFile, "purposes.lock", "lineage.ndjson"} {
		body, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil && !os.IsNotExist(err) {
			s.Fatal(err)
		}
		scan(name, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for where, text := range s.told {
		scan(where, text)
	}
	return found
}

// scanner scans bodies, each once however often it stands somewhere.
func (s *canaryShop) scanner(traces *storagetest.Traces, found finds) func(where string, body []byte) {
	return func(where string, body []byte) {
		key := scanned{traces, sha256.Sum256(body)}
		if _, known := s.scans[key]; !known {
			s.scans[key] = [][2]string{}
			if err := traces.Scan("", body, func(name, in string) { s.scans[key] = append(s.scans[key], [2]string{name, in}) }); err != nil {
				s.Errorf("a place that cannot be searched may hold anything: %s: %v", where, err)
			}
		}
		for _, f := range s.scans[key] {
			found.note(f[0], where+f[1])
		}
	}
}

// scanned is a body that was searched for traces.
type scanned struct {
	traces *storagetest.Traces
	digest [sha256.Size]byte
}

// searchRaw looks for traces in the sources.
func (s *canaryShop) searchRaw(traces *storagetest.Traces) finds {
	s.Helper()
	found := finds{}
	for key, body := range objects(s, s.raw) {
		if err := traces.Scan(key, body, found.note); err != nil {
			s.Fatal(err)
		}
	}
	return found
}

func add(t testing.TB, traces *storagetest.Traces, name string, patterns ...[]byte) {
	t.Helper()
	for _, p := range patterns {
		if err := traces.Add(name, p); err != nil {
			t.Fatal(err)
		}
	}
}

// rawForms are the forms in which an id is as good as itself: as sources spell it, as a number, and hashed without a key, as everybody who has a list of ids can do.
func rawForms(id string) (out [][]byte) {
	out = append(out, []byte(id))
	if s := spelled(id); s != id {
		raw, _ := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
		out = append(out, []byte(s), raw)
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		out = append(out, numberBytes(uint64(n))...)
	}
	for _, text := range []string{id, strings.ToLower(id)} {
		a, b, c := sha256.Sum256([]byte(text)), sha1.Sum([]byte(text)), md5.Sum([]byte(text))
		out = append(out, a[:], b[:], c[:])
	}
	return out
}

// numberBytes are a number's bytes in files: of either order, and as varints of either kind.
func numberBytes(n uint64) [][]byte {
	return [][]byte{
		binary.LittleEndian.AppendUint64(nil, n), binary.BigEndian.AppendUint64(nil, n), binary.AppendUvarint(nil, n), binary.AppendVarint(nil, int64(n)),
	}
}

// pseudonyms are what stands for each of people behind the boundary: the number, as bytes and as text; and the HMACs of the id under the store key and the serving
// key of each secret. These are made here from what the contracts say, not by the product's own functions.
func (s *canaryShop) pseudonyms(ids []string) map[string][][]byte {
	s.Helper()
	out := map[string][][]byte{}
	for i, n := range s.numbers(ids) {
		forms := append(numberBytes(n), []byte(strconv.FormatUint(n, 10)), []byte(strconv.FormatInt(int64(n), 10)), fmt.Appendf(nil, "%x", n))
		for _, secret := range []string{testSecret, secondSecret} {
			for _, label := range []string{"rapport/1/store", "rapport/1/serving"} {
				forms = append(forms, keyed(s, secret, label, ids[i]))
			}
		}
		out[ids[i]] = forms
	}
	return out
}

// keyed is the first half of an HMAC under a key of a secret.
func keyed(t testing.TB, secret, label, id string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hkdf.Key(sha256.New, raw, nil, label, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id))
	return h.Sum(nil)[:16]
}

// numbers are the numbers of people, by canonical id. Who is in no identity table is a fault of the test.
func (s *canaryShop) numbers(ids []string) (out []uint64) {
	s.Helper()
	p, err := openChaos(s.Context(), s.dir)
	if err != nil {
		s.Fatal(err)
	}
	defer p.Close()
	table, err := event.OpenIdentities(s.Context(), p.Bucket, p.Keys, p.Previous...)
	if err != nil {
		s.Fatal(err)
	}
	for _, id := range ids {
		n, ok := table.Find(id)
		if !ok {
			s.Fatalf("canary %.20s is not in the identity table", id)
		}
		out = append(out, uint64(n))
	}
	return out
}

// personal asks a server for the list of each person and returns whether it is personal.
func (s *canaryShop) personal(server *served, ids ...string) map[string]bool {
	s.Helper()
	out := map[string]bool{}
	for _, id := range ids {
		var answer struct {
			Personalized bool             `json:"personalized"`
			Items        []map[string]any `json:"items"`
		}
		text := s.visit(server, http.StatusOK, http.MethodPost, "/v1/recommend", map[string]any{"id": id, "k": 10, "explain": true})
		if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Items) == 0 {
			s.Fatalf("a list of %d items: %v", len(answer.Items), err)
		}
		out[id] = answer.Personalized
	}
	return out
}

// TestCanary7 is invariant 7: no raw identifier in any committed object, log line, online key, answer, address, alert, lineage event or report.
func TestCanary7(t *testing.T) {
	onSites(t, func(t *testing.T, where site) {
		s := newCanaryShop(t, where, planting{})
		ids := slices.Clone(canaryAll)
		for i := range s.world.Users {
			ids = append(ids, fmt.Sprintf("u%06d", i+1))
		}
		traces := &storagetest.Traces{}
		for _, id := range ids {
			add(t, traces, id, rawForms(id)...)
		}
		for _, text := range []string{undeclaredMail, undeclaredPhone, canaryRecordID} {
			add(t, traces, text, []byte(text))
		}
		s.live()
		raw, found := s.searchRaw(traces), s.search(traces)
		for _, text := range append(ids, undeclaredMail, undeclaredPhone, canaryRecordID) {
			if len(raw[text]) == 0 {
				t.Errorf("the scan does not find %.30q in the sources", text)
			}
			for _, where := range found[text] {
				t.Errorf("%.30q stands in %s", text, where)
			}
		}
		for where, least := range map[string]int{
			"stderr of run": 500, "stderr of serve": 50, "answer to POST /v1/recommend": 500, "answer to GET /metrics": 1000, "sent to hook": 300, "sent to slack": 300,
			"sent to lineage": 1000, "stdout of report": 20,
		} {
			if n := len(s.told[where]); n < least {
				t.Errorf("%s: only %d bytes were looked at", where, n)
			}
		}
	})
}

// live is everything that people do with a project: nights, a rotation of the secret, a server with its lookups, and the verbs.
func (s *canaryShop) live() {
	s.Helper()
	s.rapport(exitOK, "", "validate")
	s.night(s.last() - 2)
	s.rotate()
	s.night(s.last() - 1)

	server, stop := s.serve()
	until(s.T, "the server is ready", func() bool { code, _ := server.get("/readyz", "open sesame"); return code == http.StatusOK })
	for _, path := range []string{"/healthz", "/readyz", "/v1/status", "/metrics"} {
		s.visit(server, http.StatusOK, http.MethodGet, path, nil)
	}
	s.personal(server, canarySingles...)
	ask := func(code int, path string, body map[string]any) {
		s.Helper()
		s.visit(server, code, http.MethodPost, path, body)
	}
	for _, id := range canarySingles {
		ask(http.StatusOK, "/v1/preferences", map[string]any{"id": id})
		ask(http.StatusOK, "/v1/preferences", map[string]any{"id": id, "preference": "prefer", "value": "new"})
		// What is wrong is told without the id that came with it.
		ask(http.StatusUnprocessableEntity, "/v1/preferences", map[string]any{"id": id, "preference": "forget", "value": id})
		ask(http.StatusBadRequest, "/v1/preferences", map[string]any{"id": id, "preference": id})
		ask(http.StatusBadRequest, "/v1/consent", map[string]any{"records": []map[string]any{{"id": id, "purpose": id, "state": id}}})
		ask(http.StatusOK, "/v1/consent", map[string]any{"records": []map[string]any{{"id": id, "purpose": "recommend", "state": "ConsentGiven", "source": "call by " + id, "record_id": canaryRecordID + id}}})
		ask(http.StatusBadRequest, "/v1/recommend", map[string]any{"id": id, id: id})
		s.visit(server, http.StatusMethodNotAllowed, http.MethodGet, "/v1/recommend?id="+url.QueryEscape(id), nil)
	}
	stop()

	one, all := canaryMail+"\n", strings.Join(canaryAll, "\n")+"\n"
	for _, verb := range [][]string{
		{"recommend", "--ids", "-", "--explain"},
		{"features", "get", "activity", "--ids", "-", "--times"},
		{"subject", "status", "--ids", "-"},
		{"consent", "show", "--ids", "-"},
		{"subject", "prefer", "less", flockItem, "--ids", "-"},
		{"subject", "requests", "open", "access", "--ids", "-"},
	} {
		s.rapport(exitOK, all, verb...)
	}
	s.rapport(exitOK, one, "subject", "export", "--ids", "-", "--to", filepath.Join(s.dir, "export.zip"))
	said := filepath.Join(s.dir, "said.jsonl")
	writeFile(s, said, mustJSON(map[string]string{"subject": canaryWide, "purpose": "recommend", "state": "Withdrawn", "effective_at": time.Now().UTC().Format(time.RFC3339), "source": "letter of " + canaryWide}))
	s.rapport(exitOK, "", "consent", "import", said)
	s.rapport(exitNotFound, "nobody known\n", "subject", "erase", "--ids", "-")
	s.rapport(exitFailed, "", "run", "nightly", "--at", s.world.Start.AddDate(0, 0, -20).Format(time.RFC3339)) // of a time without files
	s.night(s.last())
	verbs := func(verbs ...string) {
		s.Helper()
		for _, verb := range verbs {
			s.rapport(exitOK, "", strings.Fields(verb)...)
		}
	}
	verbs("plan nightly", "trust nightly", "drift nightly", "minimize nightly --budget 3s", "report latest", "runs list", "runs show latest", "runs why latest", "models list", "models show home 2",
		"models diff home 1 2", "online verify", "alerts test", "features show activity", "features preview activity", "gc --dry-run")
	s.rapport(exitOK, one, "subject", "erase", "--ids", "-", "--receipt", filepath.Join(s.dir, "receipt.json"))
	verbs("status", "online status", "subject requests list", "access-log --verify", "alerts list", "purposes show", "du", "validate")
}

// markedStores are where an HMAC under the erasure-only key may stand, and must: the suppression entry, the receipt, the access log, and the register of what was asked for.
var markedStores = []string{"policy/access", "policy/journal", "policy/receipts", "policy/requests"}

// TestCanary10 is invariant 10: after an erasure no trace of a person stands in any object, version, unfinished upload, online file or key, but the marks under the
// erasure-only key. Before it, every store has some. Values that many had, and names of items, which an erasure leaves in what it says is
// pending, are in nothing that is made from then on.
func TestCanary10(t *testing.T) {
	onSites(t, func(t *testing.T, where site) {
		s := newCanaryShop(t, where, planting{})
		s.night(s.last() - 2)
		s.rotate()
		s.night(s.last() - 1)
		server, stop := s.serve()
		defer stop()
		for _, id := range canarySingles { // what no snapshot has taken yet
			s.visit(server, http.StatusOK, http.MethodPost, "/v1/preferences", map[string]any{"id": id, "preference": "exclude", "value": "brand=" + ownBrand})
			s.visit(server, http.StatusOK, http.MethodPost, "/v1/consent", map[string]any{"records": []map[string]any{{"id": id, "purpose": "recommend", "state": "RenewedConsentGiven", "source": ownForm}}})
		}
		for id, personal := range s.personal(server, canaryAll...) {
			if !personal {
				t.Errorf("%.20s has no list of its own to begin with", id)
			}
		}
		gone := strings.Join(canaryGone, "\n") + "\n"
		s.rapport(exitOK, gone, "subject", "requests", "open", "erase", "--ids", "-")

		traces, litter := s.tracesOf(canaryGone)
		s.site.leave(s, litter)
		before := s.searchStores(traces)
		before.stand(t, slices.Concat(canaryGone, ownValues, manyValues), "identity", "data/ingest", "data/build", "data/subjects", "data/cohorts", "data/consent", "data/preferences",
			"data/wishes", "data/said", "artifacts", "reports", "online", "unfinished", "staged")
		if _, ok := where.(*realSite); ok {
			before.stand(t, nil, "versions", "online files")
		}

		receipt := filepath.Join(s.dir, "receipt.json")
		s.rapport(exitOK, gone, "subject", "erase", "--ids", "-", "--receipt", receipt)
		s.erased(server, traces, "after the erasure")
		told, err := os.ReadFile(receipt)
		if err != nil {
			t.Fatal(err)
		}
		for _, pending := range []string{"model home, versions 1 to 2", "views of items"} {
			if !strings.Contains(string(told), pending) {
				t.Errorf("the receipt does not say that %s are pending", pending)
			}
		}

		s.night(s.last()) // of files that name them still
		s.erased(server, traces, "after the next night")
		s.anew(manyValues)
		s.rapport(exitOK, "", "models", "rollback", "home", "1", "--why", "to see")
		s.erased(server, traces, "after a rollback")
	})
}

// markOf names the trace of a person's mark.
func markOf(id string) string { return "mark of " + id }

// tracesOf are the traces of people and of all planted values, and what a dead writer may have written of the people.
func (s *canaryShop) tracesOf(ids []string) (traces *storagetest.Traces, litter []byte) {
	s.Helper()
	traces = &storagetest.Traces{}
	for id, forms := range s.pseudonyms(ids) {
		add(s, traces, id, append(forms, rawForms(id)...)...)
		litter = append(append(litter, forms[0]...), ' ')
		for _, secret := range []string{testSecret, secondSecret} {
			add(s, traces, markOf(id), keyed(s, secret, "rapport/1/erasure", id))
		}
	}
	for _, v := range slices.Concat(ownValues, manyValues) {
		add(s, traces, v, []byte(v))
	}
	return traces, litter
}

// erased checks that nobody who is gone, and nothing that such people alone had, stands in the stores, but their marks where they belong; and that a server has no
// list for them.
func (s *canaryShop) erased(server *served, traces *storagetest.Traces, when string) {
	s.Helper()
	found := s.searchStores(traces)
	for _, what := range slices.Concat(canaryGone, ownValues) {
		if places := found[what]; len(places) > 0 {
			s.Errorf("%s: %.30q stands in %s", when, what, strings.Join(places[:min(len(places), 5)], ", "))
		}
	}
	for _, what := range manyValues {
		for _, where := range found[what] {
			if !slices.Contains([]string{"artifacts", "reports", "done/evaluate", "done/drift", "done/trust", "data/build", "online", "online files", "versions"}, storeOfPlace(where)) {
				s.Errorf("%s: %.30q stands in %s", when, what, where)
			}
		}
	}
	for _, id := range canaryGone {
		stores := found.stores([]string{markOf(id)})
		delete(stores, "versions") // of the same objects, before they were redacted or closed
		if have := slices.Sorted(maps.Keys(stores)); !slices.Equal(have, markedStores) {
			s.Errorf("%s: the mark of %.20s stands in %v, want %v", when, id, have, markedStores)
		}
	}
	for id, personal := range s.personal(server, canaryAll...) {
		if personal != (id == canaryLeaf) {
			s.Errorf("%s: the list of %.20s is personal: %v", when, id, personal)
		}
	}
}

// anew checks that what the last night made, views, artifact and lists, holds none of some values.
func (s *canaryShop) anew(values []string) {
	s.Helper()
	traces := &storagetest.Traces{}
	for _, v := range values {
		add(s, traces, v, []byte(v))
	}
	p, err := openChaos(s.Context(), s.dir)
	if err != nil {
		s.Fatal(err)
	}
	defer p.Close()
	m := s.made()
	looked := 0
	look := func(where string, body []byte) {
		looked++
		if err := traces.Scan(where, body, func(value, where string) { s.Errorf("made after the erasure: %s stands in %s", value, where) }); err != nil {
			s.Error(err)
		}
	}
	for key, body := range objects(s, p.Bucket) {
		if strings.HasPrefix(key, "artifacts/"+m.artifact) || strings.HasPrefix(key, "data/build/"+s.label(s.last())) {
			look(key, body)
		}
	}
	if looked < 5 {
		s.Errorf("only %d objects of the last night", looked)
	}
	for key, row := range m.online {
		look("online "+key, []byte(key+" "+row))
	}
}

// stores are those in which one of traces was found.
func (f finds) stores(traces []string) map[string]bool {
	in := map[string]bool{}
	for _, what := range traces {
		for _, where := range f[what] {
			in[storeOfPlace(where)] = true
		}
	}
	return in
}

// stand checks that each of traces was found, and something in each store.
func (f finds) stand(t *testing.T, traces []string, stores ...string) {
	t.Helper()
	for _, what := range traces {
		if len(f[what]) == 0 {
			t.Errorf("the scan finds %.30q nowhere before its erasure", what)
		}
	}
	in := f.stores(slices.Collect(maps.Keys(f)))
	for _, store := range stores {
		if !in[store] {
			t.Errorf("the scan finds nothing in %s before the erasure, but in %v", store, slices.Sorted(maps.Keys(in)))
		}
	}
}

// TestCanary11 is invariant 11: who has no valid basis contributes to nothing that is made from then on, and is served the list not based on profiling.
func TestCanary11(t *testing.T) {
	onSites(t, func(t *testing.T, where site) {
		// Each has another reason for which there is no basis at the last night. The last of them takes part in the night before.
		refused, never, withdrew, expired, asked, leaves := canaryFlock[0], canaryFlock[1], canaryFlock[2], canaryFlock[3], canaryFlock[4], canaryFlock[5]
		without := []string{refused, never, withdrew, expired, asked, leaves}
		begin := canaryWorld().Start
		at := func(day int) int64 { return begin.AddDate(0, 0, day).UnixMicro() }
		said := map[string][]rawConsent{
			refused:  {{State: "Refused", Effective: at(-1)}},
			never:    {},
			withdrew: {{State: "ConsentGiven", Effective: at(-1)}, {State: "Withdrawn", Effective: at(6)}},
			expired:  {{State: "ConsentGiven", Effective: at(-1), Expires: at(6)}},
			asked:    {{State: "ConsentGiven", Effective: at(-1)}, {State: "Requested", Effective: at(5)}},
		}
		var made []canaryMade
		plants := []planting{{said: said}, {said: said, left: without}}
		if _, ok := where.(embeddedSite); ok { // once is enough
			plants = append(plants, planting{})
		}
		for _, plant := range plants {
			s := newCanaryShop(t, where, plant)
			s.night(s.last() - 1)
			if plant.said != nil {
				server, stop := s.serve()
				s.visit(server, http.StatusOK, http.MethodPost, "/v1/consent", map[string]any{"records": []map[string]any{{"id": leaves, "purpose": "recommend", "state": "Withdrawn", "source": "app"}}})
				if s.personal(server, leaves)[leaves] {
					t.Error("who has withdrawn a moment ago is served a list of its own")
				}
				s.night(s.last())
				s.unprofiled(server, without)
				stop()
			} else {
				s.night(s.last())
			}
			made = append(made, s.made())
		}
		if d := made[0].differs(made[1]); d != "" {
			t.Errorf("with and without people who have no basis:\n%s", d)
		}
		if len(made) > 2 && (made[0].artifact == made[2].artifact || made[0].views == made[2].views) {
			t.Error("with their consent they make no difference: the test says nothing")
		}
	})
}

// canaryMade is what the last night made.
type canaryMade struct {
	views, artifact string
	online          map[string]string // but for meta, which names the report
}

func (s *canaryShop) made() (out canaryMade) {
	s.Helper()
	p, err := openChaos(s.Context(), s.dir)
	if err != nil {
		s.Fatal(err)
	}
	defer p.Close()
	for _, step := range []string{"build", "assemble"} {
		for c, err := range (table.Store{Bucket: p.Bucket}).List(s.Context(), step+"/"+s.label(s.last())+"/") {
			if err != nil {
				s.Fatal(err)
			}
			for _, name := range slices.Sorted(maps.Keys(c.Outputs)) {
				if !strings.Contains(name, ".") { // else what is kept for later builds
					out.views += fmt.Sprintf("%s %s %s, %d rows\n", step, name, c.Outputs[name].Digest, c.Outputs[name].Rows)
				}
			}
		}
	}
	reg, err := registry.Open(p.Bucket, "home")
	if err != nil {
		s.Fatal(err)
	}
	live, err := reg.Live(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	v, err := reg.Get(s.Context(), live.Aliases["champion"].Version)
	if err != nil {
		s.Fatal(err)
	}
	out.artifact, out.online = v.Digest, map[string]string{}
	err = p.Online.Scan(s.Context(), "", func(e online.Entry) error {
		if e.Key != online.MetaKey {
			out.online[e.Key] = fmt.Sprintf("%s %d %s", e.Owner, e.Expires, e.Value)
		}
		return nil
	})
	if err != nil || len(out.online) < 100 || strings.Count(out.views, "\n") < 2 {
		s.Fatalf("%d entries online, views %s: %v", len(out.online), out.views, err)
	}
	return out
}

// differs says in what.
func (m canaryMade) differs(o canaryMade) string {
	var out strings.Builder
	if m.views != o.views {
		fmt.Fprintf(&out, "views and training sets:\n%sand\n%s", m.views, o.views)
	}
	if m.artifact != o.artifact {
		fmt.Fprintf(&out, "artifacts %.12s and %.12s\n", m.artifact, o.artifact)
	}
	for key := range m.online {
		if m.online[key] != o.online[key] {
			fmt.Fprintf(&out, "online row %s\n", key)
		}
	}
	if len(m.online) != len(o.online) {
		fmt.Fprintf(&out, "%d and %d online rows\n", len(m.online), len(o.online))
	}
	return out.String()
}

// unprofiled checks that people are served everybody's list, over HTTP and from the store, and that no row there is theirs; and that somebody else has one.
func (s *canaryShop) unprofiled(server *served, ids []string) {
	s.Helper()
	p, err := openChaos(s.Context(), s.dir)
	if err != nil {
		s.Fatal(err)
	}
	defer p.Close()
	owners := map[string]bool{}
	if err := p.Online.Scan(s.Context(), "", func(e online.Entry) error {
		owners[e.Owner] = true
		return nil
	}); err != nil {
		s.Fatal(err)
	}
	everybody := s.visit(server, http.StatusOK, http.MethodPost, "/v1/recommend", map[string]any{"k": 10})
	for _, id := range append(ids, canaryLeaf) {
		key := hex.EncodeToString(keyed(s, testSecret, "rapport/1/serving", id))
		var over, all recommended
		for text, into := range map[string]*recommended{s.visit(server, http.StatusOK, http.MethodPost, "/v1/recommend", map[string]any{"id": id, "k": 10}): &over, everybody: &all} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				s.Fatal(err)
			}
		}
		stored, _, err := online.Recommend(s.Context(), p.Online, key, 10, table.Micros(time.Now()))
		if err != nil {
			s.Fatal(err)
		}
		if basis := id == canaryLeaf; over.Personalized != basis || stored.Personalized != basis || owners[key] != basis || !basis && !same(over.Items, all.Items) {
			s.Errorf("%s: a list of its own over HTTP %v, in the store %v, rows %v; a basis %v", id, over.Personalized, stored.Personalized, owners[key], basis)
		}
	}
}
