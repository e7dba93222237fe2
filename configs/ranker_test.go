package configs

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/rerank"
)

func TestRanker(t *testing.T) {
	body, err := Template("quickstart", time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC), "")
	if err != nil {
		t.Fatal(err)
	}
	with := func(ranker string, changes ...string) string {
		text := strings.Replace(string(body), "    weights: {view: 1", "    ranker: "+ranker+"\n    weights: {view: 1", 1)
		return strings.NewReplacer(changes...).Replace(text)
	}
	dir := t.TempDir()
	open := func(text string) *Opened {
		t.Helper()
		p, err := parse(dir+"/rapport.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/pseudonym.key", []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := p.Open(t.Context(), os.Getenv, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Close() })
		return o
	}
	plain, err := open(string(body)).Job("nightly")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := plain.Model.Trainer.(*blend.Trainer); !ok || plain.Rerank != 0 {
		t.Errorf("without a ranker: %T, window %v", plain.Model.Trainer, plain.Rerank)
	}
	for text, bound := range map[string]float64{"neural": rerank.Defaults().Bound, "{neural: {bound: 0.3, hidden: [8, 4]}}": 0.3} {
		j, err := open(with(text)).Job("nightly")
		if err != nil {
			t.Fatal(err)
		}
		r, ok := j.Model.Trainer.(*rerank.Trainer)
		if !ok || r.Hyper.Bound != bound || len(r.Blend.Parts) != 4 || j.Rerank != 8*24*time.Hour {
			t.Errorf("%s: %T %+v, window %v", text, j.Model.Trainer, r, j.Rerank)
		}
	}
	for _, c := range []struct{ text, want string }{
		{with("neurla"), "did you mean neural?"},
		{with("{neural: {bound: 7}}"), "models.home.ranker.neural"},
		{with("{neural: {bonud: 0.3}}"), "did you mean bound?"},
		{with("neural", "window: 60d", "window: 4d"), "leave out models.home.ranker"},
		{with("neural", "{device: device,", "{weekday: device,", "value, device,", "value, weekday,"), "name this column otherwise"},
	} {
		if _, err := parse(dir+"/rapport.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
