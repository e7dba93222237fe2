package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// format is the number of the JSON that this package writes, and the highest that it reads.
const format = 1

// Verdict is what the gate said of a version.
type Verdict string

// The verdicts. A version that is not Passed is promoted only after an approval.
const (
	Passed   Verdict = "passed"
	Rejected Verdict = "rejected"
	Waiting  Verdict = "waiting" // an approval is asked for
)

// Version is one trained model: where its artifact is, what it was made from, how it did. It holds no subject.
type Version struct {
	Format      int                `json:"format"`
	Name        string             `json:"name"`
	Number      int                `json:"version"` // 1, 2, …; set by Register
	Key         string             `json:"key"`     // key of the training step that made it
	Digest      string             `json:"digest"`  // artifact.Files.Digest
	Artifact    string             `json:"artifact"`
	Files       []File             `json:"files"`
	Interval    table.Interval     `json:"interval"`
	Created     time.Time          `json:"created"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`
	Verdict     Verdict            `json:"verdict"`
	Reasons     []string           `json:"reasons,omitempty"`  // why it was rejected, or waits
	Decision    string             `json:"decision,omitempty"` // the gate's own word: pass, fail, or undecided, which is not a pass
	Report      Report             `json:"report"`
	Inputs      []table.Ref        `json:"inputs"`
	Seed        uint64             `json:"seed,string"`
	KernelClass string             `json:"kernel_class"`
	Spec        json.RawMessage    `json:"spec"`                // the part of the project file that training read
	Terms       []string           `json:"terms,omitempty"`     // what others call the bases and uses of its purposes, as "recommend: tcf:5, select profiles"
	Encrypted   string             `json:"encrypted,omitempty"` // how the storage's server was asked to keep it: s3, or kms:KEYID; "": as its bucket does
	Nonce       string             `json:"nonce"`

	// Approvals are the reviews of this version, oldest first. They stand in the live object and are filled in when a version is read.
	Approvals []Change `json:"approvals,omitempty"`
}

// File is one file of an artifact.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Report says where the evaluation's report is.
type Report struct {
	Digest string `json:"digest,omitempty"`
	Link   string `json:"link,omitempty"`
}

var (
	nameRule  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	keyRule   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	hexRule   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fileRule  = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)
	aliasRule = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	likeV     = regexp.MustCompile(`^v[0-9]+$`)
)

// checkAlias allows what MLflow's registry allows: "latest" and "v7" mean versions there.
func checkAlias(alias string) error {
	if !aliasRule.MatchString(alias) || alias == "latest" || likeV.MatchString(alias) {
		return fmt.Errorf("alias %q: use letters, digits, '_' and '-', but neither \"latest\" nor \"v\" and a number", alias)
	}
	return nil
}

// check reports what is wrong with a version, be it about to be written or read from an untrusted object.
func (v *Version) check() error {
	var errs []error
	bad := func(ok bool, f string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(f, args...))
		}
	}
	bad(v.Number > 0 && v.Number <= maxNumber, "version %d is out of range", v.Number)
	bad(keyRule.MatchString(v.Key), "step key %q: use letters, digits, '_' and '-'", v.Key)
	bad(hexRule.MatchString(v.Digest), "digest %q is not 64 hexadecimal digits", v.Digest)
	bad(v.Artifact == artifactPrefix(v.Digest), "artifact %q is not where its digest says", v.Artifact)
	bad(len(v.Files) > 0, "no artifact file")
	for _, f := range v.Files {
		bad(fileRule.MatchString(f.Name) && hexRule.MatchString(f.SHA256) && f.Size >= 0 && f.Size <= maxFile,
			"artifact file %q: bad name, size or SHA-256", f.Name)
	}
	bad(v.Interval.Start.Before(v.Interval.End), "interval %s is empty", v.Interval)
	bad(v.Verdict == Passed || v.Verdict == Rejected || v.Verdict == Waiting, "verdict %q is none of passed, rejected, waiting", v.Verdict)
	bad(len(v.Approvals) == 0, "approvals stand in the live object: use Approve")
	return errors.Join(errs...)
}

// Outcome is the result of retraining a version from its recorded inputs.
type Outcome string

// The outcomes. Only Differs is a failure.
const (
	Identical        Outcome = "identical"
	Differs          Outcome = "differs"
	InputsErased     Outcome = "inputs-erased"
	OtherKernelClass Outcome = "other-kernel-class"
)

// Retrained describes a second training of a version.
type Retrained struct {
	Digest       string
	KernelClass  string
	ErasureEpoch uint64 // the erasure that changed an input since the version was trained; 0: none did
}

// Compare judges a second training. Equal digests are identical, whatever else is known; a difference is excused by an erasure first,
// then by other kernels.
func (v *Version) Compare(r Retrained) Outcome {
	switch {
	case r.Digest == v.Digest:
		return Identical
	case r.ErasureEpoch > 0:
		return InputsErased
	case r.KernelClass != v.KernelClass:
		return OtherKernelClass
	}
	return Differs
}

// decode reads one untrusted JSON object into dst. The format number comes first: a newer object may hold fields unknown here.
func decode(body []byte, dst any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return err
	}
	if head.Format > format {
		return fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", head.Format, format)
	}
	if head.Format < 1 {
		return fmt.Errorf("format %d: not an object of the registry", head.Format)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(dst)
}

// encode writes JSON with one field a line: people read these objects.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(v)
	return b.Bytes(), err
}
