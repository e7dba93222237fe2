package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// messyRow is an event as a shop's own system exports it, with no thought of anybody who might read it.
type messyRow struct {
	Customer struct {
		ID    int64  `parquet:"id"`
		Email string `parquet:"email"`
	} `parquet:"customer"`
	CreatedAt string      `parquet:"created_at"` // local
	EventType string      `parquet:"event_type"`
	IP        string      `parquet:"ip,optional"`
	Ctx       *messyCtx   `parquet:"ctx,optional"`
	Items     []messyLine `parquet:"items,list"`
}

type messyCtx struct {
	Device string `parquet:"device"`
}

type messyLine struct {
	SKU      string `parquet:"sku"`
	Price    int64  `parquet:"price,decimal(2:18)"`
	Quantity int32  `parquet:"quantity"`
}

// messy writes 14 days of nested events in files without a date in their names, a job's run a file.
func messy(dir string) error {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(14, 7))
	for d := range 14 {
		day := time.Date(2026, 3, 20+d, 0, 0, 0, 0, berlin) // clocks change on the 29th
		var rows []messyRow
		for range 500 {
			who := rng.IntN(120)
			r := messyRow{CreatedAt: day.Add(time.Duration(rng.IntN(23*3600)) * time.Second).Format("02.01.2006 15:04:05"), EventType: "product_viewed", IP: fmt.Sprintf("192.0.2.%d", who)}
			r.Customer.ID, r.Customer.Email = int64(70_000+who), fmt.Sprintf("person-%d@example.org", who)
			if rng.IntN(4) > 0 {
				r.Ctx = &messyCtx{[]string{"phone", "web"}[who%2]}
			}
			lines := 1
			switch rng.IntN(8) {
			case 0, 1:
				r.EventType, lines = "order_completed", 1+rng.IntN(3)
			case 2:
				r.EventType = "cart_item_added"
			case 3:
				r.EventType, lines = "page_ping", 0
			}
			for range lines {
				item := (who%4)*12 + rng.IntN(12) // everybody has a taste
				r.Items = append(r.Items, messyLine{fmt.Sprintf("SKU-%03d", item), int64(199 + 50*item), 1 + rng.Int32N(3)})
			}
			rows = append(rows, r)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := parquet.WriteFile(filepath.Join(dir, fmt.Sprintf("run-%02d.parquet", d)), rows); err != nil {
			return err
		}
	}
	return nil
}

// TestInspectShowsNoIdentifier: nothing that a person could be told by is in what inspect or init --from prints or writes, in any form.
func TestInspectShowsNoIdentifier(t *testing.T) {
	dir := t.TempDir()
	if err := messy(filepath.Join(dir, "export")); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	env := func(string) string { return "" }
	url := "file:" + filepath.Join(dir, "export")
	for _, args := range [][]string{
		{"inspect", url},
		{"inspect", url, "-o", "json"},
		{"inspect", url, "--subject", "customer.email", "--kind", "customer.email", "--item", "ip"},
		{"init", filepath.Join(dir, "a"), "--from", url},
		{"init", filepath.Join(dir, "b"), "--from", url, "--kind", "customer.email", "-o", "json"},
	} {
		if code := run(t.Context(), args, env, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs.String())
		}
	}
	for _, made := range []string{"a", "b"} {
		body, err := os.ReadFile(filepath.Join(dir, made, projectFile))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(body)
	}
	for _, part := range []string{"example.org", "person-", "192.0.2", "70001", "70119", "7e+04"} {
		if text := out.String() + errs.String(); strings.Contains(text, part) {
			at := strings.Index(text, part)
			t.Errorf("%q is shown: …%s…", part, text[max(0, at-80):min(len(text), at+40)])
		}
	}
}
