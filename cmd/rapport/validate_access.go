package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rapport-ml/rapport/configs"
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

// checkTokens reads the tokens of rapport serve and refuses what serve refuses. One that cannot be read here is warned of: it may be serve's alone.
func (p *project) checkTokens(env func(string) string) (out []check) {
	found, err := p.ServeTokens(env)
	if len(found) > 0 {
		out = append(out, check{What: "tokens of serve", OK: true, Found: count(len(found), "token")})
	}
	if err == nil {
		return out
	}
	all := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		all = many.Unwrap()
	}
	for _, err := range all {
		what, says, _ := strings.Cut(err.Error(), ": ")
		c := check{What: what, Found: says}
		if errors.Is(err, configs.ErrUnreadToken) {
			c.OK, c.Warns, c.Found = true, true, says+": rapport serve does not start without it"
		}
		out = append(out, c)
	}
	return out
}

// checkErasures warns of erasures that were interrupted.
func (p *project) checkErasures(ctx context.Context) (out []check) {
	all, err := p.runner.UnfinishedErasures(ctx)
	if err != nil {
		return []check{{What: "erasures", Found: err.Error()}}
	}
	for _, e := range all {
		out = append(out, check{What: "erasure", OK: true, Warns: !e.UnderWay, Found: unfinished(e)})
	}
	return out
}
