package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// secretsOf are the keys of a test secret under a key id.
func secretsOf(t testing.TB, id string) event.Keys {
	t.Helper()
	k, err := event.NewKeys(id, []byte("the secret of tests, "+id))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// recordsRunner is a runner that keeps records of people, with a clock that tests turn.
func recordsRunner(t testing.TB, b storage.Bucket, now *time.Time) *Runner {
	n := 0
	return &Runner{
		Bucket: b, Keys: secretsOf(t, "k1"), Wall: func() time.Time { return *now }, Holder: "a test",
		NewID: func(time.Time) string { n++; return "id" + strings.Repeat("x", n) },
	}
}

func sampleReceipt(k event.Keys) *Receipt {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123000, time.UTC)
	return &Receipt{
		Format: ReceiptFormat, Project: "a <shop> & more", Erasure: 3, Subjects: []event.Mark{event.MarkOf(k, "u1")}, Requested: at, Denied: at.Add(time.Second), Rewritten: at.Add(time.Minute),
		Together: 1, Stores: []ErasedStore{{"events", 12, "rows", "written anew"}}, Pending: []ErasedPending{{"model home", "it learned", at.Add(rebuildWithin), "dpo@shop.example"}},
		OutOf: OutOfScope{Why: "raw", Sources: []string{"s3://lake/{date}/"}, Files: []string{"events a.parquet"}, Count: 1, Digest: "00"}, Contact: "dpo@shop.example",
		Keys: ReceiptKeys{ID: "k1", Source: "env", Previous: []string{"k0"}},
	}
}

// TestReceipt: a receipt holds as it was written, under a published key, and with any byte changed, added or taken it does not.
func TestReceipt(t *testing.T) {
	k := secretsOf(t, "k1")
	want := sampleReceipt(k)
	file, key, err := sealReceipt(k, want)
	if err != nil {
		t.Fatal(err)
	}
	keys := []SigningKey{{ID: strings.Repeat("0", 32), Public: strings.Repeat("0", 64)}, key}
	got, under, err := VerifyReceipt(file, keys)
	if err != nil || under.ID != key.ID || hash(got) != hash(want) {
		t.Fatalf("the receipt as it was written: %v, under %q", err, under.ID)
	}
	if _, _, err := VerifyReceipt(file, []SigningKey{{ID: key.ID}}); err != nil {
		t.Errorf("by the key's id alone: %v", err)
	}
	check := func(what string, changed []byte) {
		t.Helper()
		if _, _, err := VerifyReceipt(changed, keys); !errors.Is(err, ErrReceipt) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range file {
		for _, bit := range []byte{1, 4, 32} {
			changed := bytes.Clone(file)
			changed[i] ^= bit
			check("a byte was changed", changed)
		}
		check("a byte was taken", append(bytes.Clone(file[:i]), file[i+1:]...))
		check("a blank was added", append(append(bytes.Clone(file[:i]), ' '), file[i:]...))
		check("it was cut off", file[:i])
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, file); err != nil {
		t.Fatal(err)
	}
	check("it was set anew", compact.Bytes())
	check("a member was added", bytes.Replace(file, []byte("{\n"), []byte("{\n  \"more\": 1,\n"), 1))

	// Somebody else signs the same with a key of their own, and puts it in.
	forged, other, err := sealReceipt(secretsOf(t, "k2"), want)
	if err != nil {
		t.Fatal(err)
	}
	check("signed by somebody else", forged)
	if _, _, err := VerifyReceipt(forged, []SigningKey{other}); err != nil {
		t.Errorf("the other's receipt under the other's key: %v", err)
	}
	renamed := *want
	renamed.Format = "rapport.receipt/9"
	if file, _, err = sealReceipt(k, &renamed); err != nil {
		t.Fatal(err)
	}
	check("of another format", file)
}

// TestSigningKeys: the key of a retired secret stays published, so that old receipts hold; a damaged one is told.
func TestSigningKeys(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	b := storage.NewMemory(nil)
	r := recordsRunner(t, b, &now)
	old, _, err := sealReceipt(r.Keys, sampleReceipt(r.Keys))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SigningKeys(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(1, 0, 0)
	r.Keys = secretsOf(t, "k2")
	keys, err := r.SigningKeys(ctx, "shop")
	if err != nil || len(keys.Keys) != 2 || keys.Keys[0].Secret != "k1" || keys.Keys[1].Secret != "k2" {
		t.Fatalf("after a rotation: %+v, %v", keys, err)
	}
	file, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadSigningKeys(file)
	if err != nil || hash(read) != hash(keys) {
		t.Fatalf("the published file: %v", err)
	}
	if _, under, err := VerifyReceipt(old, read.Keys); err != nil || under.Secret != "k1" {
		t.Errorf("an old receipt: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"format":"rapport.signing-keys/1","keys":[{"key_id":"00","public_key":"00"}]}`, strings.Replace(string(file), keys.Keys[0].Public[:8], "00000000", 1)} {
		if _, err := ReadSigningKeys([]byte(bad)); err == nil {
			t.Errorf("keys were read of %.60q", bad)
		}
	}
	if _, err := b.Put(ctx, signingPrefix+keys.Keys[0].ID+".json", storage.Bytes([]byte("{}")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SigningKeys(ctx, "shop"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged key: %v", err)
	}
}

// FuzzReceipt: whatever a file holds, it is refused or is what was signed.
func FuzzReceipt(f *testing.F) {
	k := secretsOf(f, "k1")
	file, key, err := sealReceipt(k, sampleReceipt(k))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"receipt":{},"signature":{}}`))
	f.Add([]byte(`{"signature":{"algorithm":"Ed25519"},"receipt":[[[]]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _, err := VerifyReceipt(body, []SigningKey{key})
		if (err == nil) != bytes.Equal(body, file) {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := ReadSigningKeys(body); err == nil && !bytes.Contains(body, []byte(SigningKeysFormat)) {
			t.Fatalf("%q is no file of keys", body)
		}
		if q, err := decodeRequest(body); err == nil && q.Number < 1 {
			t.Fatalf("%q is no request", body)
		}
		if x, err := decodeAccess(body); err == nil && x.Format != 1 {
			t.Fatalf("%q is no line of the access log", body)
		}
	})
}
