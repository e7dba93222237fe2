package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/rapport-ml/rapport/features/policy"
)

// minSecret is the least length of a secret, in bytes.
const minSecret = 16

// Keys are the four keys that come from one secret: the store key makes subject numbers, the serving key online keys, the erasure key
// the marks of erased subjects, the signing key (the seed of an Ed25519 key) signatures of receipts. Each is HKDF-SHA256(secret, no salt,
// label). The zero Keys hold no key: what needs one fails. Keys never print their bytes.
type Keys struct {
	id                               string
	store, serving, erasure, signing []byte
}

// NewKeys derives the keys of a secret of at least 16 bytes. id names the secret in stored rows; it is 1 to 64 of a-z, 0-9, _
// and -, beginning with a letter, and must not be used for another secret later.
func NewKeys(id string, secret []byte) (Keys, error) {
	if !policy.ValidName(id) {
		return Keys{}, errors.New("pseudonym keys: the key id must be 1 to 64 of a-z, 0-9, _ and -, beginning with a letter, as k1")
	}
	if len(secret) < minSecret {
		return Keys{}, fmt.Errorf("pseudonym keys: key %s: the secret has %d bytes, it needs at least %d: take 32 random bytes", id, len(secret), minSecret)
	}
	k := Keys{id: id}
	for _, d := range []struct {
		key   *[]byte
		label string
	}{{&k.store, "rapport/1/store"}, {&k.serving, "rapport/1/serving"}, {&k.erasure, "rapport/1/erasure"}, {&k.signing, "rapport/1/signing"}} {
		var err error
		if *d.key, err = hkdf.Key(sha256.New, secret, nil, d.label, sha256.Size); err != nil {
			return Keys{}, fmt.Errorf("pseudonym keys: key %s: %w", id, err)
		}
	}
	return k, nil
}

// ID returns the key id, or "" for the zero Keys.
func (k Keys) ID() string { return k.id }

// IsZero reports whether k holds no key.
func (k Keys) IsZero() bool { return k.id == "" }

// ServingKey returns the key of OnlineKey: what a direct reader of the online store is given. It opens nothing else.
func (k Keys) ServingKey() []byte { return bytes.Clone(k.serving) }

// Sign signs a message (Ed25519, RFC 8032) and returns the signature and the public key under which it holds. Equal messages have equal
// signatures. It fails with ErrNoKey for the zero Keys.
func (k Keys) Sign(message []byte) (signature []byte, public ed25519.PublicKey, err error) {
	if k.IsZero() {
		return nil, nil, fmt.Errorf("sign: %w", ErrNoKey)
	}
	private := ed25519.NewKeyFromSeed(k.signing)
	return ed25519.Sign(private, message), private.Public().(ed25519.PublicKey), nil
}

// Format prints the key id, never key bytes, under every verb of fmt.
func (k Keys) Format(f fmt.State, _ rune) { io.WriteString(f, "keys("+k.id+")") }

// mac is an HMAC-SHA256, cut to its first 16 bytes.
type mac [16]byte

// macOf makes one, of a short text without a piece of memory: there are millions.
func macOf(key []byte, text string) mac {
	const block = sha256.BlockSize
	var short [block + 128]byte
	if len(key) > block || len(text) > len(short)-block {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return mac(h.Sum(nil)[:16])
	}
	var outer [block + sha256.Size]byte
	copy(short[:], key)
	copy(outer[:], key)
	for i := range block {
		short[i] ^= 0x36 // RFC 2104
		outer[i] ^= 0x5c
	}
	inner := sha256.Sum256(short[:block+copy(short[block:], text)])
	copy(outer[block:], inner[:])
	sum := sha256.Sum256(outer[:])
	return mac(sum[:16])
}

// check is a value by which two holders of a key id can tell whether they hold the same secret.
func (k Keys) check() string {
	m := macOf(k.store, "\x00rapport key check")
	return hex.EncodeToString(m[:8])
}

// OnlineKey is the name of a subject in an online store: the first 16 bytes of HMAC-SHA256(serving key, canonical id), as 32 lower-case
// hexadecimal digits. Any language can do it; testdata/online_key.json holds test vectors. See Canonical for the id's form.
func OnlineKey(servingKey []byte, canonical string) string {
	m := macOf(servingKey, canonical)
	return hex.EncodeToString(m[:])
}

// ParseSecret reads a secret from the text of a variable or a file. Blanks and line ends around it are dropped. Text of an even number of at
// least 32 hexadecimal digits is taken as hexadecimal; else text that holds one of + / - _ = and is base64 (standard or URL alphabet, padded or
// not) of at least 16 bytes is taken as base64; else the bytes are the secret. Errors never hold any of it.
func ParseSecret(text []byte) ([]byte, error) {
	secret := decodeSecret(bytes.TrimSpace(text))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("pseudonym secret: it has %d bytes, it needs at least %d: take 32 random bytes", len(secret), minSecret)
	}
	return secret, nil
}

func decodeSecret(text []byte) []byte {
	if b, err := hex.DecodeString(string(text)); err == nil && len(b) >= minSecret {
		return b
	}
	if bytes.ContainsAny(text, "+/-_=") {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if b, err := enc.Strict().DecodeString(string(text)); err == nil && len(b) >= minSecret {
				return b
			}
		}
	}
	return text
}
