package eval

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rapport-ml/rapport/storage/table"
)

// browserFaults is a JavaScript function that lists what is wrong with the page that is shown.
//
//go:embed testdata/faults.js
var browserFaults string

// TestReportInBrowser opens reports in a real browser, narrow and wide, light and dark, and on paper. RAPPORT_REPORT_DIR names a folder for
// pictures of what it saw.
func TestReportInBrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs a browser: install the Debian package chromium")
	}
	dir := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(dir, "browser")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()

	var mu sync.Mutex
	var noise []string
	heard := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		noise = append(noise, fmt.Sprintf(format, args...))
	}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(e any) {
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "file:") {
				heard("asked for %s", e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			heard("console: %s", e.Type)
		case *runtime.EventExceptionThrown:
			heard("exception: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			heard("log: %s", e.Entry.Text)
		}
	}))
	defer cancel()
	started := time.AfterFunc(5*time.Minute, cancel) // the context of the first call must be without a deadline: the browser lives by it
	defer started.Stop()
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}

	pages := map[string]interface{ WriteHTML(io.Writer) error }{"diff": exampleDiff(t), "remedies": manyRemedies(), "ledger": pageOf{ledgerOf()}}
	for name, r := range browserReports(t) {
		pages[name] = r
	}
	for name, r := range pages {
		if only := os.Getenv("RAPPORT_REPORT_ONLY"); only != "" && only != name { // to look at one of them
			continue
		}
		var buf bytes.Buffer
		if err := r.WriteHTML(&buf); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate("file://"+file)); err != nil {
			t.Fatal(err)
		}
		views := []view{{360, "light"}, {768, "dark"}, {1440, "light"}}
		if name == "refused" || os.Getenv("RAPPORT_REPORT_DIR") != "" {
			views = append(views, view{360, "dark"}, view{768, "light"}, view{1440, "dark"})
		}
		for _, v := range views {
			t.Run(fmt.Sprintf("%s/%d/%s", name, v.width, v.scheme), func(t *testing.T) {
				look(t, ctx, v, "screen", name)
			})
		}
		t.Run(name+"/print", func(t *testing.T) {
			look(t, ctx, view{688, "light"}, "print", name+"-print") // A4 less its margins
			pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize(), chromedp.PDFPrintBackground()))
			if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
				t.Errorf("no PDF: %v", err)
			}
			if to := os.Getenv("RAPPORT_REPORT_DIR"); to != "" {
				if err := os.WriteFile(filepath.Join(to, name+".pdf"), pdf, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	for _, n := range noise {
		t.Errorf("the page is not silent: %s", n)
	}
}

// pageOf is a ledger's page.
type pageOf struct{ m *Minimization }

func (p pageOf) WriteHTML(w io.Writer) error {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	return p.m.WriteHTML(w, MinimizationHead{
		Job: "nightly", Model: "home", Revision: "abc", Interval: table.Interval{Start: day(30), End: day(31)}, At: day(31).Add(3 * time.Hour), Stopped: "budget",
		Learned: table.Interval{Start: day(1), End: day(29)}, Judged: table.Interval{Start: day(29), End: day(30)},
	})
}

// manyRemedies is a page with as many remedies as are tried, some of which come to nearly the same.
func manyRemedies() *MitigationPage {
	m := curve()
	m.Stands.Exposure = append(m.Stands.Exposure, RemedyExposure{Attribute: "category", AWRF: figureOf(0.7, 0.6, 0.8), Ratio: figureOf(0.3, 0.2, 0.4)})
	few := m.Remedies
	for i := range 16 {
		r := few[i%len(few)]
		r.Name = fmt.Sprintf("calibrate by category, weight %d", i)
		move := func(f Figure, by float64) Figure { return figureOf(*f.Value+by, *f.Low+by, *f.High+by) }
		r.Change, r.Gap = move(r.Change, 0.0003*float64(i*i%7)), move(r.Gap, 0.0008*float64(i*i%5))
		r.Exposure = m.Stands.Exposure
		m.Remedies = append(m.Remedies, r)
	}
	m.NotTried = []Untried{{Name: "fresh", Why: "nothing says which items are new (evaluate.new or the lists' fresh)"}}
	m.Choose()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	return &MitigationPage{Mitigation: m, Model: "home", Job: "nightly", Learned: table.Interval{Start: day(1), End: day(29)}, Judged: table.Interval{Start: day(29), End: day(30)}, Revision: "abc"}
}

// view is what a page is looked at with.
type view struct {
	width  int64
	scheme string
}

// look reports every fault of the page as it is shown in v, and keeps a picture of it where one is asked for.
func look(t *testing.T, ctx context.Context, v view, media, picture string) {
	t.Helper()
	size := emulation.SetDeviceMetricsOverrideParams{Width: v.width, Height: 900, DeviceScaleFactor: 1}
	if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, size); err != nil {
		t.Fatal(err)
	}
	look := emulation.SetEmulatedMediaParams{Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, look); err != nil {
		t.Fatal(err)
	}
	faults, err := chromedp.Run(ctx, chromedp.Evaluate[[]string]("("+browserFaults+")()"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range faults {
		if i == 12 {
			t.Errorf("and %d more", len(faults)-i)
			break
		}
		t.Error(f)
	}
	to := os.Getenv("RAPPORT_REPORT_DIR")
	if to == "" || picture == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Error(err)
	} else if err := os.WriteFile(filepath.Join(to, fmt.Sprintf("report-%s-%d-%s.png", picture, v.width, v.scheme)), png, 0o600); err != nil {
		t.Error(err)
	}
}

// browserReports are reports of each kind that people meet. RAPPORT_REPORT_JSON adds a real one.
func browserReports(t *testing.T) map[string]*Report {
	t.Helper()
	refused := exampleReport(t)
	refused.Decision = Gate([]Budget{
		{Metric: "ndcg@5", Against: "live", Ratio: ptr(1.2), OnFail: Block, Owner: "ml-lead", Why: "a leap or nothing"},
		{Metric: "ndcg@5", Cohort: "region", RelativeGap: ptr(0.15), Owner: "ml-lead", Why: "parity review"},
		{Metric: "ndcg@5", Cohort: "age_band", RelativeGap: ptr(0.01), OnFail: Warn},
	}, refused.Quality, nil, Drift{Report: refused.Drift})
	passed := exampleReport(t)
	passed.Decision = Gate([]Budget{{Metric: "ndcg@5", Against: Popular, Ratio: ptr(1.0), Owner: "ml-lead", Why: "no worse than best sellers"}}, passed.Quality, nil, Drift{})
	passed.Drift, passed.Rerank, passed.Lists = nil, exampleRerank(), exampleLists()
	first := exampleReport(t)
	first.Trend, first.Drift, first.Published = nil, nil, nil
	first.Quality.Contenders = first.Quality.Contenders[:1]
	first.Quality.Comparisons, first.Quality.Cohorts = nil, nil
	first.Decision = Gate(nil, first.Quality, nil, Drift{})
	out := map[string]*Report{"large": largeReport(t), "refused": refused, "passed": passed, "first": first, "little": {Decision: Gate(nil, &Quality{Headline: "ndcg@10"}, nil, Drift{}), Quality: &Quality{Protocol: Temporal, Seen: Kept, Headline: "ndcg@10", K: []int{10}}}}
	out["drifted"] = driftedReport(t)
	if path := os.Getenv("RAPPORT_REPORT_JSON"); path != "" {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if out["real"], err = ParseReport(body); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
