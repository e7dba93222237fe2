package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// Schema names the shape of a message. It changes when a field changes its name or meaning, not when one is added.
const Schema = "rapport.alert/1"

// Kind is what a message is about.
type Kind string

// The kinds of a project file, and the one of a test message.
const (
	Failed   Kind = "failed"   // a run failed, or was killed
	Rejected Kind = "rejected" // the gate refused a candidate: what was live stays live
	Late     Kind = "late"     // an interval is overdue
	Drift    Kind = "drift"    // data or scores have drifted
	Budget   Kind = "budget"   // a budget is broken: it refused, or goes on as an accepted risk or a warning
	Consent  Kind = "consent"  // a feed of consent is held: it would deny too many
	Request  Kind = jobs.OverdueRequest
	Retrain  Kind = jobs.OverdueRetrain
	Purge    Kind = jobs.OverduePurge
	Access   Kind = "access" // a token reads the records of more people than it should, within an hour
	test     Kind = "test"
)

// Status is where in its life a condition stood when a message was sent.
type Status string

// A condition opens, may change or be reminded of, and is resolved.
const (
	Opened   Status = "open"
	Changed  Status = "changed"
	Reminder Status = "reminder"
	Resolved Status = "resolved"
	tested   Status = "test"
)

// Message is what a webhook receives in the format json. All texts are bounded and hold no control characters.
type Message struct {
	Schema    string          `json:"schema"`
	ID        string          `json:"id"`        // of this message: one that comes twice has the same
	Condition string          `json:"condition"` // the same from open to resolved, and when it comes again
	Status    Status          `json:"status"`
	Kind      Kind            `json:"kind"`
	Project   string          `json:"project"`
	Job       string          `json:"job"`                // "" if it is of none, as of a token
	Subject   string          `json:"subject,omitempty"`  // what of the job: the budget; or which token
	Interval  *table.Interval `json:"interval,omitempty"` // that it was seen in last
	Run       string          `json:"run_id,omitempty"`
	Summary   string          `json:"summary"`
	Details   []string        `json:"details"`
	Since     time.Time       `json:"since"`
	At        time.Time       `json:"at"`
	Count     int             `json:"count"` // how often it was seen since
	Report    string          `json:"report,omitempty"`
	Command   string          `json:"command"` // what to try
}

// Bounds of what a message holds, in bytes and lines.
const (
	maxSummary = 300
	maxDetail  = 600
	maxDetails = 10
	maxName    = 200
)

// body encodes the message in a format, "json" or "slack".
func (m Message) body(format string) ([]byte, error) {
	var v any = m
	if format == "slack" {
		v = m.slack()
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // six bytes for one would go beyond the bounds
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// text and block are the parts of Slack's Block Kit that are used, which servers compatible with Slack understand too.
type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type slackBody struct {
	Text   string  `json:"text"` // where blocks are not shown, as in notifications
	Blocks []block `json:"blocks"`
}

// Slack's own bounds, in characters; ours are bytes, which are no fewer.
const (
	slackHeader  = 150
	slackSection = 3000
)

func (m Message) slack() slackBody {
	head := cut(fmt.Sprintf("%s: %s", m.Project, m.Summary), slackHeader)
	says := make([]string, 0, len(m.Details))
	for _, d := range m.Details {
		says = append(says, "• "+escape(d))
	}
	foot := []string{fmt.Sprintf("%s, since %s", m.Status, m.Since.UTC().Format("2006-01-02 15:04 MST"))}
	if m.Count > 1 {
		foot = append(foot, fmt.Sprintf("seen %d times", m.Count))
	}
	if m.Report != "" {
		foot = append(foot, link(m.Report, "report"))
	}
	if m.Command != "" {
		foot = append(foot, "`"+escape(strings.ReplaceAll(m.Command, "`", "'"))+"`")
	}
	b := slackBody{Text: escape(head), Blocks: []block{{Type: "header", Text: &text{"plain_text", head}}}}
	if len(says) > 0 {
		b.Blocks = append(b.Blocks, block{Type: "section", Text: &text{"mrkdwn", cut(strings.Join(says, "\n"), slackSection)}})
	}
	b.Blocks = append(b.Blocks, block{Type: "context", Elements: []text{{"mrkdwn", cut(strings.Join(foot, " · "), slackSection)}}})
	return b
}

// escape makes text harmless in Slack's mrkdwn: no link, no mention of a person or a channel.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// link is a link if people can follow it, else the text.
func link(to, label string) string {
	if u, err := url.Parse(to); err != nil || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(to, "|<>") {
		return escape(label + ": " + to)
	}
	return "<" + to + "|" + label + ">"
}

var (
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*(?:"|\\?$)|` + "`[^`]*(?:`|$)") // one that is not closed goes to the end
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/@]*@`)
	query    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*)[?#]\S*`)
	address  = regexp.MustCompile(`[^\s@:/"'(),;<>]+@[^\s@:/"'(),;<>]+\.[A-Za-z]{2,}`) // ndcg@10 is none
)

// Clean makes a text fit to leave the house: one line of at most n bytes, without what stands in quotes (errors repeat there what they have
// found in a file), without credentials and queries of addresses, and without mail addresses.
func Clean(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 }), " ")
	s = quoted.ReplaceAllString(s, `"…"`)
	s = userinfo.ReplaceAllString(s, "$1")
	s = query.ReplaceAllString(s, "$1")
	s = address.ReplaceAllString(s, "…")
	return cut(s, n)
}

// cut shortens a text to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "…"
	end := n - len(more)
	for end > 0 && s[end]&0xc0 == 0x80 {
		end--
	}
	return s[:end] + more
}
