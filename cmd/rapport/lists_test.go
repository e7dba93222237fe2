package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// batches are the rows of an output of the commits under a prefix.
func (s *shop) batches(prefix, output string) iter.Seq[*table.Batch] {
	s.Helper()
	return func(yield func(*table.Batch) bool) {
		for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), prefix) {
			if err != nil {
				s.Fatal(err)
			}
			for b, err := range table.Read(s.Context(), s.opened.Bucket, c.Outputs[output], table.ReadOptions{}) {
				if err != nil {
					s.Fatal(err)
				}
				if !yield(b) {
					return
				}
			}
		}
	}
}

// catalogOf reads the items that the shop's newest night has read: item → attribute → value.
func (s *shop) catalogOf() map[string]map[string]string {
	s.Helper()
	out := map[string]map[string]string{}
	for b := range s.batches("items/snapshot/", "rows") {
		for i := range b.N {
			row := map[string]string{}
			for c, f := range b.Schema {
				if f.Type == table.String {
					row[f.Name] = b.Cols[c].Str[i]
				}
			}
			out[row["item"]] = row
		}
	}
	return out
}

// lists returns the live lists of subjects, and the one not based on profiling last.
func (s *shop) lists() (out []online.List) {
	s.Helper()
	for _, e := range slices.Concat(s.rows("list/"), s.rows(online.UnprofiledKey)) {
		l, err := online.DecodeList(e)
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// TestListRules: what is published keeps the declared rules, for everybody and in the list not based on profiling; entries say what the rules did;
// the report says what they cost; and other rules are another evaluation and load, of the same model.
func TestListRules(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	before := s.outcome()
	items := s.catalogOf()
	var categories []string
	for _, attrs := range items {
		categories = append(categories, attrs["category"])
	}
	slices.Sort(categories)
	categories = slices.Compact(categories)
	banned := categories[0]
	s.job.Model.Lists = jobs.Lists{K: 8, Seen: "auto", Rules: &lists.Rules{
		Exclude:   []lists.Exclusion{{{Column: "category", In: []string{banned}}}},
		AtMost:    []lists.Limit{{Column: "category", Most: 3}},
		Diversity: &lists.Diversity{By: []string{"brand"}, Weight: 0.3},
		Calibrate: &lists.Calibrate{By: "category", Weight: 0.2},
		Fresh:     &lists.Fresh{Age: 3 * 24 * time.Hour, Share: 0.1},
	}}
	s.night(6)
	after := s.outcome()
	if before.Digest != after.Digest || before.Content == after.Content {
		t.Errorf("list rules changed the model (%v), or no list (%v)", before.Digest != after.Digest, before.Content == after.Content)
	}
	moved, published := 0, s.lists()
	if len(published) < 20 {
		t.Fatalf("%d lists", len(published))
	}
	for _, l := range published {
		for from := 0; from < len(l.Items); from += 8 {
			count := map[string]int{}
			for _, item := range l.Items[from:min(from+8, len(l.Items))] {
				c := items[item.Item]["category"]
				if count[c]++; c == banned || count[c] > 3 {
					t.Fatalf("a list has %d items of category %q in a page", count[c], c)
				}
			}
		}
		for i, item := range l.Items {
			var sum float64
			for _, r := range item.Reasons {
				sum += r.Contribution
				if r.Kind != "rule" {
					continue
				}
				moved++
				if r.After != i+1 || r.Before == i+1 || r.Contribution != 0 || !slices.Contains([]string{"at_most", "fresh", "diversity", "calibrate"}, r.Ref) {
					t.Fatalf("entry %d has the reason %+v", i+1, r)
				}
			}
		}
	}
	if moved == 0 {
		t.Error("no entry says that a rule moved it")
	}
	var facts *eval.ListFacts
	var withRules *eval.Report
	for key, body := range objects(t, s.opened.Bucket) {
		if !strings.HasPrefix(key, "reports/") || !strings.HasSuffix(key, ".json") {
			continue
		}
		r, err := eval.ParseReport(body)
		if err != nil {
			t.Fatal(err)
		}
		if r.Lists != nil {
			facts, withRules = r.Lists, r
		} else if strings.Contains(string(body), `"lists"`) {
			t.Error("the report of a night without rules speaks of lists")
		}
	}
	if facts == nil || facts.N == 0 || facts.K != 8 || facts.Excluded == 0 || len(facts.Rows) != 2 || len(facts.Curves) < 8 || len(facts.Rules) != 5 {
		t.Fatalf("the report says of the rules: %+v", facts)
	}
	if *facts.Rows[1].Diversity <= *facts.Rows[0].Diversity || *facts.Rows[1].Divergence >= 10 {
		t.Errorf("as served %+v, by the scores %+v", facts.Rows[1], facts.Rows[0])
	}
	if withRules.Quality.Comparison(withRules.Quality.Headline, eval.All, "without list rules") == nil {
		t.Error("the candidate is not compared with itself without rules")
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same {
		t.Errorf("online verify: %+v %v", v, err)
	}

	// What cannot be made is told, and what was live stays.
	s.job.Model.Lists.Rules = &lists.Rules{AtMost: []lists.Limit{{Column: "colour", Most: 1}}}
	if _, err := s.try(6); err == nil || !strings.Contains(err.Error(), `"colour"`) {
		t.Errorf("a rule on an attribute that items lack: %v", err)
	}
	if now := s.outcome(); now.Content != after.Content {
		t.Error("a night that failed changed what is live")
	}
	// Too few categories for a page: lists are short, and the run says so.
	s.job.Model.Lists = jobs.Lists{K: 20, Seen: "auto", Rules: &lists.Rules{AtMost: []lists.Limit{{Column: "category", Most: 2}}}}
	res := s.night(6)
	if !slices.ContainsFunc(res.Flags, func(f string) bool { return strings.Contains(f, "fewer than 20 items") }) {
		t.Errorf("flags %q do not say that lists are short", res.Flags)
	}
}

// TestNegativeWeightsExclude: an event of negative weight is no signal, and its item stands in no list of that subject; others keep it.
func TestNegativeWeightsExclude(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Model.Lists.Seen = "keep"
	s.night(6)
	before := map[string][]string{} // owner → items
	for _, e := range s.rows("list/") {
		l, err := online.DecodeList(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range l.Items {
			before[e.Owner] = append(before[e.Owner], item.Item)
		}
	}
	s.job.Model.Weights = map[string]float64{"view": 1, "buy": -1}
	s.night(6)
	bought := s.eventsOf("buy")
	left, elsewhere := 0, 0
	for _, e := range s.rows("list/") {
		l, err := online.DecodeList(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range l.Items {
			if bought[e.Owner][item.Item] {
				t.Fatalf("an item that its subject gave back stands in the list")
			}
			for owner := range bought {
				if bought[owner][item.Item] {
					elsewhere++
					break
				}
			}
		}
		for _, item := range before[e.Owner] {
			if bought[e.Owner][item] {
				left++
			}
		}
	}
	if left == 0 || elsewhere == 0 {
		t.Errorf("%d entries were left out; %d of those left are items that others gave back", left, elsewhere)
	}
}

// eventsOf returns the items of all ingested events of a kind, by the online key of who they are of.
func (s *shop) eventsOf(kind string) map[string]map[string]bool {
	s.Helper()
	ids, err := event.OpenIdentities(s.Context(), s.opened.Bucket, s.opened.Keys)
	if err != nil {
		s.Fatal(err)
	}
	keys, out := ids.OnlineKeys(), map[string]map[string]bool{}
	for b := range s.batches("ingest/", "events") {
		for i := range b.N {
			if b.Col("kind").Str[i] == kind {
				key := keys[policy.Subject(uint64(b.Col("subject").Int[i]))]
				if out[key] == nil {
					out[key] = map[string]bool{}
				}
				out[key][b.Col("item").Str[i]] = true
			}
		}
	}
	return out
}

// TestListsOfNobody: lists beside items and lists of one category or market are published with the generation, keep the rules, and tell nothing that
// few people did.
func TestListsOfNobody(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	items := s.catalogOf()
	if len(s.rows("related/")) != 0 || len(s.rows("unprofiled/")) != 0 {
		t.Fatal("lists of nobody are published, and nobody asked for them")
	}
	banned, of := "", map[string]int{}
	for _, attrs := range items {
		banned = max(banned, attrs["category"])
		of[attrs["category"]]++
	}
	const most = 3
	s.job.Model.Lists.Rules = &lists.Rules{Exclude: []lists.Exclusion{{{Column: "category", In: []string{banned}}}}, AtMost: []lists.Limit{{Column: "category", Most: most}}}
	s.job.Model.Lists.Related, s.job.Model.Lists.UnprofiledBy = 5, []string{"category", "device"}
	s.night(6)
	now := table.Micros(s.runner.Now())
	beside := 0
	for item, attrs := range items {
		l, _, err := online.LookupRelated(t.Context(), s.opened.Online, "similar", item, 5, now)
		if errors.Is(err, online.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		beside++
		for _, x := range l.Items {
			if x.Item == item || items[x.Item]["category"] == banned || attrs["category"] == banned || len(l.Items) > 5 {
				t.Errorf("beside %s stands %s", item, x.Item)
			}
		}
	}
	if beside < len(items)/3 {
		t.Errorf("%d of %d items have a list beside them", beside, len(items))
	}
	categories := map[string]bool{}
	for _, attrs := range items {
		categories[attrs["category"]] = true
	}
	for c := range categories {
		l, _, err := online.LookupUnprofiledBy(t.Context(), s.opened.Online, "category", c, 1000, now)
		if (c == banned) != errors.Is(err, online.ErrNotFound) {
			t.Errorf("the list of category %s: %v", c, err)
		}
		if want := min(of[c], 3*s.job.Model.Lists.K); c != banned && (len(l.Items) != want || want <= most) {
			t.Errorf("the list of category %s has %d items, want %d: at_most of the category is not for it", c, len(l.Items), want)
		}
		for _, x := range l.Items {
			if items[x.Item]["category"] != c {
				t.Errorf("an item of category %q stands in the list of %q", items[x.Item]["category"], c)
			}
		}
	}
	people := s.peopleBy("device")
	devices := 0
	for device, taken := range people {
		l, _, err := online.LookupUnprofiledBy(t.Context(), s.opened.Online, "device", device, 1000, now)
		if errors.Is(err, online.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		devices++
		for i, x := range l.Items {
			if n := taken[x.Item]; n < 11 || float64(n) != x.Score || i > 0 && l.Items[i-1].Score < x.Score {
				t.Errorf("%d people took an item that has the score %v among those of a device", n, x.Score)
			}
		}
	}
	if devices == 0 {
		t.Error("no device has a list")
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same {
		t.Errorf("online verify: %+v %v", v, err)
	}
}

// TestItemsOfFewAreUntold: a thing that no catalog has and that few people took stands in the lists of these people and in nobody else's, beside no item and with no vector; one that
// eleven took is an item like others. K is the whole catalog, so that what may stand in a list does. In a shop without a catalog, where what eleven took fills no list of that length, the same
// holds of what one person took, and the run says how few are enough.
func TestItemsOfFewAreUntold(t *testing.T) {
	t.Run("beside a catalog", func(t *testing.T) { itemsOfFewAreUntold(t, 2, false) })
	t.Run("without one", func(t *testing.T) { itemsOfFewAreUntold(t, 1, true) })
}

func itemsOfFewAreUntold(t *testing.T, few int, bare bool) {
	const rare, common = "thing-of-few", "thing-of-eleven"
	s := newShop(t, smallWorld)
	if bare {
		s.job.Items = nil
	}
	s.night(6)
	ids := s.admitted(12)
	var rows []rawEvent
	for i, id := range ids {
		at := smallWorld.Start.AddDate(0, 0, 6).Add(time.Duration(i) * time.Minute).UnixMicro()
		if i < few {
			rows = append(rows, rawEvent{UserID: id, SKU: rare, Time: at, Action: "buy", Device: "phone"})
		}
		rows = append(rows, rawEvent{UserID: id, SKU: common, Time: at, Action: "buy", Device: "phone"})
	}
	writeParquet(t, s.raw, eventsKey(6, "things"), rows)
	s.job.Model.Lists.K, s.job.Model.Lists.Seen = smallWorld.Items+2, "keep"
	s.job.Model.Lists.Related, s.job.Model.Lists.UnprofiledBy = 20, []string{"device"}
	res := s.night(6)
	if told := slices.ContainsFunc(res.Flags, func(f string) bool { return strings.Contains(f, "items that 2 people took stand in lists of others") }); told != bare {
		t.Errorf("flags %q", res.Flags)
	}
	own := map[string]bool{}
	for _, id := range ids[:few] {
		own[event.OnlineKey(s.opened.Keys.ServingKey(), id)] = true
	}
	had, others, theirs := 0, 0, 0
	for _, e := range s.rows("") {
		body := string(mustJSON(e)) + string(e.Value)
		if strings.Contains(body, common) {
			had++
		}
		if !strings.Contains(body, rare) {
			continue
		}
		switch {
		case own[e.Owner]:
			theirs++
		case !strings.HasPrefix(e.Key, "features/"): // a row of a view is for who knows the key
			others++
			t.Errorf("it stands in %s", e.Key)
		}
	}
	if had < 10 || theirs == 0 {
		t.Errorf("%d entries have what eleven people took, and %d of those who took it what two did", had, theirs)
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same {
		t.Errorf("online verify: %+v %v", v, err)
	}
}

// peopleBy counts the people with an ingested event of an item, by the value of a context column.
func (s *shop) peopleBy(column string) map[string]map[string]int {
	s.Helper()
	seen, out := map[string]bool{}, map[string]map[string]int{}
	end := table.Micros(s.interval(6).End)
	for b := range s.batches("ingest/", "events") {
		for i := range b.N {
			level, item := b.Col(column).Str[i], b.Col("item").Str[i]
			key := fmt.Sprint(b.Col("subject").Int[i], "\x00", level, "\x00", item)
			if seen[key] || b.Col("time").Int[i] >= end {
				continue
			}
			seen[key] = true
			if out[level] == nil {
				out[level] = map[string]int{}
			}
			out[level][item]++
		}
	}
	return out
}

// TestReasonsAreTold: reasons stand in lists as codes, titles beside them, and become sentences where somebody reads them; a title is nothing that a
// model learns from.
func TestReasonsAreTold(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Model.Lists.Title = "brand"
	s.job.Model.Lists.Rules = &lists.Rules{Diversity: &lists.Diversity{By: []string{"category"}, Weight: 0.4}}
	s.night(6)
	items := s.catalogOf()
	if n := len(s.rows("item-title/")); n != len(items) {
		t.Errorf("%d titles of %d items", n, len(items))
	}
	for _, l := range s.lists() {
		for _, item := range l.Items {
			for _, r := range item.Reasons {
				if r.Kind == "attribute" && strings.HasPrefix(r.Ref, "brand=") {
					t.Fatalf("the model has learned from a title: %s", r.Ref)
				}
			}
		}
	}
	p := &project{Opened: s.opened, runner: s.runner}
	var told []recommended
	for _, l := range s.lists() {
		told = append(told, recommended{Items: l.Items, Personalized: l.Personalized})
	}
	for language, words := range map[string][]string{"en": {"because you chose ", "instead of", "because many people choose it"}, "de": {"weil Sie ", "statt", "weil viele es wählen"}} {
		said, err := (&app{}).sentences(t.Context(), p, language, told)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		named := false
		for _, l := range told {
			for _, item := range l.Items {
				all.WriteString(said.why(item) + "\n")
				for _, r := range item.Reasons {
					named = named || r.Kind == "event" && strings.Contains(said.why(item), items[r.Ref]["brand"])
				}
			}
		}
		for _, w := range words {
			if !strings.Contains(all.String(), w) {
				t.Errorf("%s: nobody is told %q", language, w)
			}
		}
		if !named || strings.Contains(all.String(), "sku-") || strings.Contains(all.String(), "{") {
			t.Errorf("%s: items are not told by their titles", language)
		}
	}
	if _, err := (&app{}).sentences(t.Context(), p, "xx", told); err == nil {
		t.Error("a language that is none")
	}
}
