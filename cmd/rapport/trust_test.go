package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

type rawCohort struct {
	UserID string `parquet:"user_id"`
	Gender string `parquet:"gender,dict,optional"`
}

// trusted is a shop whose weeks are counted: people of whom it is known by hand what they did and said. Days are from 2026-01-01, a Thursday; day 11 is Monday of
// week 3, day 18 that of week 4, day 25 that of week 5.
//
//   - p00 to p99 may be profiled since December. All are there on each Monday, and p00 to p19 and p27 to p29 every day, from December the 15th on. Those of even number are f, the
//     others m; nobody else has a row.
//   - p00 to p14 withdraw on Wednesday of week 3, agree again on Wednesday of week 4, and all but two withdraw again on its Friday.
//   - The consent of p15 to p26 ends as week 3 does: before the night in which its Sunday is read.
//   - p30 to p41 object to being evaluated on Thursday of week 4, and p60 to p71 want no profile from then on.
//   - p42 to p53 complain in week 4, three of them in week 3 too. p54 to p83 buy twice in week 3.
//   - n00 to n11 agree on Tuesday of week 4 and come on its Wednesday.
//   - There is no file of Wednesday of week 5.
func trusted(t testing.TB) *shop {
	s := newShop(t, synth.World{Users: 20, Items: 20, Days: 1, Seed: 7, EventsPerUser: 4, Start: smallWorld.Start})
	s.job.Window, s.job.Floor, s.job.Cohort, s.job.Views, s.job.Published = 49*24*time.Hour, 0, []string{"gender", "activity"}, nil, nil
	s.job.Evaluation.Reads["events"] = []string{"kind"}
	s.job.Trust = &jobs.Trust{Conversion: []string{"buy"}, Complaint: []string{"complain"}, Explanation: []string{"why_viewed"}, Days: 7}

	p := func(i int) string { return fmt.Sprintf("p%02d", i) }
	events := map[int][]rawEvent{} // by day
	did := func(day, hour int, who, what string) {
		at := smallWorld.Start.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
		events[day] = append(events[day], rawEvent{UserID: who, SKU: fmt.Sprintf("sku-%d", len(events[day])%5), Time: at.UnixMicro(), Action: what, Device: "phone"})
	}
	var consent []rawConsent
	agreed := func(who, purpose, state string, at time.Duration, expires int) {
		r := says(who, purpose, state, at)
		if expires > 0 {
			r.Expires = smallWorld.Start.AddDate(0, 0, expires).UnixMicro()
		}
		consent = append(consent, r)
	}
	var cohorts []rawCohort
	const day = 24 * time.Hour
	noon := func(d int) time.Duration { return time.Duration(d)*day + 12*time.Hour }
	for d := -17; d < 32; d++ {
		for i := range 100 {
			if i < 20 || i >= 27 && i < 30 || (d+17)%7 == 0 {
				did(d, 10, p(i), "view")
			}
		}
	}
	var wishes []string
	for i := range 100 {
		expires := 0
		if i >= 15 && i < 27 {
			expires = 18
		}
		agreed(p(i), "recommend", "ConsentGiven", -30*day, expires)
		cohorts = append(cohorts, rawCohort{p(i), []string{"f", "m"}[i%2]})
		switch {
		case i < 15:
			agreed(p(i), "recommend", "Withdrawn", noon(13), 0)
			agreed(p(i), "recommend", "ConsentGiven", noon(20), 0)
			if i < 13 {
				agreed(p(i), "recommend", "Withdrawn", noon(22), 0)
			}
		case i >= 30 && i < 42:
			agreed(p(i), "check_fairness", "Refused", noon(21), 0)
		case i >= 42 && i < 54:
			did(18, 11, p(i), "complain")
			if i < 45 {
				did(11, 11, p(i), "complain")
			}
		case i >= 54 && i < 84:
			did(11, 11, p(i), "buy")
			did(11, 12, p(i), "buy")
		}
		if i >= 60 && i < 72 {
			wishes = append(wishes, p(i)+",level,off,21")
		}
	}
	for i := range 12 {
		who := fmt.Sprintf("n%02d", i)
		agreed(who, "recommend", "ConsentGiven", noon(19), 0)
		did(20, 10, who, "view")
	}
	delete(events, 27)
	for info, err := range s.raw.List(s.Context(), "events/", storage.ListOpt{}) {
		if err == nil {
			err = s.raw.Delete(s.Context(), info.Key)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	for d, rows := range events {
		writeParquet(s.TB, s.raw, eventsKey(d, "part-0"), rows)
	}
	writeParquet(s.TB, s.raw, consentFile, consent)
	writeParquet(s.TB, s.raw, "cohorts.parquet", cohorts)
	s.job.Evaluation.Reads["cohorts"] = []string{"gender"}
	s.wish(wishes...)
	return s
}

// trust is what has been counted of the weeks that had ended by the night after a day.
func (s *shop) trust(day int) *eval.TrustFacts {
	s.Helper()
	t, err := s.runner.Trust(s.Context(), s.job, nightAfter(day), 12)
	if err != nil {
		s.Fatal(err)
	}
	return t
}

// figures prints the figures of a group of a week, a line each.
func figures(w *eval.TrustWeek, cohort, level string) (out []string) {
	for _, g := range w.Groups {
		if g.Cohort == cohort && g.Level == level {
			for _, f := range g.Figures {
				name := f.Metric
				if f.Purpose != "" {
					name += " " + f.Purpose
				}
				out = append(out, name+" "+f.Print())
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestTrustByHand counts weeks night by night, as they go on, and compares them with what was put into them.
func TestTrustByHand(t *testing.T) {
	s := trusted(t)
	var told []string // in the flags of runs
	for day := 10; day <= 24; day++ {
		res := s.ingestDay(day)
		for _, f := range res.Flags {
			if strings.HasPrefix(f, "trust ") {
				told = append(told, f)
			}
		}
	}
	facts := s.trust(24)
	var weeks []string
	for _, w := range facts.Weeks {
		weeks = append(weeks, w.Week)
	}
	if want := []string{"2025-W51", "2025-W52", "2026-W01", "2026-W02", "2026-W03", "2026-W04"}; !slices.Equal(weeks, want) {
		t.Fatalf("weeks %v, want %v", weeks, want)
	}
	week3, week4 := &facts.Weeks[4], &facts.Weeks[5]
	for _, c := range []struct {
		week          *eval.TrustWeek
		cohort, level string
		want          []string
	}{
		{week3, "", "", []string{
			// 100 on Monday, 23 on Tuesday, 8 of them from Wednesday, when 15 withdraw, to Saturday, and 3 on Sunday.
			"active 100", "new 0", fmt.Sprint("events ", 100+3+60+23+4*8+3), "conversions 60", "complaints withheld", "explanation_views 0",
			"consent_rate recommend 85.0 %", "given recommend 0", "renewed recommend 0", "withdrawn recommend 15", "expired recommend 0", "refused recommend 0",
			"withdrawn check_fairness 0",
			"unprofiled 0.0 %", "opt_outs 0",
			"permitted_rows " + ratioOf(100+3+60+23+4*8+3, 15*5+5), "columns_read 100.0 %", "days_held 35",
			"erasures_asked 0", "erasures_done 0", "erasures_overdue 0",
		}},
		// Of each gender some of 11 and fewer have withdrawn; who buys are 15 of 50.
		{week3, "gender", "f", []string{"active 50", "new 0", fmt.Sprint("events ", 50+2+30+11+4*3+1), "conversions 30", "complaints withheld", "explanation_views 0", "given recommend 0", "renewed recommend 0", "withdrawn recommend withheld", "expired recommend 0", "refused recommend 0", "withdrawn check_fairness 0", "unprofiled 0.0 %", "opt_outs 0"}},
		{week4, "", "", []string{
			// 73 on Monday, p00 to p14 while they agree, and the 12 new ones; less the 12 who object. Of these 13 have withdrawn again.
			"active 88", "new 12", fmt.Sprint("events ", 73-12+12+15+3*2+12+6*3), "conversions 0", "complaints 12", "explanation_views 0",
			"consent_rate recommend " + ratioOf(87, 25), "given recommend 27", "renewed recommend 0", "withdrawn recommend 13", "expired recommend 12", "refused recommend 0",
			"withdrawn check_fairness 12",
			"unprofiled " + ratioOf(12, 76), "opt_outs 12",
			"permitted_rows " + ratioOf(73+12+15+3*2+12+6*3, 15+12+6*20-15-3*2), "columns_read 100.0 %", "days_held 42",
			"erasures_asked 0", "erasures_done 0", "erasures_overdue 0",
		}},
		{week4, "gender", "missing", []string{"active 12", "new 12", "events 12", "conversions 0", "complaints 0", "explanation_views 0", "given recommend 12", "renewed recommend 0", "withdrawn recommend 0", "expired recommend 0", "refused recommend 0", "withdrawn check_fairness 12", "unprofiled 0.0 %", "opt_outs 0"}},
	} {
		want := slices.Sorted(slices.Values(c.want))
		if got := figures(c.week, c.cohort, c.level); !slices.Equal(got, want) {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.week.Week, c.cohort, c.level, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
	if f := facts.Weeks[3].Groups[0].Figure(eval.GrowthNew, ""); f.Status != eval.Gap {
		t.Errorf("week 2 has no four weeks before it, and yet %+v are new", f)
	}
	for _, w := range facts.Weeks {
		for _, g := range w.Groups {
			if g.Cohort == "activity" {
				t.Errorf("%s is counted by a cohort that no table has", w.Week)
			}
			for _, f := range g.Figures {
				if f.Value != nil && f.N == nil && *f.Value > 0 && *f.Value < eval.MinCell && f.Metric != eval.TrustColumns && f.Metric != eval.TrustHeld {
					t.Errorf("%s %s %s tells of %v people: %s", w.Week, g.Cohort, g.Level, *f.Value, f.Metric)
				}
			}
		}
	}
	// Nobody looked at reasons in any week: the run that counts a week says so, once.
	if len(told) != 6 || !strings.Contains(told[5], "trust 2026-W04: no event that may be counted is of kind buy, why_viewed") {
		t.Errorf("the runs say %q", told)
	}
	if len(facts.Notes) != 1 {
		t.Errorf("notes %q", facts.Notes)
	}
	s.trustStands(t, facts)
}

// ratioOf prints n of n+rest.
func ratioOf(n, rest int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(n+rest)) }

// trustStands checks that weeks that have been counted stay as they are when people are erased, records come late and a day is missing afterwards; and that
// nobody stands in them.
func (s *shop) trustStands(t *testing.T, before *eval.TrustFacts) {
	s.runner.Now = func() time.Time { return nightAfter(24).Add(5 * time.Hour) }
	number := s.number("p99")
	if _, err := s.runner.Erase(s.Context(), []*jobs.Job{s.job}, []string{"p99"}); err != nil {
		t.Fatal(err)
	}
	for day := 25; day <= 31; day++ {
		if day != 27 { // of that there is nothing
			s.ingestDay(day)
		}
	}
	after := s.trust(31)
	if len(after.Weeks) != 7 {
		t.Fatalf("%d weeks", len(after.Weeks))
	}
	for i := range before.Weeks {
		if got, want := fmt.Sprint(after.Weeks[i].Counted), fmt.Sprint(before.Weeks[i].Counted); got != want {
			t.Errorf("%s has been counted again", after.Weeks[i].Week)
		}
	}
	week5 := &after.Weeks[6]
	if week5.Days != 6 || week5.Of != 7 {
		t.Errorf("week 5 has %d of %d days", week5.Days, week5.Of)
	}
	for metric, want := range map[string]eval.TrustStatus{
		eval.GrowthActive: eval.Gap, eval.GrowthNew: eval.Gap, eval.GrowthEvents: eval.Gap, eval.GrowthConversions: eval.Gap, eval.TrustComplaints: eval.Gap,
		eval.TrustPermitted: eval.Told, eval.TrustErasures: eval.Withheld, eval.TrustErased: eval.Withheld, eval.TrustOverdue: eval.Told,
	} {
		if f := week5.Groups[0].Figure(metric, ""); f == nil || f.Status != want {
			t.Errorf("%s of a week without one of its days is %+v, want %s", metric, f, want)
		}
	}
	if f := week5.Groups[0].Figure(eval.TrustConsent, "recommend"); f.Status != eval.Told {
		t.Errorf("the rate of consent of a week without one of its days is %+v", f)
	}
	// A late file counts week 3 again, without p99: told both ways, the two would tell what p99 did.
	writeParquet(s.TB, s.raw, eventsKey(16, "part-1"), []rawEvent{{UserID: "p27", SKU: "sku-1", Time: smallWorld.Start.AddDate(0, 0, 16).Add(15 * time.Hour).UnixMicro(), Action: "view", Device: "phone"}})
	s.ingestDay(31)
	again := s.trust(31)
	if got, was := &again.Weeks[4], &after.Weeks[4]; got.Counted.Equal(was.Counted) {
		t.Errorf("%s has not been counted again", got.Week)
	} else if now, then := figures(got, "", ""), figures(was, "", ""); !slices.Equal(peopleIn(now), peopleIn(then)) {
		t.Errorf("%s is counted again as\n    %s\nafter\n    %s", got.Week, strings.Join(now, "\n    "), strings.Join(then, "\n    "))
	}
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "trust/") {
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Outputs) > 0 || strings.Contains(string(c.Facts), number.String()) || strings.Contains(string(c.Facts), `"p99"`) {
			t.Errorf("%s holds a subject", c.Key)
		}
	}
}

// peopleIn leaves of printed figures those that tell of people.
func peopleIn(figures []string) []string {
	return slices.DeleteFunc(slices.Clone(figures), func(f string) bool {
		return strings.HasPrefix(f, eval.TrustHeld) || strings.HasPrefix(f, eval.TrustColumns)
	})
}

// TestTrustFollowsTheZone: an event of Sunday evening in UTC is one of Monday in Berlin, and the week is named by that.
func TestTrustFollowsTheZone(t *testing.T) {
	s := trusted(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if s.job.Every, err = table.EveryOf("1d", berlin); err != nil {
		t.Fatal(err)
	}
	late := smallWorld.Start.AddDate(0, 0, 17).Add(23*time.Hour + 30*time.Minute) // Sunday of week 3, 23:30
	rows := readParquet[rawEvent](t, s.raw, eventsKey(17, "part-0"))
	var consent []rawConsent
	for i := range 40 {
		who := fmt.Sprintf("z%02d", i)
		rows = append(rows, rawEvent{UserID: who, SKU: "sku-1", Time: late.UnixMicro(), Action: "view", Device: "web"})
		consent = append(consent, says(who, "recommend", "ConsentGiven", -24*time.Hour))
	}
	writeParquet(t, s.raw, eventsKey(17, "part-0"), rows)
	writeParquet(t, s.raw, "consent/late.parquet", consent)
	s.job.Consent.Path = "consent/*.parquet"
	active := func(facts *eval.TrustFacts, week string) string {
		for i := range facts.Weeks {
			if facts.Weeks[i].Week == week {
				return facts.Weeks[i].Groups[0].Figure(eval.GrowthActive, "").Print()
			}
		}
		return "not counted"
	}
	for day := 16; day <= 24; day++ {
		s.ingestDay(day)
	}
	facts := s.trust(24)
	// Nights began with the 17th: who had withdrawn by then was not read at all, so that 85 are left of week 3.
	if three, four := active(facts, "2026-W03"), active(facts, "2026-W04"); three != "85" || four != "128" {
		t.Errorf("%s active in week 3 and %s in week 4, want 85 and 128", three, four)
	}
	if got := facts.Weeks[len(facts.Weeks)-1].Interval.Start; !got.Equal(time.Date(2026, 1, 18, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("week 4 begins at %s", got.UTC())
	}
}

// TestTrustWithLess: what cannot be told is a gap and said once, without a consent source, without an evaluation purpose, without cohorts, and without kinds.
func TestTrustWithLess(t *testing.T) {
	s := trusted(t)
	s.job.Evaluation, s.job.Cohort, s.job.Trust = nil, nil, &jobs.Trust{Days: 7}
	s.ingestDay(17)
	facts := s.trust(17)
	last := &facts.Weeks[len(facts.Weeks)-1]
	if f := last.Groups[0].Figure(eval.TrustConsent, "recommend"); f.Print() != "85.0 %" || !strings.Contains(strings.Join(facts.Notes, "\n"), "no purpose.evaluate") {
		t.Errorf("without an evaluation purpose the rate is %+v, notes %q", f, facts.Notes)
	}
	if len(last.Groups) != 1 || last.Groups[0].Figure(eval.TrustComplaints, "") != nil {
		t.Errorf("groups %+v", last.Groups)
	}
	if facts := s.trust(16); len(facts.Weeks) != 4 {
		t.Errorf("before week 3 had ended %d weeks are told of", len(facts.Weeks))
	}

	// Read at once after its end, a week has no row of those who had left by then: all 73 who are active are permitted, and yet 15 of 100 had withdrawn by its last moment.
	s = trusted(t)
	s.ingestDay(17)
	facts = s.trust(17)
	last = &facts.Weeks[len(facts.Weeks)-1]
	for metric, want := range map[string]string{eval.GrowthActive: "73", eval.TrustConsent: "85.0 %"} {
		purpose := map[string]string{eval.TrustConsent: "recommend"}[metric]
		if f := last.Groups[0].Figure(metric, purpose); f.Print() != want {
			t.Errorf("%s of a week that is read late: %s, want %s", metric, f.Print(), want)
		}
	}

	s = trusted(t)
	s.job.Consent, s.job.Preferences, s.job.Training.Basis = nil, nil, "legitimate-interest"
	s.ingestDay(17)
	facts = s.trust(17)
	last = &facts.Weeks[len(facts.Weeks)-1]
	if f := last.Groups[0].Figure(eval.TrustConsent, "recommend"); f != nil || !strings.Contains(strings.Join(facts.Notes, "\n"), "no sources.consent") {
		t.Errorf("without a source of consent the rate is %+v, notes %q", f, facts.Notes)
	}
	if f := last.Groups[0].Figure(eval.GrowthActive, ""); f.Print() != "100" {
		t.Errorf("active: %s", f.Print())
	}
	if _, err := event.OpenJournal(s.Context(), s.opened.Bucket); err != nil {
		t.Error(err)
	}
}

// TestTrustOfWhatMayNotBeKept: a week of which some may not be kept any more is a gap, and no week of few people; and who is new is not told where the weeks before are
// not kept.
func TestTrustOfWhatMayNotBeKept(t *testing.T) {
	told := func(keep time.Duration) map[string]string {
		s := trusted(t)
		for _, p := range []*policy.Purpose{&s.job.Training, s.job.Evaluation} {
			p.Keep = map[string]time.Duration{"events": keep}
		}
		s.ingestDay(17)
		out := map[string]string{}
		for _, w := range s.trust(17).Weeks {
			out[w.Week] = w.Groups[0].Figure(eval.GrowthActive, "").Print() + ", " + w.Groups[0].Figure(eval.GrowthNew, "").Print() + " new"
		}
		return out
	}
	const day = 24 * time.Hour
	want := told(100 * day)
	if want["2026-W03"] != "73, 0 new" {
		t.Fatalf("with everything kept: %v", want)
	}
	// Until the end of week 3 seventeen days are kept: weeks 3 and 2, and three days of week 1.
	want = map[string]string{"2025-W51": "—, — new", "2025-W52": "—, — new", "2026-W01": "—, — new", "2026-W02": want["2026-W02"], "2026-W03": "73, — new"}
	if got := told(17 * day); !maps.Equal(got, want) {
		t.Errorf("with seventeen days kept: %v\nwant %v", got, want)
	}
}
