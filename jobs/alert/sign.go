package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader carries the signature of a body: "t=<Unix seconds>,v1=<hex>".
const SignatureHeader = "Rapport-Signature"

// ReplayWindow is how far a signature's time may lie from a receiver's clock, by default.
const ReplayWindow = 5 * time.Minute

// ErrSignature says that a body was not signed with the secret, or not lately.
var ErrSignature = errors.New("signature does not hold")

// Sign returns the value of SignatureHeader for a body sent at t: the hex HMAC-SHA256, under secret, of the time, a dot and the body.
func Sign(secret, body []byte, t time.Time) string {
	at := strconv.FormatInt(t.Unix(), 10)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac(secret, at, body))
}

func mac(secret []byte, at string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(at + "."))
	h.Write(body)
	return h.Sum(nil)
}

// maxSignature bounds a header that is looked at.
const maxSignature = 1024

// Verify checks a header as a receiver does, within window of now. Parts of the header with other names are passed over, and one v1 of
// several that holds is enough, so that a secret can be changed without a gap. Its error is ErrSignature; the comparison takes the same time
// wherever two signatures differ.
func Verify(secret []byte, header string, body []byte, now time.Time, window time.Duration) error {
	if len(header) > maxSignature {
		return fmt.Errorf("%w: the header has %d bytes", ErrSignature, len(header))
	}
	at, seen := "", false
	var given [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			if seen {
				return fmt.Errorf("%w: it has two times", ErrSignature)
			}
			at, seen = value, true
		case "v1":
			if b, err := hex.DecodeString(value); err == nil && len(b) == sha256.Size {
				given = append(given, b)
			}
		}
	}
	unix, err := strconv.ParseInt(at, 10, 64)
	if err != nil || unix < 0 {
		return fmt.Errorf("%w: it has no time", ErrSignature)
	}
	if apart := now.Unix() - unix; apart > int64(window/time.Second) || -apart > int64(window/time.Second) {
		return fmt.Errorf("%w: it is of another time than now, by more than %s", ErrSignature, window)
	}
	want := mac(secret, at, body)
	for _, g := range given {
		if hmac.Equal(g, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: it was made of another body or with another secret", ErrSignature)
}
