package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/jobs/ledger"
)

// The golden vector of docs/alerts.md; Python's hmac gives the same.
const (
	goldenSecret    = "whsec_0123456789abcdef"
	goldenBody      = `{"schema":"rapport.alert/1","status":"test"}`
	goldenSignature = "t=1772323200,v1=2c743866c058a1dcc2610ad177eac73530efd2c203beb024df1e9c7f52f912b2"
)

func TestSignature(t *testing.T) {
	at := time.Unix(1772323200, 0)
	good := Sign([]byte(goldenSecret), []byte(goldenBody), at)
	if good != goldenSignature {
		t.Errorf("signed %s, want %s", good, goldenSignature)
	}
	v1 := good[strings.Index(good, ",v1="):]
	for name, c := range map[string]struct {
		header, body, secret string
		after                time.Duration
		ok                   bool
	}{
		"good":               {good, goldenBody, goldenSecret, 0, true},
		"within the window":  {good, goldenBody, goldenSecret, 5 * time.Minute, true},
		"a slow clock":       {good, goldenBody, goldenSecret, -5 * time.Minute, true},
		"replayed":           {good, goldenBody, goldenSecret, 5*time.Minute + time.Second, false},
		"of the future":      {good, goldenBody, goldenSecret, -5*time.Minute - time.Second, false},
		"other body":         {good, goldenBody + " ", goldenSecret, 0, false},
		"other secret":       {good, goldenBody, "x", 0, false},
		"other time":         {"t=1772323201" + v1, goldenBody, goldenSecret, 0, false},
		"two secrets":        {"t=1772323200,v1=" + strings.Repeat("00", 32) + v1, goldenBody, goldenSecret, 0, true},
		"an unknown part":    {good + ",v2=abc", goldenBody, goldenSecret, 0, true},
		"spaces":             {strings.ReplaceAll(good, ",", ", "), goldenBody, goldenSecret, 0, true},
		"two times":          {good + ",t=1772323200", goldenBody, goldenSecret, 0, false},
		"no time":            {v1[1:], goldenBody, goldenSecret, 0, false},
		"no signature":       {"t=1772323200", goldenBody, goldenSecret, 0, false},
		"half a signature":   {good[:len(good)-2], goldenBody, goldenSecret, 0, false},
		"empty":              {"", goldenBody, goldenSecret, 0, false},
		"long":               {good + strings.Repeat(",", 2000), goldenBody, goldenSecret, 0, false},
		"a time that wraps":  {"t=-9223372036854775808" + v1, goldenBody, goldenSecret, 0, false},
		"a time out of time": {"t=9223372036854775807" + v1, goldenBody, goldenSecret, 0, false},
	} {
		err := Verify([]byte(c.secret), c.header, []byte(c.body), at.Add(c.after), ReplayWindow)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	now := time.Unix(1772323200, 0)
	f.Add(goldenSignature, []byte(goldenBody))
	f.Add("t=1,v1=", []byte{})
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if Verify([]byte(goldenSecret), header, body, now, ReplayWindow) == nil && !bytes.Equal(body, []byte(goldenBody)) {
			t.Errorf("%q signs %q", header, body)
		}
		if err := Verify([]byte(goldenSecret), Sign([]byte(goldenSecret), body, now), body, now, 0); err != nil {
			t.Errorf("our own signature of %q: %v", body, err)
		}
	})
}

// What is sent with a secret carries a signature of exactly that body.
func TestSigned(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(func(d *Destination) { d.Secret = []byte("s") })
	w.end(w.run(0, ledger.Failed, "x", "ingest"))
	if err := Verify([]byte("s"), h.heads[0].Get(SignatureHeader), h.bodies[0], w.now(), ReplayWindow); err != nil {
		t.Error(err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"ingest 2026-01-30: column \"user_id\": bad":  `ingest 2026-01-30: column "…": bad`,
		`a "quote \" inside" b`:                       `a "…" b`,
		"line\none\ttwo\x00\x1b[31m\u2028x":           "line one two [31m x",
		"get https://user:pw@host/p?token=x#y failed": "get https://host/p failed",
		"s3://key:secret@bucket/a/b":                  "s3://bucket/a/b",
		"mail to eve.smith+x@example.com now":         "mail to … now",
		"ndcg@10 gap by gender is 12 %":               "ndcg@10 gap by gender is 12 %",
		"\xff\xfe":                                    "�",
		"":                                            "",
		"unfinished \"quote of eve":                   `unfinished "…"`,
		"unfinished `quote of eve":                    `unfinished "…"`,
		`unfinished "quote of eve\`:                   `unfinished "…"`,
	} {
		if got := Clean(in, 200); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for n := range 40 {
		if got := Clean(strings.Repeat("äöü€", 20), n+4); len(got) > n+4 || !utf8.ValidString(got) {
			t.Errorf("%d: %q", n+4, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add(`a "b" c@d.ef s3://x:y@z?q`, 20)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 4 + abs(n)%1000
		got := Clean(s, n)
		if len(got) > n || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q to %d: %q", s, n, got)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		n = -(n + 1)
	}
	return n
}

// A message is bounded whatever an error or a report says, and a Slack body mentions nobody and has no link but the report's.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	s := w.webhook(func(d *Destination) { d.Format, d.Link = "slack", "https://r.example.test" })
	r := w.run(0, ledger.Rejected, "", "evaluate")
	for range 100 {
		r.Reasons = append(r.Reasons, "<!channel> <https://evil.example|click> & "+strings.Repeat("x", 10_000))
	}
	w.report(&r)
	w.end(r)
	if n := len(h.bodies[0]); n > 16<<10 {
		t.Errorf("%d bytes", n)
	}
	var body struct {
		Text   string
		Blocks []struct {
			Type     string
			Text     struct{ Type, Text string }
			Elements []struct{ Type, Text string }
		}
	}
	if err := json.Unmarshal(s.bodies[0], &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Blocks) != 3 || body.Blocks[0].Type != "header" || len(body.Blocks[0].Text.Text) > 150 || len(body.Blocks[1].Text.Text) > 3000 {
		t.Errorf("blocks: %+v", body.Blocks)
	}
	all := string(s.bodies[0])
	if strings.Contains(all, "<!") || strings.Contains(all, "<https://evil") || strings.Contains(all, `\u003c!`) || strings.Contains(all, `\u003chttps://evil`) {
		t.Errorf("it mentions or links: %s", all)
	}
	foot := body.Blocks[2].Elements[0].Text
	if !strings.Contains(foot, "<https://r.example.test/reports/nightly/2026-03-09/abc.html|report>") || !strings.Contains(foot, "`rapport runs why "+r.ID+"`") {
		t.Errorf("foot: %s", foot)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://hooks.example.test/x": true, "http://127.0.0.1:8080/x": true, "http://localhost/x": true, "http://[::1]:80/x": true,
		"http://hooks.example.test/x": false, "http://10.0.0.7/x": false, "ftp://x/y": false, "hooks.example.test": false, "": false, "https://": false,
		"http://127.0.0.1.evil.test/x": false, "http://localhost.evil.test/": false, "://": false,
	} {
		err := CheckAddress(address)
		if (err == nil) != ok || err != nil && len(address) > 10 && strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
