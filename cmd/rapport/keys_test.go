package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// newKeys are keys of an invented secret.
func newKeys(t testing.TB, id string) event.Keys {
	t.Helper()
	k, err := event.NewKeys(id, []byte("an invented secret of "+id))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// under makes the shop's runner one of a project with these keys, the current one first.
func (s *shop) under(keys ...event.Keys) {
	s.opened.Keys, s.opened.Previous = keys[0], keys[1:]
	s.runner.Keys, s.runner.Previous = keys[0], keys[1:]
}

// dropOthers drops all generations of the online store but the live one.
func (s *shop) dropOthers() {
	s.Helper()
	live, err := s.opened.Online.Live(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	have, err := s.opened.Online.Generations(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for g := range have {
		if g != live.Generation {
			if err := s.opened.Online.Drop(s.Context(), g); err != nil {
				s.Fatal(err)
			}
		}
	}
}

// reads reports whether somebody, looked up as a server does, is answered with a list of their own.
func (s *shop) reads(id string) (personal bool, key string) {
	s.Helper()
	key, err := s.runner.Names().Of(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	l, _, err := online.Recommend(s.Context(), s.opened.Online, key, 5, table.Micros(s.runner.Now()))
	if err != nil {
		s.Fatal(err)
	}
	return l.Personalized, key
}

// A rotation writes the identity table and nothing else, people are answered and denied by the keys of both sides of it, receipts go on to hold, and a key is
// retired when nothing needs it, not before.
func TestRotation(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	js := []*jobs.Job{s.job}
	s.night(6)
	k1, k2, k3 := s.opened.Keys, newKeys(t, "k2"), newKeys(t, "k3")
	people := s.admitted(5)
	before := objects(t, s.opened.Bucket)

	s.under(k2, k1)
	for _, id := range people { // nobody has reappeared yet
		if personal, key := s.reads(id); !personal || key != event.OnlineKey(k1.ServingKey(), id) {
			t.Fatal("after a rotation somebody is not found in the generation of before it")
		}
	}
	if _, err := s.runner.Retire(ctx, "k1"); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "people have not reappeared") {
		t.Fatalf("a key that everybody stands under was retired: %v", err)
	}
	// Two processes wrap them at once.
	other := *s.runner
	var first *jobs.Rewrapped
	failed := make(chan error, 1)
	go func() {
		var err error
		first, err = other.Rewrap(context.WithoutCancel(ctx), js)
		failed <- err
	}()
	done, err := s.runner.Rewrap(ctx, js)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	if len(done.Left) != 0 || len(first.Left) != 0 || done.Wrapped+first.Wrapped == 0 {
		t.Errorf("wrapped anew: %+v and %+v", done, first)
	}
	after := objects(t, s.opened.Bucket)
	for key, body := range after {
		if !strings.HasPrefix(key, "identity/") && !bytes.Equal(body, before[key]) {
			t.Errorf("a rotation wrote %s", key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			t.Errorf("a rotation removed %s", key)
		}
	}
	if bytes.Equal(before["identity/00.bin"], after["identity/00.bin"]) {
		t.Error("the identity table is as it was: the test shows nothing")
	}

	// The generation of before holds people under the old key; a denial under either is theirs.
	for i, key := range []string{event.OnlineKey(k1.ServingKey(), people[0]), event.OnlineKey(k2.ServingKey(), people[1])} {
		if personal, _ := s.reads(people[i]); !personal {
			t.Fatal("somebody whose row was wrapped anew is not found")
		}
		if err := s.opened.Online.Deny(ctx, key); err != nil {
			t.Fatal(err)
		}
		if personal, _ := s.reads(people[i]); personal {
			t.Errorf("person %d is denied under one of two keys, and reads a list of their own", i)
		}
		if err := s.opened.Online.Allow(ctx, key); err != nil {
			t.Fatal(err)
		}
	}

	ring, err := s.runner.Keyring(ctx)
	if err != nil || len(ring.Problems()) != 0 || len(ring.Secrets) != 2 {
		t.Fatalf("keys %+v, %v", ring, err)
	}
	if k := ring.Secrets[0]; k.ID != "k1" || k.Given != jobs.KeyPrevious || k.People != 0 || len(k.Generations) == 0 || k.MayRetire || !k.Fits {
		t.Errorf("the previous key: %+v", k)
	}
	if k := ring.Secrets[1]; k.Given != jobs.KeyCurrent || k.People == 0 || k.Since == nil || k.MayRetire {
		t.Errorf("the current key: %+v", k)
	}
	if _, err := s.runner.Retire(ctx, "k1"); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "of the online store may hold people") {
		t.Fatalf("a key was retired that a live generation needs: %v", err)
	}
	s.night(7)
	for _, id := range people {
		if personal, key := s.reads(id); !personal || key != event.OnlineKey(k2.ServingKey(), id) {
			t.Errorf("after the next night somebody is not found by the new key: %v", personal)
		}
	}
	if _, err := s.runner.Retire(ctx, "k1"); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "of the online store may hold people") {
		t.Fatalf("a key was retired that a generation kept for a rollback needs: %v", err)
	}
	s.dropOthers()
	k, err := s.runner.Retire(ctx, "k1")
	if err != nil || k.Retired == nil {
		t.Fatalf("a key that nothing needs: %+v, %v", k, err)
	}
	if again, err := s.runner.Retire(ctx, "k1"); err != nil || !again.Retired.Equal(*k.Retired) {
		t.Errorf("retired again: %+v, %v", again, err)
	}
	if _, err := s.runner.Retire(ctx, "k9"); !errors.Is(err, jobs.ErrUnknownKey) {
		t.Errorf("a key that never was: %v", err)
	}

	// A receipt of k2 holds over a rotation, and the marks of who was erased keep k2 until a source names them.
	s.under(k2)
	out, err := s.erase(people[0])
	if err != nil {
		t.Fatal(err)
	}
	s.under(k3, k2)
	published, err := s.runner.SigningKeys(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.runner.Receipt(ctx, out.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, signer, err := jobs.VerifyReceipt(file, published.Keys); err != nil || signer.Secret != "k2" || len(published.Keys) != 2 {
		t.Errorf("a receipt of before the rotation: under %q of %d keys, %v", signer.Secret, len(published.Keys), err)
	}
	if _, err := s.runner.Retire(ctx, "k2"); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "1 erased person is marked under it") || !strings.Contains(err.Error(), "rapport keys retire k2 --forget --why TEXT") {
		t.Errorf("a key was retired that alone recognizes who was erased: %v", err)
	}
	again, err := s.runner.Rewrap(ctx, js)
	if err != nil || again.Marked != 1 || again.Marks != 0 {
		t.Fatalf("who is erased and stands in the source all the same: %+v, %v", again, err)
	}
	if _, err := s.runner.Retire(ctx, "k2"); !errors.Is(err, jobs.ErrKeyNeeded) || strings.Contains(err.Error(), "erased") {
		t.Errorf("a key is needed by who was marked anew: %v", err)
	}
	s.under(k3)
	if got, err := s.runner.Standings(ctx, s.job, people[:1]); err != nil || got[0].Known {
		t.Errorf("who was erased under a key that is not given any more: %+v, %v", got, err)
	}
	if out, err := s.runner.Erase(ctx, js, people[:1]); err == nil || !strings.Contains(err.Error(), "1 of them erased already") {
		t.Errorf("who is marked anew is not recognized: %+v, %v", out, err)
	}
}

// TestSubjectAfterARotation: what is held of a person is told whatever a rotation has come to, with what is pending: before anything was published, while what is live is
// of before it, and when it is done.
func TestSubjectAfterARotation(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	s.night(6)
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	id := s.admitted(1)[0]
	tells := func(when string, want ...string) *jobs.Dossier {
		t.Helper()
		var file bytes.Buffer
		if _, err := s.runner.Export(ctx, s.job, id, &file); err != nil || file.Len() == 0 {
			t.Fatalf("%s, the export: %v", when, err)
		}
		d, err := s.runner.Dossier(ctx, s.job, id)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if !d.Known || len(d.Holdings) == 0 || len(d.Pending) != len(want) {
			t.Fatalf("%s: known %v, %d holdings, pending %q", when, d.Known, len(d.Holdings), d.Pending)
		}
		for i, x := range want {
			if !strings.Contains(d.Pending[i], x) {
				t.Errorf("%s: pending is %q, want %q", when, d.Pending[i], x)
			}
		}
		return d
	}
	const unpublished, row, served = "nothing is published", "identity table stands under key k1", "what is served of them stands under key k1"
	tells("before a rotation")
	s.under(k2, k1)
	if d := tells("what is live is of before", row, served); d.Served.List == nil {
		t.Error("what is served of before a rotation is not told")
	}
	s.night(7)
	if d := tells("after the next night"); d.Served.List == nil {
		t.Error("what is served after a rotation is not told")
	}

	s = newShop(t, smallWorld)
	s.ingestDay(6)
	tells("where nothing was published", unpublished)
	s.under(k2, k1)
	tells("nor after a rotation", row, unpublished)
	if _, err := s.runner.Rewrap(ctx, []*jobs.Job{s.job}); err != nil {
		t.Fatal(err)
	}
	tells("when the row is wrapped anew", unpublished)
}

// TestHoldsAreNamedToKeys: whom a legal hold keeps from being marked anew by a rotation is told with the hold and its end by every verb that asks; after it they are.
func TestHoldsAreNamedToKeys(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	js := []*jobs.Job{s.job}
	s.night(6)
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	end := s.hold(jobs.Hold{From: smallWorld.Start.AddDate(0, 0, 1), To: smallWorld.Start.AddDate(0, 0, 4)})
	who := s.admitted(1)[0]
	out, err := s.erase(who)
	if err != nil || len(out.HeldBack) == 0 {
		t.Fatalf("%+v %v", out, err)
	}
	holds, err := s.runner.Holds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := func(what, says string) {
		t.Helper()
		if day := holds[0].Until.UTC().Format("2006-01-02 15:04 UTC"); !strings.Contains(says, "legal hold 1 keeps rows") || !strings.Contains(says, day) {
			t.Errorf("%s does not name the hold and its end, %s: %s", what, day, says)
		}
	}
	s.under(k2, k1)
	done, err := s.runner.Rewrap(ctx, js)
	if err != nil || done.Marked != 0 || len(done.Waiting) != 1 || done.Waiting[0].Key != "k1" || done.Waiting[0].Marks != 1 {
		t.Fatalf("a rotation: %+v, %v", done, err)
	}
	names("keys rotate", done.Waiting[0].String())
	_, err = s.runner.Retire(ctx, "k1")
	names("keys retire", fmt.Sprint(err))
	_, err = s.runner.ForgetKey(ctx, js, "k1", "it leaked", jobs.Terms{})
	names("keys retire --forget", fmt.Sprint(err))
	ring, err := s.runner.Keyring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names("keys list", strings.Join(ring.Secrets[0].Why, "; "))
	at, err := s.runner.Retention(ctx, js)
	if err != nil || len(at.Held) != 1 {
		t.Fatalf("status: %+v, %v", at, err)
	}
	names("status", at.Held[0].String())
	if d, err := s.runner.Dossier(ctx, s.job, who); err != nil || d.Known || len(d.Pending) != 1 {
		t.Errorf("subject status: %+v, %v", d, err)
	} else {
		names("subject status", d.Pending[0])
	}

	end()
	if p := s.purge(6, 6*time.Hour); len(p.Receipts) != 1 {
		t.Fatalf("the purge after the hold: %+v", p)
	}
	if done, err := s.runner.Rewrap(ctx, js); err != nil || done.Marked != 1 || len(done.Waiting) != 0 {
		t.Errorf("after the hold: %+v, %v", done, err)
	}
	if at, err := s.runner.Retention(ctx, js); err != nil || len(at.Held) != 0 {
		t.Errorf("status after the hold: %+v, %v", at, err)
	}
}

// job0Keys are the keys that every shop begins with.
func (s *shop) job0Keys(t testing.TB) event.Keys {
	t.Helper()
	secret, err := event.ParseSecret([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	k, err := event.NewKeys("k1", secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// days are the digests of the ingested days, by label, of the last commit of each.
func (s *shop) days() map[string]table.Digest {
	s.Helper()
	out, at := map[string]table.Digest{}, map[string]int64{}
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), "ingest/") {
		if err != nil {
			s.Fatal(err)
		}
		label := strings.Split(c.Key, "/")[1]
		if made := c.At.UnixNano(); made > at[label] {
			out[label], at[label] = c.Outputs["events"].Digest, made
		}
	}
	return out
}

// loading does something when a generation begins to be loaded, once.
type loading struct {
	online.Store
	do func()
}

func (l *loading) Load(ctx context.Context, gen uint64) (online.Loader, error) {
	if do := l.do; do != nil {
		l.do = nil
		do()
	}
	return l.Store.Load(ctx, gen)
}

// TestRotationWhileLoading: a generation that is loaded while people are wrapped anew holds them under the key that they stand under when it is whole; so the one
// before can be retired by the generations that there were.
func TestRotationWhileLoading(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	// The night after is that of two processes, of which the second has no key.
	s.runner.Now = func() time.Time { return nightAfter(7) }
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughIngest, Cause: "run"}); err != nil {
		t.Fatal(err)
	}
	second := *s.runner
	second.Keys = event.Keys{}
	s.under(k2, k1)
	second.Online = &loading{s.opened.Online, func() {
		if done, err := s.runner.Rewrap(t.Context(), []*jobs.Job{s.job}); err != nil || done.Wrapped == 0 || len(done.Left) != 0 {
			t.Errorf("wrapped anew %+v, %v", done, err)
		}
	}}
	res, err := second.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish, Cause: "run"})
	if err != nil || res.Published == nil {
		t.Fatalf("%+v, %v", res, err)
	}
	generation := res.Published.Generation
	ids, err := event.OpenIdentities(t.Context(), s.opened.Bucket, event.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]bool{}
	for _, key := range ids.OnlineKeys() {
		owners[key] = true
	}
	held, strange := 0, 0
	if err := s.opened.Online.Scan(t.Context(), "", func(e online.Entry) error {
		if e.Owner != "" {
			held++
		}
		if e.Owner != "" && !owners[e.Owner] {
			strange++
		}
		return nil
	}); err != nil || held == 0 || strange > 0 {
		t.Errorf("of %d rows of people %d are under a key that nobody stands under: %v", held, strange, err)
	}
	ring, err := s.runner.Keyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if k := ring.Secrets[0]; k.ID != "k1" || k.People != 0 || slices.Contains(k.Generations, generation) {
		t.Errorf("the key of before: %+v, and generation %d is live", k, generation)
	}
	if have, err := s.opened.Online.Generations(t.Context()); err != nil || len(have) != 2 {
		t.Errorf("%d generations stand in the store, want that of the first night and the live one: %v", len(have), err)
	}
}

// TestServersOfARotation: a server that was up before a rotation is ready until lists of the new key are live, for until then it knows whom it serves; one that is
// started with the project file of before it is not, and says why; one that has the new file is.
func TestServersOfARotation(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	start := func() *server {
		f := newFront(s)
		mine := *s.runner
		f.server.project.runner = &mine
		f.server.lookAtKeys(t.Context())
		return f.server
	}
	says := func(when string, srv *server, want string) {
		t.Helper()
		if err := srv.keysFit(t.Context()); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", when, err, want)
		}
	}
	const lacks = "people may stand under k2, which is not given"
	before := start()
	says("before the rotation", before, "")
	s.under(k2, k1)
	if _, err := s.runner.Rewrap(t.Context(), []*jobs.Job{s.job}); err != nil {
		t.Fatal(err)
	}
	fresh := start()
	s.under(k1)
	late := start()
	says("up before it", before, "")
	says("started with the file of before it", late, lacks)
	says("started with the new file", fresh, "")
	s.under(k2, k1)
	s.night(7)
	says("up before it, when lists of the new key are live", before, lacks)
	says("started with the file of before it", late, lacks)
	says("started with the new file", fresh, "")
}
