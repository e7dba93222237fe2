package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/rerank"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// newRankedShop makes a shop whose model has a re-ranker that ships.
func newRankedShop(t testing.TB) *shop { return ranked(newShop(t, smallWorld)) }

func ranked(s *shop) *shop {
	h := rerank.Hyper{Epochs: 2, Dropout: 0.1, Context: true}
	s.job.Rerank = 2 * 24 * time.Hour
	s.job.Model.Trainer = &rerank.Trainer{Blend: *s.job.Model.Trainer.(*blend.Trainer), Hyper: h, Always: true}
	s.job.Model.Spec = struct{ Blend, Ranker any }{s.job.Model.Spec, h}
	return s
}

// rows returns the live entries under a prefix.
func (s *shop) rows(prefix string) (out []online.Entry) {
	s.Helper()
	err := s.opened.Online.Scan(s.Context(), prefix, func(e online.Entry) error { out = append(out, e); return nil })
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// TestCandidatesAreOwned: the entries of a re-ranker are published for whoever has a list and nobody else, expire with it, and go with an
// erasure and a withdrawal.
func TestCandidatesAreOwned(t *testing.T) {
	s := newRankedShop(t)
	s.night(6)
	lists, candidates := s.rows("list/"), s.rows("candidates/")
	if len(lists) == 0 || len(lists) != len(candidates) || len(s.rows(online.RankerKey)) != 1 {
		t.Fatalf("%d lists, %d candidates, %d rankers", len(lists), len(candidates), len(s.rows(online.RankerKey)))
	}
	for i, e := range candidates {
		if e.Owner != lists[i].Owner || e.Owner == "" || e.Expires != lists[i].Expires {
			t.Errorf("candidates %d of owner %q expiring %d, list of %q expiring %d", i, e.Owner, e.Expires, lists[i].Owner, lists[i].Expires)
		}
	}
	report := s.outcome()
	if report.Content == "" {
		t.Error("nothing is live")
	}

	ids := s.admitted(2)
	now := table.Micros(s.runner.Now())
	get := func(id string) error {
		_, _, _, err := online.LookupCandidates(t.Context(), s.opened.Online, event.OnlineKey(s.opened.Keys.ServingKey(), id), now)
		return err
	}
	for _, id := range ids {
		if err := get(id); err != nil {
			t.Errorf("before: %v", err)
		}
	}
	traces := map[string]map[string][]byte{ids[0]: s.traces(ids[0])}
	if _, err := s.erase(ids[0]); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", traces)
	if err := get(ids[0]); !errors.Is(err, online.ErrDenied) && !errors.Is(err, online.ErrNotFound) {
		t.Errorf("candidates of an erased subject: %v", err)
	}
	s.withdraw(ids[1], nightAfter(6).Add(6*time.Hour))
	s.night(7)
	if err := get(ids[1]); !errors.Is(err, online.ErrDenied) && !errors.Is(err, online.ErrNotFound) {
		t.Errorf("candidates of a subject who withdrew: %v", err)
	}
	s.noTrace("a night later", traces)
}

// TestImpressionsOfANight: what was shown changes what the re-ranker learns and no more than that, and goes with its subject.
func TestImpressionsOfANight(t *testing.T) {
	w := smallWorld
	w.Shown = true
	s := ranked(newShop(t, w))
	s.job.Model.Weights = map[string]float64{"shown": 0}
	made := func() map[string]bool { // by training
		out := map[string]bool{}
		for key, facts := range s.outcome().Steps {
			if strings.HasPrefix(key, "train/") {
				out[facts] = true
			}
		}
		return out
	}
	s.night(6)
	if n := len(made()); n != 1 {
		t.Fatalf("%d models after a night", n)
	}
	s.job.Model.Impressions = []string{"shown"}
	s.night(6)
	if n := len(made()); n != 2 {
		t.Errorf("%d models with impressions and without, want one each", n)
	}
	id := s.admitted(1)[0]
	traces := map[string]map[string][]byte{id: s.traces(id)}
	if _, err := s.erase(id); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after the erasure", traces)
}

// TestRequestInPython runs the code of docs/contracts.md on published entries and compares it with recommend --context.
func TestRequestInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is not there; on Debian it is in the package python3")
	}
	document, err := os.ReadFile("../../docs/contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, block := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(document), -1) {
		if strings.Contains(block[1], "def rank(") {
			code = block[1]
		}
	}
	if code == "" {
		t.Fatal("docs/contracts.md has no Python with def rank(")
	}
	s := newRankedShop(t)
	s.night(6)
	ranker := s.rows(online.RankerKey)[0].Value
	entries := s.rows("candidates/")
	entries = entries[:min(5, len(entries))]

	at := time.Date(2026, 1, 9, 18, 30, 0, 0, time.UTC) // a Friday evening
	asked := []*request{
		{levels: map[string]string{"device": "phone", "channel": "search"}, at: at},
		{levels: map[string]string{"device": "a fridge"}},
		{levels: map[string]string{}, at: at.Add(-13 * time.Hour)},
	}
	type task struct {
		Candidates json.RawMessage   `json:"candidates"`
		Levels     map[string]string `json:"levels"`
		At         string            `json:"at"`
	}
	var tasks []task
	var want [][]online.ListItem
	differs := false
	for _, e := range entries {
		c, err := online.DecodeCandidates(e)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range asked {
			when := ""
			if !r.at.IsZero() {
				when = r.at.Format("2006-01-02T15:04:05")
			}
			tasks = append(tasks, task{e.Value, r.levels, when})
			ranked, err := rankFor(c, ranker, r)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, ranked)
			differs = differs || i > 0 && !slices.Equal(scoresOf(ranked), scoresOf(want[len(want)-2]))
		}
	}
	if !differs {
		t.Error("the context of a request changes no score")
	}
	input, err := json.Marshal(struct {
		Ranker json.RawMessage `json:"ranker"`
		Tasks  []task          `json:"tasks"`
	}{ranker, tasks})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", code+`
import sys, datetime
given = json.load(sys.stdin)
json.dump([rank(given["ranker"], t["candidates"], t["levels"], datetime.datetime.fromisoformat(t["at"]) if t["at"] else None) for t in given["tasks"]], sys.stdout)
`)
	cmd.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, problems.String())
	}
	var got [][][2]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d lists, want %d", len(got), len(want))
	}
	for i := range want {
		scores := map[string]float64{}
		for _, pair := range got[i] {
			scores[pair[1].(string)] = pair[0].(float64)
		}
		if len(scores) != len(want[i]) {
			t.Fatalf("list %d: %d items, want %d", i, len(scores), len(want[i]))
		}
		for _, item := range want[i] {
			if d := math.Abs(scores[item.Item] - item.Score); d > 1e-5*max(1, math.Abs(item.Score)) {
				t.Errorf("list %d, item %s: %v in Python, %v in Go", i, item.Item, scores[item.Item], item.Score)
			}
		}
	}
}

func scoresOf(list []online.ListItem) []float64 {
	out := make([]float64, len(list))
	for i, item := range list {
		out[i] = item.Score
	}
	return out
}

func TestParseRequest(t *testing.T) {
	r, err := parseRequest("device=phone,at=2026-03-01T18:30:00+01:00,channel=a=b")
	if err != nil || r.levels["device"] != "phone" || r.levels["channel"] != "a=b" || !r.at.Equal(time.Date(2026, 3, 1, 17, 30, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := parseRequest(""); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{"device", "=x", "device=", "device=a,device=b", "at=noon", "at=2026-03-01T18:30:00Z,at=2026-03-01T18:30:00Z", ","} {
		if _, err := parseRequest(bad); err == nil || !strings.Contains(err.Error(), "--context") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
