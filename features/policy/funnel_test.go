package policy

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

func TestFunnelJSON(t *testing.T) {
	f := Funnel{}
	f.Add(Kept, 40)
	f.Add(Expired, 2)
	f.Add(Refused, 0)
	f.Merge(Funnel{Expired: 1, BadRow: 4})
	b, err := json.Marshal(f)
	if want := `{"bad_row":4,"expired":3,"kept":40,"read":47}`; err != nil || string(b) != want {
		t.Fatalf("%s, %v; want %s", b, err, want)
	}
	var back Funnel
	if err := json.Unmarshal(b, &back); err != nil || !maps.Equal(f, back) {
		t.Fatalf("%v, %v; want %v", back, err, f)
	}
	for _, bad := range []string{`{"kept":1,"read":2}`, `{"lost":1,"read":1}`, `{"kept":-1,"read":-1}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read as %v", bad, back)
		}
	}
}

func FuzzFunnelJSON(f *testing.F) {
	f.Add([]byte(`{"expired":3,"kept":40,"read":43}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b Funnel
		if json.Unmarshal(data, &a) != nil {
			return
		}
		out, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &b); err != nil || !maps.Equal(a, b) {
			t.Fatalf("%s was read as %v, written as %s and read as %v, %v", data, a, out, b, err)
		}
	})
}

func TestFunnelPrint(t *testing.T) {
	for _, tt := range []struct {
		f    Funnel
		want string
	}{
		{Funnel{Kept: 3800, NoRecord: 310, Refused: 100}, "read 4,210 → no_record 310 · refused 100 → kept 3,800"},
		{Funnel{Kept: 1234567}, "read 1,234,567 → kept 1,234,567"},
		{Funnel{}, "read 0 → kept 0"},
		// 7 alone could be had from the total: the first stage that is large enough is withheld with it.
		{Funnel{Kept: 3800, NoRecord: 310, Refused: 7}, "read 4,117 → no_record (withheld) · refused <11 → kept 3,800"},
		// 2 + 12 = 14 would leave the 2 at most 3, if the other is at least 11: one more is withheld.
		{Funnel{Kept: 3800, NoRecord: 12, Refused: 2, Expired: 50}, "read 3,864 → no_record (withheld) · refused <11 · expired (withheld) → kept 3,800"},
		{Funnel{Kept: 4, Refused: 2}, "read (withheld) → refused <11 → kept <11"},
	} {
		if got := tt.f.Suppressed(11); got != tt.want {
			t.Errorf("%v prints as\n%s, want\n%s", tt.f, got, tt.want)
		}
	}
	if got, want := (Funnel{Kept: 4, Refused: 2}).Suppressed(1), "read 6 → refused 2 → kept 4"; got != want {
		t.Errorf("k = 1 prints %s, want %s", got, want)
	}
}

func TestSuppressedCountsCannotBeRecovered(t *testing.T) {
	// The attacker knows this very function: for every funnel of four stages and k = 4, whoever sees the text must find at least two
	// values for each count that the text hides as small. Funnels with counts up to 8 are judged among all with counts up to 16:
	// small counts differ by at most 2 from 3 others, so no alternative lies beyond.
	const k, judged, most = 4, 8, 16
	cells := [4]Reason{NoRecord, Refused, Expired, Kept}
	seen := map[string][4]map[int64]bool{}
	inside := map[string]bool{}
	var f [4]int64
	for f[0] = 0; f[0] <= most; f[0]++ {
		for f[1] = 0; f[1] <= most; f[1]++ {
			for f[2] = 0; f[2] <= most; f[2]++ {
				for f[3] = 0; f[3] <= most; f[3]++ {
					text := Funnel{cells[0]: f[0], cells[1]: f[1], cells[2]: f[2], cells[3]: f[3]}.Suppressed(k)
					inside[text] = inside[text] || max(f[0], f[1], f[2], f[3]) <= judged
					values, ok := seen[text]
					if !ok {
						for i := range values {
							values[i] = map[int64]bool{}
						}
						seen[text] = values
					}
					for i, n := range f {
						values[i][n] = true
					}
				}
			}
		}
	}
	hidden := 0
	for text, values := range seen {
		for i, r := range cells {
			if !inside[text] || !strings.Contains(text, r.String()+" <") {
				continue
			}
			hidden++
			if len(values[i]) < 2 {
				t.Errorf("%q: %s can only be %v", text, r, values[i])
			}
		}
	}
	if hidden < 100 {
		t.Fatalf("only %d hidden counts: the test no longer tests", hidden)
	}
}

func TestRemedyNamesTheLargestLoss(t *testing.T) {
	if got := (Funnel{Kept: 10}).Remedy(); got != "" {
		t.Errorf("nothing lost: %q", got)
	}
	if got := (Funnel{Kept: 10, NoRecord: 5, Expired: 9}).Remedy(); !strings.HasPrefix(got, "expired: ") || !strings.Contains(got, "renew") {
		t.Errorf("got %q", got)
	}
	for _, f := range []Funnel{{Kept: 900, NoRecord: 200}, {Kept: 5, NoRecord: 40}, {Kept: 10, Refused: 90, Protected: 5}} {
		if got := f.Remedy(); got != "" {
			t.Errorf("%v, which is as people chose: %q", f, got)
		}
	}
	if got := (Funnel{Kept: 10, NoRecord: 990, Refused: 3}).Remedy(); !strings.HasPrefix(got, "no_record: ") {
		t.Errorf("nearly nobody has a record: %q", got)
	}
	for _, r := range stages {
		if got := (Funnel{r: 1}).Remedy(); len(got) < len(r.String())+20 {
			t.Errorf("%s has no remedy: %q", r, got)
		}
	}
}

func TestStagesAreAllReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasons {
		seen[r.String()] = true
		if got := (Funnel{r: 100}).Suppressed(11); !strings.Contains(got, r.String()+" 100") {
			t.Errorf("%s is not printed: %s", r, got)
		}
	}
	if len(seen) != int(reasons) || seen[""] {
		t.Errorf("names are not distinct: %v", seen)
	}
}
