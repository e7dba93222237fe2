package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rapport-ml/rapport/storage"
)

// checkEncryption says how what is stored, and what goes to stores, is encrypted; and of secrets in files, who can read them.
func (p *project) checkEncryption(ctx context.Context) (out []check) {
	for _, why := range p.InTheClear() {
		what, why, _ := strings.Cut(why, ": ")
		out = append(out, check{What: what + ", on the way", OK: true, Warns: true, Found: "goes to another machine unencrypted; the project file says why: " + why})
	}
	if open := p.OpenSecrets(); len(open) > 0 {
		out = append(out, check{What: "secrets in files", OK: true, Warns: true, Found: fmt.Sprintf(
			"others than the owner and its group can read the file of %s: chmod 600, or 440 where a group reads it", strings.Join(open, ", "))})
	}
	b, ok := p.Bucket.(storage.Encrypted)
	if !ok {
		return out // a folder: its disk encrypts, or does not
	}
	c := check{What: "storage, at rest", OK: true}
	asked := p.Project.Storage.SSE
	switch by, err := b.DefaultEncryption(ctx); {
	case asked != "":
		c.Found = "each object is written with sse " + asked
	case errors.Is(err, storage.ErrNotTold):
		c.Found, c.Warns = "the server does not say whether its bucket encrypts: set storage.sse, or see to its disks", true
	case err != nil:
		c.OK, c.Found = false, err.Error()
	case by == "":
		c.Found, c.Warns = "the bucket has no default encryption: set one, or storage.sse to s3 or kms:KEYID", true
	default:
		c.Found = "the bucket encrypts by default: " + by
	}
	return append(out, c)
}
