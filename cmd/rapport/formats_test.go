package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

var formatNumber = regexp.MustCompile(`"format": ?[12]\b`)

// newer raises the format number of a JSON object.
func newer(t testing.TB, body []byte) []byte {
	t.Helper()
	if at := formatNumber.FindIndex(body); at != nil {
		return slices.Concat(body[:at[0]], []byte(`"format":99`), body[at[1]:])
	}
	t.Fatalf("no format number in %.200s", body)
	return nil
}

// newerLine raises the number in the first framed line of a file of the embedded store.
func newerLine(t testing.TB, body []byte) []byte {
	t.Helper()
	line, rest, ok := bytes.Cut(body, []byte("\n"))
	if !ok || len(line) < 9 {
		t.Fatalf("no framed line in %.200s", body)
	}
	payload := newer(t, line[9:])
	return append(fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)), payload), rest...)
}

// newerShard raises the number of an identity shard, under a right checksum.
func newerShard(_ testing.TB, body []byte) []byte {
	out := bytes.Clone(body[:len(body)-sha256.Size])
	binary.LittleEndian.PutUint16(out[4:], 99)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// Every object that a project stores has a format number, and whoever reads it refuses a higher one by name, and so never takes what a newer
// release wrote for damage, for absence, or for something else. The sorted files of the embedded store are in storage/online's own test.
func TestNewerFormatsAreRefused(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.night(6)
	js := []*jobs.Job{s.job}
	if _, err := s.runner.Erase(t.Context(), js, []string{"u000001"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.runner.Pause(t.Context(), "nightly", "ann", "a test"); err != nil {
		t.Fatal(err)
	}
	kept := *s.job
	kept.Training.Keep = map[string]time.Duration{"events": 24 * time.Hour}
	if _, err := s.runner.Purge(t.Context(), []*jobs.Job{&kept}, "ann", false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.runner.AddHold(t.Context(), jobs.Hold{Class: "reports", Reason: "a test", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		if _, err := s.runner.SetFallback(t.Context(), on, "ann", "a test"); err != nil {
			t.Fatal(err)
		}
	}
	b := s.opened.Bucket
	if _, err := s.runner.OpenRequest(t.Context(), jobs.RequestAccess, []string{"u000002"}, time.Now(), "ann"); err != nil {
		t.Fatal(err)
	}
	if err := s.runner.LogAccess(t.Context(), "ann", "a test", []string{"u000002"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.runner.SyncConsent(t.Context(), js, jobs.Caller{}); err != nil {
		t.Fatal(err)
	}
	s.say("u000002", "ConsentGiven", "yes")
	if _, err := b.Put(t.Context(), "files/c.csv", storage.Bytes([]byte("subject,purpose,state,effective_at\nu000003,recommend,ConsentGiven,2026-01-01T00:00:00Z\n")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	importing := func(ctx context.Context, _ string) error {
		_, err := s.runner.Consenter(js).Import(ctx, event.DataSet{Bucket: b, Path: "files/c.csv"}, nil)
		return err
	}
	if err := importing(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	status := func(ctx context.Context, _ string) error {
		_, err := s.runner.Status(ctx, js)
		return err
	}
	runs := ledger.Ledger{Bucket: b}
	last, err := runs.Get(t.Context(), ledger.Latest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runs.RequestCancel(t.Context(), last, ledger.Cancel{By: "ann", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(b, "home")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "models/home/history/00000001.json", storage.Bytes([]byte(`{"format":1,"name":"home","history":[]}`)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.History(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := reg.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	files, err := reg.Files(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	purges := func(ctx context.Context, _ string) error {
		_, err := s.runner.Purges(ctx)
		return err
	}
	run := func(context.Context, string) error {
		_, err := s.try(7)
		return err
	}
	for _, c := range []struct {
		prefix string // the first object under it is raised
		raise  func(testing.TB, []byte) []byte
		read   func(ctx context.Context, key string) error
	}{
		{"done/said/", newer, run}, // before any run takes it in
		{"done/train/", newer, func(ctx context.Context, key string) error {
			_, _, err := table.Store{Bucket: b}.Lookup(ctx, strings.TrimPrefix(key, "done/"))
			return err
		}},
		{"done/ingest/", newer, run},
		{"models/home/versions/", newer, func(ctx context.Context, _ string) error {
			_, err := reg.Get(ctx, 1)
			return err
		}},
		{"models/home/keys/", newer, func(ctx context.Context, _ string) error {
			_, err := reg.Register(ctx, first, files)
			return err
		}},
		{"models/home/live.json", newer, run},
		{"models/home/history/", newer, func(ctx context.Context, _ string) error {
			_, err := reg.History(ctx)
			return err
		}},
		{"artifacts/", newer, func(ctx context.Context, key string) error {
			raised := maps.Clone(files)
			raised[artifact.ManifestName] = object(t, b, key)
			_, err := artifact.Open(raised)
			return err
		}},
		{"runs/2026-01/" + last.ID + ".json", newer, func(ctx context.Context, _ string) error {
			_, err := runs.Get(ctx, last.ID)
			return err
		}},
		{"runs/2026-01/" + last.ID + ".cancel.json", newer, func(ctx context.Context, _ string) error {
			_, err := runs.Cancelled(ctx, last)
			return err
		}},
		{"runs/2026-01/index.json", newer, run},
		{"leases/nightly/", newer, func(ctx context.Context, key string) error {
			_, err := storage.Acquire(ctx, b, key, "one", time.Minute, time.Now)
			return err
		}},
		{"leases/publish", newer, run},
		{"identity/0", newerShard, run},
		{"identity/keys.json", newer, run},
		{"policy/imports/", newer, importing},
		{"policy/journal/", newer, func(ctx context.Context, _ string) error {
			_, err := event.OpenJournal(ctx, b)
			return err
		}},
		{"policy/requests/", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.Requests(ctx)
			return err
		}},
		{"policy/access/", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.ReadAccessLog(ctx, func(jobs.Access) {})
			return err
		}},
		{"policy/signing/", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.SigningKeys(ctx, "shop")
			return err
		}},
		{"policy/consent.json", newer, status},
		{"policy/retrain/", newer, status},
		{"policy/purges/00000001.json", newer, purges},
		{"policy/purges/00000001.done.json", newer, purges},
		{"policy/purged.json", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.PurgedAt(ctx)
			return err
		}},
		{"policy/holds/", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.Holds(ctx)
			return err
		}},
		{"pause/nightly.json", newer, func(ctx context.Context, _ string) error {
			_, err := s.runner.Paused(ctx, "nightly")
			return err
		}},
		{"online/fallback.json", newer, run},
	} {
		t.Run(c.prefix, func(t *testing.T) {
			key := ""
			for info, err := range b.List(t.Context(), c.prefix, storage.ListOpt{}) {
				if err != nil {
					t.Fatal(err)
				}
				key = info.Key
				break
			}
			if key == "" {
				t.Fatalf("a finished project has no object under %s", c.prefix)
			}
			old := object(t, b, key)
			put := func(body []byte) {
				if _, err := b.Put(t.Context(), key, storage.Bytes(body), storage.Cond{}); err != nil {
					t.Fatal(err)
				}
			}
			put(c.raise(t, old))
			defer put(old)
			if err := c.read(t.Context(), key); err == nil || !strings.Contains(err.Error(), "made by a newer rapport") {
				t.Errorf("%s in a newer format: %v", key, err)
			}
			if now := object(t, b, key); !bytes.Equal(now, c.raise(t, old)) {
				t.Errorf("%s was written over", key)
			}
		})
	}

	dir := filepath.Join(s.dir, "online")
	for _, name := range []string{"live", "denied"} {
		t.Run("online/"+name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(path, old, 0o600)
			if err := os.WriteFile(path, newerLine(t, old), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := configs.Load(filepath.Join(s.dir, projectFile))
			if err != nil {
				t.Fatal(err)
			}
			o, err := p.Open(t.Context(), os.Getenv, false)
			if err == nil {
				defer o.Close()
				if _, err = o.Online.Live(t.Context()); err == nil {
					_, err = o.Online.Denied(t.Context())
				}
			}
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), "by a newer rapport") {
				t.Errorf("%s in a newer format: %v", name, err)
			}
		})
	}
}
