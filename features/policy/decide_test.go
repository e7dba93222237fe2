package policy

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

var recommend = Purpose{Name: "recommend", Says: "Suggest things.", Basis: Consent}

func given(s Subject, from, expires int) Record {
	r := Record{Subject: s, Purpose: "recommend", State: ConsentGiven, Effective: day(from), Recorded: day(from)}
	if expires > 0 {
		r.Expires = day(expires)
	}
	return r
}

func with(s Subject, state State, effective, recorded int) Record {
	return Record{Subject: s, Purpose: "recommend", State: state, Effective: day(effective), Recorded: day(recorded)}
}

func TestDecideByHand(t *testing.T) {
	const now = 20
	tests := []struct {
		name    string
		records []Record
		erased  int // day, 0 = not
		from    int // first day that counts; -1: denied
		why     Reason
		expires int // day, 0 = never
	}{
		{"no record", nil, 0, -1, NoRecord, 0},
		{"given", []Record{given(1, 5, 0)}, 0, 5, Kept, 0},
		{"given, will expire", []Record{given(1, 5, 25)}, 0, 5, Kept, 25},
		{"expired yesterday", []Record{given(1, 5, 19)}, 0, -1, Expired, 0},
		{"expires now: half-open", []Record{given(1, 5, 20)}, 0, -1, Expired, 0},
		{"renewed before expiry: unbroken", []Record{given(1, 5, 10), given(1, 8, 30)}, 0, 5, Kept, 30},
		{"renewed at the expiry: unbroken", []Record{given(1, 5, 10), given(1, 10, 30)}, 0, 5, Kept, 30},
		{"renewed a day after: broken", []Record{given(1, 5, 10), given(1, 11, 30)}, 0, 11, Kept, 30},
		{"a renewal may shorten", []Record{given(1, 5, 0), given(1, 8, 12)}, 0, -1, Expired, 0},
		{"withdrawn", []Record{given(1, 5, 0), with(1, Withdrawn, 12, 12)}, 0, -1, Refused, 0},
		{"withdrawn, given again", []Record{given(1, 5, 0), with(1, Withdrawn, 12, 12), given(1, 15, 0)}, 0, 15, Kept, 0},
		{
			"withdrawn and given again at one time, recorded in this order: broken",
			[]Record{given(1, 5, 0), with(1, Withdrawn, 12, 12), with(1, ConsentGiven, 12, 13)},
			0, 12, Kept, 0,
		},
		{"tie in all times: the denial wins", []Record{given(1, 5, 0), with(1, Withdrawn, 5, 5)}, 0, -1, Refused, 0},
		{"recorded after now: does not exist", []Record{given(1, 5, 0), with(1, Withdrawn, 12, 21)}, 0, 5, Kept, 0},
		{"withdrawal scheduled: bounds the online row", []Record{given(1, 5, 0), with(1, Withdrawn, 23, 18)}, 0, 5, Kept, 23},
		{"consent scheduled: not yet", []Record{with(1, ConsentGiven, 23, 18)}, 0, -1, NoRecord, 0},
		{"requested only", []Record{with(1, Requested, 5, 5)}, 0, -1, NoRecord, 0},
		{"a state nobody knows denies", []Record{given(1, 5, 0), with(1, "Consent given", 8, 8)}, 0, -1, Refused, 0},
		{"erased", []Record{given(1, 5, 0)}, 12, -1, Erased, 0},
		{"erased, given again", []Record{given(1, 5, 0), given(1, 14, 0)}, 12, 14, Kept, 0},
		{"erased, given again but backdated: counts from the erasure", []Record{with(1, ConsentGiven, 3, 14)}, 12, 12, Kept, 0},
		{"erased, recorded at the same time: gone with it", []Record{with(1, ConsentGiven, 5, 12)}, 12, -1, Erased, 0},
		{"erased, given again, withdrawn", []Record{given(1, 14, 0), with(1, Withdrawn, 16, 16)}, 12, -1, Refused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var es []Erasure
			if tt.erased > 0 {
				es = []Erasure{{Subject: 1, At: day(tt.erased), Epoch: 1}}
			}
			want := Decision{From: dayMicros(tt.from), To: dayMicros(now), Why: tt.why}
			if tt.from < 0 {
				want = denied(tt.why)
			}
			if tt.expires > 0 {
				want.Expires = dayMicros(tt.expires)
			}
			if got := Decide(recommend, day(now), tt.records, es).Of(1); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestLegitimateInterestHoldsUntilObjection(t *testing.T) {
	p := Purpose{Name: "recommend", Basis: LegitimateInterest}
	d := Decide(p, day(20), []Record{
		with(1, Withdrawn, 5, 5),
		with(2, Withdrawn, 5, 5), with(2, ConsentGiven, 9, 9),
		given(3, 5, 8), // a grant that expires changes nothing: nobody objected
	}, []Erasure{{Subject: 4, At: day(7)}})
	for s, want := range map[Subject]Decision{
		1: denied(Refused),
		2: {From: dayMicros(9), To: dayMicros(20)},
		3: {From: ever, To: dayMicros(20)},
		4: denied(Erased), // silence after an erasure is no "unopposed"
		5: {From: ever, To: dayMicros(20)},
	} {
		if got := d.Of(s); got != want {
			t.Errorf("subject %d: %+v, want %+v", s, got, want)
		}
	}
}

func TestNoPurposeDeniesAll(t *testing.T) {
	d := Decide(Purpose{}, day(20), []Record{given(1, 5, 0)}, nil)
	if got := d.Judge(1, dayMicros(6), ever); got != NoPurpose {
		t.Errorf("got %v, want %v", got, NoPurpose)
	}
}

func TestRetentionCountsFromTheEarlierOfIntervalEndAndNow(t *testing.T) {
	p := Purpose{Keep: map[string]time.Duration{"events": 10 * 24 * time.Hour}}
	for _, tt := range []struct{ end, now, want int }{{30, 40, 20}, {30, 25, 15}} {
		if got := p.Oldest("events", day(tt.end), day(tt.now)); got != dayMicros(tt.want) {
			t.Errorf("end %d, now %d: oldest is %v, want day %d", tt.end, tt.now, time.UnixMicro(got).UTC(), tt.want)
		}
	}
	if got := p.Oldest("models", day(30), day(30)); got != ever {
		t.Errorf("a class without a limit: oldest is %d, want the least time", got)
	}
}

func window(from, to int) table.Interval { return table.Interval{Start: day(from), End: day(to)} }

func TestDigestIsTheFilterOfTheWindow(t *testing.T) {
	// Equal digests exactly when the same events of the window are kept, over pairs of generated histories: one side, no collision;
	// other side, no key that changes for nothing.
	rng := rand.New(rand.NewPCG(7, 8))
	w := window(6, 12)
	kept := func(d *Decisions) (out [4][]int) {
		for s := range out {
			for tt := 6; tt < 12; tt++ {
				if d.Judge(Subject(s), dayMicros(tt), ever) == Kept {
					out[s] = append(out[s], tt)
				}
			}
		}
		return out
	}
	same, differ := 0, 0
	for range 30_000 {
		p := Purpose{Name: "recommend", Basis: []Basis{Consent, LegitimateInterest}[rng.IntN(2)]}
		ra, _ := genHistory(rng)
		rb, _ := genHistory(rng)
		if rng.IntN(2) == 0 {
			rb = slices.Concat(ra, rb[:min(len(rb), 1)])
		}
		a, b := Decide(p, day(15+rng.IntN(3)), ra, nil), Decide(p, day(15+rng.IntN(3)), rb, nil)
		ka, kb := kept(a), kept(b)
		equal := slices.EqualFunc(ka[:], kb[:], slices.Equal)
		if equal != (a.Digest(w) == b.Digest(w)) {
			t.Fatalf("%s: the same events are kept: %v, the same digest: %v\n%v\n%v", p.Basis, equal, !equal, ra, rb)
		}
		if equal {
			same++
		} else {
			differ++
		}
	}
	if same < 3000 || differ < 3000 {
		t.Fatalf("%d pairs alike and %d not: the generator no longer covers both sides", same, differ)
	}
}

func TestDigestOfPendingAndFinishedErasureAgree(t *testing.T) {
	w := window(6, 12)
	for _, b := range []Basis{Consent, LegitimateInterest} {
		p := Purpose{Name: "recommend", Basis: b}
		pending := Decide(p, day(15), []Record{given(1, 5, 0), given(2, 5, 0)}, []Erasure{{Subject: 2, At: day(14)}})
		finished := Decide(p, day(16), []Record{given(1, 5, 0)}, nil)
		if pending.Digest(w) != finished.Digest(w) {
			t.Errorf("%s: the digest changes when an erasure is finished", b)
		}
	}
}

func TestDigestGolden(t *testing.T) {
	// The digest stands in step keys: if this changes, every interval is built again.
	d := Decide(recommend, day(20), []Record{given(1, 5, 0), given(0xfedcba9876543210, 8, 0), with(3, Withdrawn, 5, 5), given(4, 12, 0)}, nil)
	const want = "f57e0f9f963638cfdcd2c9253ff21ff20ca0b2b6d2504f457e70e418b607f50c"
	if got := d.Digest(window(6, 12)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestHoldsImport(t *testing.T) {
	var before []Record
	for s := Subject(1); s <= 300; s++ {
		before = append(before, given(s, 1, 0))
	}
	hold := func(before, after []Record, share float64) Hold {
		return HoldsImport(Decide(recommend, day(20), before, nil), Decide(recommend, day(20), after, nil), share)
	}
	invalidate := func(n int, state State) []Record {
		after := slices.Clone(before)
		for s := Subject(1); s <= Subject(n); s++ {
			after = append(after, with(s, state, 10, 10))
		}
		return after
	}
	for _, tt := range []struct {
		name          string
		before, after []Record
		share         float64
		want          Hold
	}{
		{"nothing new", before, before, 0, Hold{false, 300, 0, 0, 0}},
		{"15 of 300 lost: not over 5 %", before, invalidate(15, Invalidated), 0, Hold{false, 300, 0, 15, 0}},
		{"16 of 300 lost", before, invalidate(16, Invalidated), 0, Hold{true, 300, 0, 16, 0}},
		{"16 of 300, where a tenth may be", before, invalidate(16, Invalidated), 0.1, Hold{false, 300, 0, 16, 0.1}},
		{"40 withdraw: people may", before, invalidate(40, Withdrawn), 0, Hold{false, 300, 40, 0, 0}},
		{"a truncated snapshot", before, before[:280], 0, Hold{true, 300, 0, 20, 0}},
		{"a renamed state", before, invalidate(50, "granted"), 0, Hold{true, 300, 0, 50, 0}},
		{"an empty feed", before, nil, 0, Hold{true, 300, 0, 300, 0}},
		{"10 of 40 lost: so few are people", before[:40], before[:30], 0, Hold{false, 40, 0, 10, 0}},
		{"11 of 40 lost", before[:40], before[:29], 0, Hold{true, 40, 0, 11, 0}},
		{"3 of 6 lost: no more than half", before[:6], before[:3], 0, Hold{false, 6, 0, 3, 0}},
		{"all of 3 lost: an empty feed", before[:3], nil, 0, Hold{true, 3, 0, 3, 0}},
		{"nobody was admitted", nil, before[:3], 0, Hold{false, 0, 0, 0, 0}},
	} {
		if got := hold(tt.before, tt.after, tt.share); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	all := append(invalidate(6, Invalidated), with(7, Withdrawn, 10, 10), with(8, Revoked, 10, 10), with(9, ConsentRefused, 10, 10))
	if got := Withdrawals(all); len(got) != 3 || got[0].Subject != 7 || got[1].Subject != 8 || got[2].Subject != 9 {
		t.Errorf("withdrawals of a held import: %v, want those of subjects 7, 8, 9", got)
	}
}

func TestSubjectText(t *testing.T) {
	type doc struct{ S Subject }
	b, err := json.Marshal(doc{0x00ff_ffff_ffff_fffe})
	if err != nil || string(b) != `{"S":"00fffffffffffffe"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back doc
	if err := json.Unmarshal(b, &back); err != nil || back.S != 0x00ff_ffff_ffff_fffe {
		t.Fatalf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "1", "00fffffffffffffg", "0x00000000000001", "+000000000000001", "000000000000000001"} {
		if err := back.S.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, back.S)
		}
	}
}
