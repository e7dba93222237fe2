package jobs

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

const (
	// ReceiptFormat names the shape of a receipt. It stands in what is signed.
	ReceiptFormat = "rapport.receipt/1"
	// SigningKeysFormat names the shape of the file in which public signing keys are published.
	SigningKeysFormat = "rapport.signing-keys/1"

	receiptPrefix = "policy/receipts/"
	signingPrefix = "policy/signing/"

	maxReceipt      = storage.MaxCommit // bytes
	maxReceiptFiles = 1000              // raw files that a receipt lists by name; beyond that it counts them
	maxSigningKeys  = 1000
)

// ErrReceipt says that a receipt is none, or was changed, or was signed by somebody else.
var ErrReceipt = errors.New("the receipt does not hold")

// Receipt says what an erasure did: the body that is signed. It names people by their marks alone.
type Receipt struct {
	Format    string       `json:"format"` // ReceiptFormat
	Project   string       `json:"project"`
	Clock     string       `json:"clock,omitempty"` // of which every date of the receipt is: machine; left out: an older receipt, in which requested may be of another
	Erasure   int          `json:"erasure"`         // its epoch
	Subjects  []event.Mark `json:"subjects"`        // HMAC-SHA256 of the canonical ids, cut to 16 bytes, under the erasure-only key of each key id
	Requested time.Time    `json:"requested"`
	Denied    time.Time    `json:"denied"`    // from when on no answer used their data
	Rewritten time.Time    `json:"rewritten"` // from when on what is named under stores held nothing of them
	Resumed   bool         `json:"resumed"`   // it was interrupted before: what was removed then is not counted
	// Completes are earlier erasures that were interrupted, and all of whose people this one names again: they end with it, and have no receipt of their own.
	Completes []CompletedErasure `json:"completes,omitempty"`
	Together  int                `json:"together"` // how many erasures were carried out in one: the counts are of all of them
	Stores    []ErasedStore      `json:"stores"`
	Pending   []ErasedPending    `json:"pending"`
	OutOf     OutOfScope         `json:"out_of_scope"`
	Keys      ReceiptKeys        `json:"keys"`
	Contact   string             `json:"contact"`
	Encrypted string             `json:"encrypted,omitempty"` // how the server of the storage is asked to keep objects: s3, or kms:KEYID; left out: as its bucket does
	Revision  string             `json:"revision"`            // of the program
}

// receiptClock names the clock of receipts: that of the machine which carried the erasure out, in UTC.
const receiptClock = "machine"

// CompletedErasure is an erasure that ends with a later one.
type CompletedErasure struct {
	Erasure   int       `json:"erasure"`
	Requested time.Time `json:"requested"`
}

// ErasedStore is one place that held data of people, and what was removed from it.
type ErasedStore struct {
	Store   string `json:"store"`
	Removed int64  `json:"removed"`
	Unit    string `json:"unit"`
	Method  string `json:"method"`
}

// ErasedPending is what is not done yet: what, why, until when, and whom to ask.
type ErasedPending struct {
	What    string    `json:"what"`
	Why     string    `json:"why"`
	Due     time.Time `json:"due"`
	Contact string    `json:"contact"`
}

// OutOfScope are the raw sources, which are read and never written. Files are as they stood when the erasure ended: any of them may name the
// subjects, and a file that arrives later may do so again; rows of before the request are left out of it.
type OutOfScope struct {
	Why     string   `json:"why"`
	Sources []string `json:"sources"` // URLs, as the project names them
	Files   []string `json:"files"`   // SOURCE KEY, the first 1,000 of them
	Count   int      `json:"count"`   // of all files
	Digest  string   `json:"digest"`  // hex SHA-256 over all lines of Files, each with a line end
}

// ReceiptKeys says which keys stand behind a receipt.
type ReceiptKeys struct {
	ID       string   `json:"id"`
	Source   string   `json:"source"`   // of the secret: env or file; never what it says
	Previous []string `json:"previous"` // key ids that still find people who have not reappeared since a rotation
	Derived  string   `json:"derived"`
	Rotation string   `json:"rotation"`
}

// Terms are what a receipt says that the bucket does not know.
type Terms struct {
	Contact   string // whom a person may ask
	KeySource string // what kind of place the secret is read from: env, file
}

// signature is the last part of a receipt's file. All of it is lower-case hexadecimal, so that there is one way to write it.
type signature struct {
	Algorithm string `json:"algorithm"` // Ed25519
	KeyID     string `json:"key_id"`
	PublicKey string `json:"public_key"`
	Value     string `json:"value"`
}

// SigningKey is a public key that is, or was, a project's.
type SigningKey struct {
	Format int       `json:"format"`     // 1
	ID     string    `json:"key_id"`     // the first 16 bytes of the SHA-256 of the public key, as hexadecimal digits
	Public string    `json:"public_key"` // 64 hexadecimal digits
	Secret string    `json:"secret_id"`  // pseudonyms.key_id of the secret that it is derived from
	Since  time.Time `json:"since"`      // when it was first published
}

// SigningKeys is a published file of them. Keys are never taken out: old receipts hold under them.
type SigningKeys struct {
	Format  string       `json:"format"` // SigningKeysFormat
	Project string       `json:"project"`
	Keys    []SigningKey `json:"keys"`
}

// signingKeyID names a public key.
func signingKeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// sealReceipt signs a receipt and returns its file. What is signed is the format's name, a line end, and the receipt as compact JSON: the
// bytes of the file's member "receipt" without the blanks between tokens.
func sealReceipt(k event.Keys, r *Receipt) ([]byte, SigningKey, error) {
	body, err := plainJSON(r)
	if err != nil {
		return nil, SigningKey{}, err
	}
	value, public, err := k.Sign(signed(body))
	if err != nil {
		return nil, SigningKey{}, err
	}
	key := SigningKey{Format: 1, ID: signingKeyID(public), Public: hex.EncodeToString(public), Secret: k.ID()}
	file, err := receiptFile(body, signature{Algorithm: "Ed25519", KeyID: key.ID, PublicKey: key.Public, Value: hex.EncodeToString(value)})
	if err == nil && len(file) > maxReceipt {
		err = fmt.Errorf("it has %d bytes, at most %d are stored: erase fewer subjects at once", len(file), maxReceipt)
	}
	return file, key, err
}

func signed(body []byte) []byte { return append([]byte(ReceiptFormat+"\n"), body...) }

// plainJSON is the compact JSON of v, in which < > & stand as they are.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// receiptFile is the one way in which a receipt and its signature are written: two blanks for each level, and a line end.
func receiptFile(body []byte, s signature) ([]byte, error) {
	sig, err := plainJSON(s)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, slices.Concat([]byte(`{"receipt":`), body, []byte(`,"signature":`), sig, []byte("}")), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// VerifyReceipt checks the file of a receipt against published keys and returns what it says, and the key under which it holds. It asks
// nobody. A file that differs in one byte from what was signed, a blank included, fails; every failure is an ErrReceipt and repeats nothing of the file.
func VerifyReceipt(file []byte, keys []SigningKey) (*Receipt, SigningKey, error) {
	fail := func(why string) (*Receipt, SigningKey, error) {
		return nil, SigningKey{}, fmt.Errorf("%w: %s", ErrReceipt, why)
	}
	if len(file) > maxReceipt {
		return fail(fmt.Sprintf("it has more than %d bytes", maxReceipt))
	}
	var parts struct {
		Receipt   json.RawMessage `json:"receipt"`
		Signature signature       `json:"signature"`
	}
	var body bytes.Buffer
	if err := strictJSON(file, &parts); err != nil || len(parts.Receipt) == 0 || json.Compact(&body, parts.Receipt) != nil {
		return fail("it is no JSON of a receipt and a signature: was it copied whole?")
	}
	again, err := receiptFile(body.Bytes(), parts.Signature)
	if err != nil || !bytes.Equal(again, file) {
		return fail("its bytes are not as they were written: it was changed, or saved anew by a program that sets JSON in another way")
	}
	s := parts.Signature
	public, err := hex.DecodeString(s.PublicKey)
	if err != nil || len(public) != ed25519.PublicKeySize || hex.EncodeToString(public) != s.PublicKey || s.Algorithm != "Ed25519" {
		return fail("it holds no public key of Ed25519")
	}
	value, err := hex.DecodeString(s.Value)
	if err != nil || hex.EncodeToString(value) != s.Value || s.KeyID != signingKeyID(public) || !ed25519.Verify(public, signed(body.Bytes()), value) {
		return fail("its signature is not of what it says: it was changed")
	}
	i := slices.IndexFunc(keys, func(k SigningKey) bool { return k.ID == s.KeyID && (k.Public == "" || k.Public == s.PublicKey) })
	if i < 0 {
		return fail("it is signed under a key that is not among the published ones")
	}
	r := new(Receipt)
	if err := strictJSON(body.Bytes(), r); err != nil || r.Format != ReceiptFormat {
		return fail("it is signed, and of a format that this program does not know: " + ReceiptFormat + " is the one that it reads")
	}
	return r, keys[i], nil
}

// strictJSON decodes one JSON value, of known fields and with nothing behind it.
func strictJSON(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}

// ReadSigningKeys reads a published file of public keys. A key whose id is not its own is refused.
func ReadSigningKeys(file []byte) (*SigningKeys, error) {
	var k SigningKeys
	if len(file) > maxReceipt {
		return nil, fmt.Errorf("signing keys: the file has more than %d bytes", maxReceipt)
	}
	if err := strictJSON(file, &k); err != nil || k.Format != SigningKeysFormat {
		return nil, fmt.Errorf("signing keys: the file is no JSON of the format %s: rapport subject signing-keys writes one", SigningKeysFormat)
	}
	if len(k.Keys) > maxSigningKeys {
		return nil, fmt.Errorf("signing keys: the file has %d keys, at most %d are read", len(k.Keys), maxSigningKeys)
	}
	for i, key := range k.Keys {
		if err := key.check(); err != nil {
			return nil, fmt.Errorf("signing keys: key %d of the file: %w", i+1, err)
		}
	}
	return &k, nil
}

func (k SigningKey) check() error {
	public, err := hex.DecodeString(k.Public)
	switch {
	case err != nil || len(public) != ed25519.PublicKeySize || k.Public != strings.ToLower(k.Public):
		return errors.New("its public key is not 64 lower-case hexadecimal digits")
	case k.ID != signingKeyID(public):
		return errors.New("its id is not that of its public key")
	}
	return nil
}

// SigningKeys lists the public keys of the project, oldest first, and publishes the current one if it is new. Keys of retired secrets stay.
func (r *Runner) SigningKeys(ctx context.Context, project string) (*SigningKeys, error) {
	_, public, err := r.Keys.Sign(nil)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if err := r.publishKey(ctx, SigningKey{Format: 1, ID: signingKeyID(public), Public: hex.EncodeToString(public), Secret: r.Keys.ID()}); err != nil {
		return nil, err
	}
	published, err := r.publishedKeys(ctx)
	return &SigningKeys{Format: SigningKeysFormat, Project: project, Keys: published}, err
}

// publishedKeys reads the public keys that stand in the bucket, oldest first.
func (r *Runner) publishedKeys(ctx context.Context) (out []SigningKey, err error) {
	for info, err := range r.Bucket.List(ctx, signingPrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
		var k SigningKey
		err = knownFormat(body)
		if err == nil {
			err = strictJSON(body, &k)
		}
		if err == nil {
			err = k.check()
		}
		if err != nil {
			return nil, fmt.Errorf("signing keys: %s: %w", info.Key, err)
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(a, b SigningKey) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// publishKey keeps a public key in the bucket, for ever.
func (r *Runner) publishKey(ctx context.Context, k SigningKey) error {
	key := path.Join(signingPrefix, k.ID+".json")
	if _, err := r.Bucket.Head(ctx, key); err == nil || !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	k.Since = r.Wall().UTC().Truncate(time.Second)
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if _, err := storage.Commit(ctx, r.Bucket, key, body, storage.Cond{IfAbsent: true}); err != nil && !errors.Is(err, storage.ErrPrecondition) {
		return fmt.Errorf("publish the signing key: %w", err)
	}
	return nil
}

// receiptKey is where the receipt of an erasure stands.
func receiptKey(epoch int) string { return path.Join(receiptPrefix, fmt.Sprintf("%08d.json", epoch)) }

// heldReceiptKey is where the receipt stands of what a legal hold had kept of an erasure, and what has gone since.
func heldReceiptKey(epoch int) string {
	return path.Join(receiptPrefix, fmt.Sprintf("%08d-held.json", epoch))
}

// Receipt returns the file of an erasure's receipt.
func (r *Runner) Receipt(ctx context.Context, epoch int) ([]byte, error) {
	body, _, err := storage.ReadAll(ctx, r.Bucket, receiptKey(epoch))
	if err != nil {
		return nil, fmt.Errorf("receipt of erasure %d: %w", epoch, err)
	}
	return body, nil
}

// keepReceipt signs a receipt and keeps it. One that an interrupted attempt has kept is replaced: the erasure was not done then.
func (r *Runner) keepReceipt(ctx context.Context, key string, x *Receipt) error {
	file, signing, err := sealReceipt(r.Keys, x)
	if err != nil {
		return fmt.Errorf("receipt of erasure %d: %w", x.Erasure, err)
	}
	if err := r.publishKey(ctx, signing); err != nil {
		return err
	}
	if _, err := r.Bucket.Put(ctx, key, storage.Bytes(file), storage.Cond{}); err != nil {
		return fmt.Errorf("receipt of erasure %d: %w", x.Erasure, err)
	}
	return nil
}
