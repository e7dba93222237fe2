package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

var update = flag.Bool("update", false, "write the goldens anew")

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
)

func at(day int) time.Time { return start.AddDate(0, 0, day) }

// open returns a registry whose nonces are n001, n002, ….
func open(t testing.TB, b storage.Bucket) *Registry {
	t.Helper()
	r, err := Open(b, "home")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	r.nonce = func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("n%03d", n)
	}
	return r
}

func files(seed string) artifact.Files {
	return artifact.Files{artifact.ManifestName: []byte("{" + seed + "}"), artifact.WeightsName: []byte("weights of " + seed)}
}

// version is the version of the interval [day n−1, day n).
func version(n int) Version {
	return Version{
		Key:         fmt.Sprintf("step%d", n),
		Interval:    table.Interval{Start: at(n - 1), End: at(n)},
		Created:     at(n).Add(3 * time.Hour),
		Metrics:     map[string]float64{"ndcg@10": 0.25, "recall@10": 0.125},
		Verdict:     Passed,
		Report:      Report{Digest: strings.Repeat("ab", 32), Link: fmt.Sprintf("reports/step%d/report.html", n)},
		Inputs:      []table.Ref{{Key: "k1", Name: "training", Digest: "d1"}},
		Seed:        1<<63 + 5,
		KernelClass: "portable-amd64",
		Spec:        json.RawMessage(`{"als":{"dim":32}}`),
	}
}

// registered registers versions 1 to n, all passed.
func registered(t testing.TB, r *Registry, n int) {
	t.Helper()
	for k := 1; k <= n; k++ {
		v, err := r.Register(ctx, version(k), files(fmt.Sprint(k)))
		if err != nil || v.Number != k {
			t.Fatalf("register %d: version %d, %v", k, v.Number, err)
		}
	}
}

func must(t testing.TB) func(Live, error) Live {
	return func(l Live, err error) Live {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func TestRegisterGetFilesVersions(t *testing.T) {
	r := open(t, storage.NewMemory(nil))
	registered(t, r, 3)
	v, err := r.Get(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if v.Key != "step2" || v.Seed != 1<<63+5 || v.Digest != files("2").Digest() || !v.Interval.End.Equal(at(2)) || v.Metrics["ndcg@10"] != .25 {
		t.Errorf("version 2 is %+v", v)
	}
	got, err := r.Files(ctx, v)
	if err != nil || got.Digest() != v.Digest || string(got[artifact.WeightsName]) != "weights of 2" {
		t.Errorf("files %q, %v", got, err)
	}
	all, err := r.Versions(ctx)
	if err != nil || len(all) != 3 || all[0].Number != 1 || all[2].Key != "step3" {
		t.Errorf("versions %+v, %v", all, err)
	}
	if _, err := r.Get(ctx, 9); !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("version 9: %v", err)
	}
}

func TestRegisterTwiceGivesTheSameNumber(t *testing.T) {
	r := open(t, storage.NewMemory(nil))
	registered(t, r, 2)
	again := version(1)
	again.Created = at(30)
	v, err := r.Register(ctx, again, files("1"))
	if err != nil || v.Number != 1 || !v.Created.Equal(at(1).Add(3*time.Hour)) {
		t.Errorf("again: version %d of %v, %v", v.Number, v.Created, err)
	}
	v, err = r.Register(ctx, again, files("other bytes"))
	if !errors.Is(err, ErrDiffers) || v.Number != 1 {
		t.Errorf("other bytes: version %d, %v", v.Number, err)
	}
	if all, err := r.Versions(ctx); err != nil || len(all) != 2 {
		t.Errorf("%d versions, %v", len(all), err)
	}
}

// Every Put of a registration fails, or loses its response, in turn; the second attempt must end with the same numbers as if nothing
// had happened, even if another step registered in between.
func TestRegisterAfterEachCrash(t *testing.T) {
	for _, effect := range []storagetest.Effect{storagetest.Fail, storagetest.LostResponse} {
		for _, between := range []bool{false, true} {
			const puts = 4 // two files, the claim, the version
			for nth := 1; nth <= puts; nth++ {
				name := fmt.Sprintf("effect %d, put %d, another between %v", effect, nth, between)
				mem := storage.NewMemory(nil)
				faulty := storagetest.NewFaulty(mem, storagetest.Fault{
					Match: func(c storagetest.Call) bool { return c.Op == storagetest.Put }, Nth: nth, Do: effect,
				})
				_, err := open(t, faulty).Register(ctx, version(1), files("1"))
				if faulty.Fired() != 1 {
					t.Fatalf("%s: the fault fired %d times", name, faulty.Fired())
				}
				if err == nil && effect == storagetest.Fail {
					t.Fatalf("%s: no error", name)
				}
				r, want := open(t, mem), 1
				if between {
					if _, err := r.Get(ctx, 1); errors.Is(err, storage.ErrNotFound) {
						want = 2 // the other takes the number that was at most claimed
					}
					if _, err := r.Register(ctx, version(2), files("2")); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				v, err := r.Register(ctx, version(1), files("1"))
				if err != nil || v.Number != want {
					t.Errorf("%s: version %d, want %d; %v", name, v.Number, want, err)
				}
				if _, err := r.Files(ctx, v); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if v, err = r.Register(ctx, version(1), files("1")); err != nil || v.Number != want {
					t.Errorf("%s: third time version %d, %v", name, v.Number, err)
				}
			}
		}
	}
}

func TestRacingRegistrationsGetDistinctNumbers(t *testing.T) {
	r := open(t, storage.NewMemory(nil))
	const writers = 16 // two for each of eight keys
	numbers := make([]int, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			v, err := r.Register(ctx, version(w/2+1), files(fmt.Sprint(w/2)))
			if err != nil {
				t.Error(err)
			}
			numbers[w] = v.Number
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for k := 0; k < writers; k += 2 {
		if numbers[k] != numbers[k+1] || seen[numbers[k]] {
			t.Errorf("numbers %v", numbers)
		}
		seen[numbers[k]] = true
		if v, err := r.Get(ctx, numbers[k]); err != nil || v.Key != fmt.Sprintf("step%d", k/2+1) {
			t.Errorf("version %d holds %s, %v", numbers[k], v.Key, err)
		}
	}
	if last, err := r.last(ctx); err != nil || last != writers/2 {
		t.Errorf("last number %d, %v", last, err)
	}
}

func TestDamagedFilesAreFoundAndHealed(t *testing.T) {
	mem := storage.NewMemory(nil)
	r := open(t, mem)
	registered(t, r, 1)
	v, err := r.Get(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"weights of 7", "weights"} {
		if _, err := mem.Put(ctx, v.Artifact+artifact.WeightsName, storage.Bytes([]byte(damage)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Files(ctx, v); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q read as %v", damage, err)
		}
		if _, err := r.Verify(ctx, 1, Retrained{Digest: v.Digest}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q verified as %v", damage, err)
		}
		if _, err := r.Register(ctx, version(1), files("1")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Files(ctx, v); err != nil {
			t.Errorf("not healed: %v", err)
		}
	}
}

func TestCompare(t *testing.T) {
	r := open(t, storage.NewMemory(nil))
	registered(t, r, 1)
	same := files("1").Digest()
	for _, c := range []struct {
		again Retrained
		want  Outcome
	}{
		{Retrained{same, "portable-amd64", 0}, Identical},
		{Retrained{same, "avx2-amd64", 3}, Identical},
		{Retrained{"x", "portable-amd64", 0}, Differs},
		{Retrained{"x", "avx2-amd64", 0}, OtherKernelClass},
		{Retrained{"x", "portable-amd64", 3}, InputsErased},
		{Retrained{"x", "avx2-amd64", 3}, InputsErased},
	} {
		if got, err := r.Verify(ctx, 1, c.again); err != nil || got != c.want {
			t.Errorf("%+v: %s, %v, want %s", c.again, got, err, c.want)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	r := open(t, storage.NewMemory(nil))
	for name, change := range map[string]func(*Version){
		"key":       func(v *Version) { v.Key = "../live" },
		"digest":    func(v *Version) { v.Digest = strings.Repeat("0", 64) },
		"interval":  func(v *Version) { v.Interval.End = v.Interval.Start },
		"verdict":   func(v *Version) { v.Verdict = "good" },
		"approvals": func(v *Version) { v.Approvals = []Change{{Action: Approved}} },
	} {
		v := version(1)
		change(&v)
		if _, err := r.Register(ctx, v, files("1")); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Register(ctx, version(1), artifact.Files{"../x": nil}); err == nil {
		t.Error("a file outside the artifact was taken")
	}
	for _, name := range []string{"", "Home", "a/b", "..", strings.Repeat("a", 64)} {
		if _, err := Open(storage.NewMemory(nil), name); err == nil {
			t.Errorf("model name %q was taken", name)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant):\n%s", path, got)
	}
}

func TestGoldens(t *testing.T) {
	mem := storage.NewMemory(nil)
	r := open(t, mem)
	registered(t, r, 2)
	rejected := version(3)
	rejected.Verdict, rejected.Reasons = Rejected, []string{"ndcg@10: gap of gender 0.21 > 0.15"}
	if _, err := r.Register(ctx, rejected, files("3")); err != nil {
		t.Fatal(err)
	}
	ok := must(t)
	ok(r.Promote(ctx, "champion", 1, 1, "nightly", "passed", at(1)))
	ok(r.Promote(ctx, "champion", 2, 2, "nightly", "passed", at(2)))
	ok(r.Approve(ctx, 3, "ml-lead", "kim", "known gap, being repaired", at(3)))
	ok(r.Promote(ctx, "challenger", 3, 3, "kim", "trial", at(3)))
	ok(r.Split(ctx, []Share{{"challenger", .1, "s1"}}, "kim", "trial", at(3)))
	ok(r.Rollback(ctx, "champion", 1, 1, "kim", "complaints", at(4)))
	if _, err := r.Promote(ctx, "champion", 2, 4, "nightly", "passed", at(5)); !errors.Is(err, ErrPinned) {
		t.Fatal(err)
	}
	for name, key := range map[string]string{
		"version.json": r.versionKey(3), "claim.json": r.claimKey("step3"), "live.json": r.liveKey(),
	} {
		body, _, err := storage.ReadAll(ctx, mem, key)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, body)
	}
	var keys []string
	for info, err := range mem.List(ctx, "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	golden(t, "keys.txt", []byte(strings.Join(keys, "\n")+"\n"))
}

func TestUntrustedObjectsAreRefused(t *testing.T) {
	mem := storage.NewMemory(nil)
	r := open(t, mem)
	registered(t, r, 1)
	must(t)(r.Promote(ctx, "champion", 1, 1, "nightly", "passed", at(1)))
	for _, key := range []string{r.versionKey(1), r.liveKey(), r.claimKey("step1")} {
		good, _, err := storage.ReadAll(ctx, mem, key)
		if err != nil {
			t.Fatal(err)
		}
		for name, edit := range map[string][2]string{
			"newer":         {`"format": 1`, `"format": 2`},
			"not an object": {`"format": 1`, `"format": 0`},
			"unknown":       {`"format": 1`, `"format": 1, "unknown": 3`},
			"unexpected":    {`}`, ``},
		} {
			bad := strings.Replace(string(good), edit[0], edit[1], 1)
			if bad == string(good) {
				t.Fatalf("%s: nothing to edit in %s", name, key)
			}
			if _, err := mem.Put(ctx, key, storage.Bytes([]byte(bad)), storage.Cond{}); err != nil {
				t.Fatal(err)
			}
			_, getErr := r.Get(ctx, 1)
			_, registerErr := r.Register(ctx, version(1), files("1"))
			_, promoteErr := r.Promote(ctx, "champion", 1, 2, "nightly", "passed", at(1))
			err := errors.Join(getErr, registerErr, promoteErr)
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s, %s: %v", key, name, err)
			}
		}
		if _, err := mem.Put(ctx, key, storage.Bytes(good), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mem.Put(ctx, r.versionPrefix()+"notes.txt", storage.Bytes(nil), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Versions(ctx); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a stray object: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"version.json", "live.json", "claim.json"} {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		mem := storage.NewMemory(nil)
		r := open(t, mem)
		for _, key := range []string{r.versionKey(1), r.liveKey(), r.claimKey("step3")} {
			if _, err := mem.Put(ctx, key, storage.Bytes(body), storage.Cond{}); err != nil {
				t.Fatal(err)
			}
		}
		// What is accepted must be consistent; nothing may panic.
		if l, err := r.Live(ctx); err == nil {
			if l.Name != "home" || !slices.IsSortedFunc(l.History, func(a, b Change) int { return int(a.Fence) - int(b.Fence) }) {
				t.Errorf("accepted %s", body)
			}
		}
		if v, err := r.read(ctx, 1); err == nil && (v.Number != 1 || v.check() != nil) {
			t.Errorf("accepted %s", body)
		}
		if c, _, err := r.readClaim(ctx, "step3"); err == nil && c.Number < 1 {
			t.Errorf("accepted %s", body)
		}
	})
}
