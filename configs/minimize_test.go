package configs

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
)

// minimizeProject is a project file with the given purposes and jobs.
func minimizeProject(t *testing.T, purpose, job string) *Project {
	t.Helper()
	text := `project: shop # ä, two bytes
storage: file:./lake
online: embedded:./online
pseudonyms: {key: "env:RAPPORT_PSEUDONYM_KEY"}
sources:
  events: {path: "file:./raw/dt={date}/*.parquet", subject: user_id, item: sku, at: ts, kind: action, value: amount, columns: {device: device, channel: channel}}
  subjects: {path: "file:./raw/subjects.parquet", subject: user_id}
purposes:
` + purpose + `
views:
  spent: {key: subject, windows: [7d], features: {spend: {sum: value}}}
models:
  home: {parts: [popular]}
jobs:
` + job + "\n"
	return loaded(t, text)
}

// What a ledger proposes is left out of the file where it stands, with comments and layout as they were.
func TestWithout(t *testing.T) {
	const says = "    says: We use what you bought here to suggest things that you may like.\n    basis: legitimate-interest\n"
	inLine := "  recommend:\n" + says + "    reads: {events: [kind, \"value\", device,   channel], subjects: [age]} # all of it\n"
	drop := jobs.Drop{Window: 91 * 24 * time.Hour, Reads: map[string][]string{"events": {"device", "channel"}, "subjects": {"age"}}}
	for name, c := range map[string]struct {
		purpose, job string
		drop         jobs.Drop
		old, want    [2]string
	}{
		"in lines": {
			inLine, "  nightly: {purpose: {train: recommend}, train: {model: home, window: 180d}} # half a year", drop,
			[2]string{`[kind, "value", device,   channel], subjects: [age]} # all of it`, "window: 180d}} # half a year"},
			[2]string{`[kind, "value"], subjects: []} # all of it`, "window: 91d}} # half a year"},
		},
		"no window is written": {
			inLine, "  nightly:\n    purpose: {train: recommend}\n    train:\n      model: home", drop,
			[2]string{`[kind, "value", device,   channel], subjects: [age]} # all of it`, "      model: home"},
			[2]string{`[kind, "value"], subjects: []} # all of it`, "      window: 91d\n      model: home"},
		},
		"each on its line": {
			"  recommend:\n" + says + "    reads:\n      events:\n        - kind # what\n        - device # with what\n        - value\n      subjects: [age]\n",
			"  nightly: {purpose: {train: recommend}, train: {model: home, window: 180d}}",
			jobs.Drop{Reads: map[string][]string{"events": {"device"}}},
			[2]string{"        - device # with what\n", "window: 180d"},
			[2]string{"", "window: 180d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := minimizeProject(t, c.purpose, c.job)
			got, err := p.Without("nightly", c.drop)
			holdEdited(t, p, got, err, c.old[0], c.want[0], c.old[1], c.want[1])
		})
	}
}

// What something else needs, and what is written in a way that cannot be edited, is refused with its reason, and the file stays as it is.
func TestWithoutRefuses(t *testing.T) {
	const says = "    says: We use what you bought here to suggest things that you may like.\n    basis: legitimate-interest\n"
	reads := func(text string) string { return "  recommend:\n" + says + "    reads: " + text + "\n" }
	const plain = "  nightly: {purpose: {train: recommend}, train: {model: home, window: 180d}"
	for name, c := range map[string]struct {
		purpose, job string
		drop         jobs.Drop
		want         string
	}{
		"a view needs it": {
			reads("{events: [kind, value]}"), plain + ", publish: {features: [spent]}}",
			jobs.Drop{Reads: map[string][]string{"events": {"value"}}},
			`view "spent" uses column "value"`,
		},
		"too short for its test": {
			reads("{events: [kind]}"), plain + ", evaluate: {split: {last: 7d, validation: 28d}}}",
			jobs.Drop{Window: 14 * 24 * time.Hour},
			"at least a third of the window must be left",
		},
		"over several lines": {
			"  recommend:\n" + says + "    reads: {events: [kind,\n      device]}\n", plain + "}",
			jobs.Drop{Reads: map[string][]string{"events": {"device"}}},
			"goes over several lines",
		},
		"nothing left of lines": {
			"  recommend:\n" + says + "    reads:\n      events: [kind]\n      subjects:\n        - age\n", plain + "}",
			jobs.Drop{Reads: map[string][]string{"subjects": {"age"}}},
			"nothing would be left",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := minimizeProject(t, c.purpose, c.job)
			before, _ := os.ReadFile(p.File())
			if text, err := p.Without("nightly", c.drop); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q\n%s", err, c.want, text)
			}
			if after, _ := os.ReadFile(p.File()); string(after) != string(before) {
				t.Error("the file is another")
			}
		})
	}
	p := minimizeProject(t, reads("{events: [kind, device]}"), plain+"}")
	if err := os.WriteFile(p.File(), []byte("project: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Without("nightly", jobs.Drop{Reads: map[string][]string{"events": {"device"}}}); err == nil || !strings.Contains(err.Error(), "has changed since it was read") {
		t.Errorf("a file that somebody went on working on: %v", err)
	}
}
