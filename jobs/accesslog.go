package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

const (
	accessPrefix = "policy/access/"

	accessTurns     = 256            // how often a number is tried for anew
	maxAccessMarks  = event.MaxMarks // people of a line that are named
	maxAccessObject = 1 << 16
)

// ErrChain says that the access log is not as it was written.
var ErrChain = errors.New("the access log does not hold")

// Access is one line of the access log, an object of its own: who asked what of whose records.
type Access struct {
	Format   int          `json:"format"` // 1
	Seq      int          `json:"seq"`    // 1, 2, …
	Before   string       `json:"before"` // hex SHA-256 of the line before, as it stands; of the first line 64 zeros
	At       time.Time    `json:"at"`
	Who      string       `json:"who"` // user of the operating system, or name of a token
	Verb     string       `json:"verb"`
	People   int          `json:"people"`             // above 100 a server's count is good to about 2 %
	Requests int          `json:"requests,omitempty"` // to a server, that this line stands for
	Subjects []event.Mark `json:"subjects,omitempty"` // none if there are more than 100
	Nonce    string       `json:"nonce"`
}

func accessKey(seq int) string { return path.Join(accessPrefix, fmt.Sprintf("%010d.json", seq)) }

// firstBefore is what stands before the first line.
var firstBefore = strings.Repeat("0", 2*sha256.Size)

// LogAccess appends a line: ahead of the act, so that what is not written down is not done. Lines are objects that are created under the
// next number and never replaced, so that of two writers one comes second and takes the number after; each holds the digest of the one
// before. Keys that do not fit the bucket are refused (ErrSecret), for their marks would name nobody. Cost: about 2 log₂(n) HEADs, two GETs and one PUT.
func (r *Runner) LogAccess(ctx context.Context, who, verb string, canonical []string) error {
	var marks []event.Mark
	if !r.Keys.IsZero() && len(canonical) > 0 {
		if err := r.fitting(ctx); err != nil {
			return fmt.Errorf("write the access log: %w", err)
		}
	}
	if !r.Keys.IsZero() && len(canonical) <= maxAccessMarks {
		marks = r.marksOf(canonical, false)
	}
	return r.logMarks(ctx, who, verb, len(canonical), marks)
}

// logMarks is LogAccess for people whose marks are made already; none if they are too many.
func (r *Runner) logMarks(ctx context.Context, who, verb string, people int, marks []event.Mark) error {
	return r.appendAccess(ctx, Access{Who: who, Verb: verb, People: people, Subjects: marks})
}

// LogRequests appends a line for what a caller has asked a server for in the last minutes: so many requests, of so many people, who are named by
// marks if they are few. Of requests that only read it comes after the act: a line for each would make every answer wait for the bucket. Cost: about 2 log₂(n) HEADs,
// one GET and one PUT.
func (r *Runner) LogRequests(ctx context.Context, who, verb string, requests, people int, marks []event.Mark) error {
	return r.appendAccess(ctx, Access{Who: who, Verb: verb, People: people, Requests: requests, Subjects: marks})
}

// appendAccess writes a line under the next number.
func (r *Runner) appendAccess(ctx context.Context, x Access) error {
	fail := func(err error) error {
		return fmt.Errorf("write the access log, without which nobody's records are read: %w", err)
	}
	x.Format, x.At, x.Nonce = 1, r.Wall().UTC(), r.NewID(r.Wall())
	last, err := lastNumber(ctx, r.Bucket, accessKey)
	if err != nil {
		return fail(err)
	}
	for range accessTurns {
		x.Seq, x.Before = last+1, firstBefore
		if last > 0 {
			body, _, err := storage.ReadAll(ctx, r.Bucket, accessKey(last))
			if err != nil {
				return fail(err)
			}
			x.Before = hexDigest(body)
		}
		body, err := json.Marshal(x)
		if err != nil {
			return fail(err)
		}
		_, err = storage.Commit(ctx, r.Bucket, accessKey(x.Seq), body, storage.Cond{IfAbsent: true})
		if err == nil {
			return nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return fail(err)
		}
		last++
	}
	return fail(fmt.Errorf("others wrote %d lines at this moment: try again", accessTurns))
}

func hexDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// AccessLog is what the access log holds, as far as its chain was read.
type AccessLog struct {
	// Count and Head are the number of lines and the digest of the last one: who writes both down elsewhere can tell later that
	// nothing before was changed or cut off.
	Count int    `json:"count"`
	Head  string `json:"head"`
}

// ReadAccessLog reads the log from its first line and checks the chain. Its error is ErrChain, with the place, if a line is missing, was changed or
// is none: what it returns is of the lines before that. see is shown each line that holds; none is kept in memory. Cost: one listing, one GET a line.
func (r *Runner) ReadAccessLog(ctx context.Context, see func(Access)) (AccessLog, error) {
	out := AccessLog{Head: firstBefore}
	for info, err := range r.Bucket.List(ctx, accessPrefix, storage.ListOpt{}) {
		if err != nil {
			return out, fmt.Errorf("read the access log: %w", err)
		}
		broken := func(why string) error {
			return fmt.Errorf("%w: line %d (%s): %s: compare with a backup of the bucket", ErrChain, out.Count+1, info.Key, why)
		}
		if info.Key != accessKey(out.Count+1) {
			return out, broken("a line is missing before it, or an object that is none stands here")
		}
		if info.Size > maxAccessObject {
			return out, broken("it is too large")
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, info.Key)
		if err != nil {
			return out, fmt.Errorf("read the access log: %w", err)
		}
		x, err := decodeAccess(body)
		switch {
		case err != nil:
			return out, broken(err.Error())
		case x.Seq != out.Count+1:
			return out, broken("it is another line: it was moved")
		case x.Before != out.Head:
			return out, broken("the line before it is not the one that it was written after: that one, or this, was changed")
		}
		out.Count, out.Head = x.Seq, hexDigest(body)
		see(*x)
	}
	return out, nil
}

// decodeAccess reads a line of the access log. Its errors repeat nothing of it.
func decodeAccess(body []byte) (*Access, error) {
	if err := knownFormat(body); err != nil {
		return nil, err
	}
	x := new(Access)
	if err := strictJSON(body, x); err != nil {
		return nil, errDamaged
	}
	return x, nil
}
