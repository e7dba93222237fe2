package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/storage"
)

// Errors that callers test with errors.Is.
var (
	// ErrRefused says that a version was rejected, or waits for an approval, and so is not promoted.
	ErrRefused = errors.New("refused: the version is not approved")
	// ErrPinned says that the alias is pinned to another version; the one offered is kept as the candidate.
	ErrPinned = errors.New("alias is pinned")
	// ErrMoved says that what is live has changed since it was read.
	ErrMoved = errors.New("what is live has changed")
	// ErrDiffers says that a step key is registered with another artifact.
	ErrDiffers = errors.New("the step made another artifact before")
	// ErrDamaged says that an artifact's file is not the one that was registered.
	ErrDamaged = errors.New("artifact file is damaged")
)

const (
	modelsPrefix = "models/"

	maxNumber = 99_999_999 // eight digits
	maxFile   = 8 << 30    // bytes
	// maxTries bounds how often a change is made again because another writer was first. Each failed try is another's success.
	maxTries = 256
)

// Registry holds the versions of one model. It is safe for concurrent use, by any number of processes.
type Registry struct {
	bucket storage.Bucket
	name   string
	nonce  func() string
}

// Open returns the registry of the named model ([a-z0-9][a-z0-9_-]*, at most 63 bytes). It reads nothing.
func Open(b storage.Bucket, name string) (*Registry, error) {
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("model name %q: use a-z, 0-9, '_' and '-', at most 63 of them", name)
	}
	return &Registry{bucket: b, name: name, nonce: rand.Text}, nil
}

// Every yields the registry of each model that ever had a version in the bucket. Cost: one listing.
func Every(ctx context.Context, b storage.Bucket) iter.Seq2[*Registry, error] {
	return func(yield func(*Registry, error) bool) {
		for info, err := range b.List(ctx, modelsPrefix, storage.ListOpt{Delimiter: "/"}) {
			var r *Registry
			if err == nil {
				r, err = Open(b, path.Base(info.Key))
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Name returns the model's name.
func (r *Registry) Name() string { return r.name }

func artifactPrefix(digest string) string { return "artifacts/" + digest + "/" }

func (r *Registry) versionPrefix() string { return modelsPrefix + r.name + "/versions/" }

func (r *Registry) versionKey(n int) string { return fmt.Sprintf("%s%08d.json", r.versionPrefix(), n) }

func (r *Registry) claimKey(key string) string {
	return modelsPrefix + r.name + "/keys/" + key + ".json"
}

// failed wraps an error with the model and the operation.
func (r *Registry) failed(op string, err error) error {
	return fmt.Errorf("model %s: %s: %w", r.name, op, err)
}

// claim gives a step key its version's number.
type claim struct {
	Format int    `json:"format"`
	Key    string `json:"key"`
	Number int    `json:"version"`
	Nonce  string `json:"nonce"`
}

// Register stores files, then v as a new version, and returns it with its Number, Digest and Artifact. It may be called again with the
// same v.Key, also after a crash: the version registered first is returned, with ErrDiffers if its digest is not that of files.
func (r *Registry) Register(ctx context.Context, v Version, files artifact.Files) (Version, error) {
	op := "register step " + v.Key
	digest := files.Digest()
	if v.Digest != "" && v.Digest != digest {
		return Version{}, r.failed(op, fmt.Errorf("the files' digest is %s, not %s", digest, v.Digest))
	}
	v.Format, v.Name, v.Digest, v.Artifact, v.Nonce = format, r.name, digest, artifactPrefix(digest), r.nonce()
	v.Files = nil
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		v.Files = append(v.Files, File{Name: name, Size: int64(len(files[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	v.Number = 1 // stands for the real one in the check
	if err := v.check(); err != nil {
		return Version{}, r.failed(op, err)
	}
	if err := r.store(ctx, &v, files); err != nil {
		return Version{}, r.failed(op, err)
	}
	for range maxTries {
		done, err := r.tryRegister(ctx, &v)
		if err != nil {
			return Version{}, r.failed(op, err)
		}
		if done == nil {
			continue
		}
		if done.Digest != digest {
			return *done, r.failed(op, fmt.Errorf("%w: version %d holds %s, not %s", ErrDiffers, done.Number, done.Digest, digest))
		}
		return *done, nil
	}
	return Version{}, r.failed(op, fmt.Errorf("other writers were first %d times: try again", maxTries))
}

// tryRegister claims a number for v and writes v under it. It returns nil if another writer came in between.
func (r *Registry) tryRegister(ctx context.Context, v *Version) (*Version, error) {
	key := r.claimKey(v.Key)
	c, info, err := r.readClaim(ctx, v.Key)
	absent := errors.Is(err, storage.ErrNotFound)
	if err != nil && !absent {
		return nil, err
	}
	if !absent {
		got, err := r.read(ctx, c.Number)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			v.Number = c.Number
			return r.create(ctx, v)
		case err != nil:
			return nil, err
		case got.Key == v.Key:
			return got, nil
		}
	}
	// No number yet, or another key took the one claimed.
	last, err := r.last(ctx)
	if err != nil {
		return nil, err
	}
	body, err := encode(claim{Format: format, Key: v.Key, Number: last + 1, Nonce: r.nonce()})
	if err != nil {
		return nil, err
	}
	cond := storage.Cond{IfAbsent: absent, IfMatch: info.ETag}
	if _, err := storage.Commit(ctx, r.bucket, key, body, cond); err != nil && !errors.Is(err, storage.ErrPrecondition) {
		return nil, err
	} else if err != nil {
		return nil, nil
	}
	v.Number = last + 1
	return r.create(ctx, v)
}

// create writes v under its number, or returns nil if that is taken.
func (r *Registry) create(ctx context.Context, v *Version) (*Version, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	body, err := encode(v)
	if err != nil {
		return nil, err
	}
	_, err = storage.Commit(ctx, r.bucket, r.versionKey(v.Number), body, storage.Cond{IfAbsent: true})
	if errors.Is(err, storage.ErrPrecondition) {
		return nil, nil
	}
	return v, err
}

func (r *Registry) readClaim(ctx context.Context, key string) (claim, storage.Info, error) {
	var c claim
	body, info, err := storage.ReadAll(ctx, r.bucket, r.claimKey(key))
	if err != nil {
		return c, info, err
	}
	if err := decode(body, &c); err != nil {
		return c, info, fmt.Errorf("%s: %w", r.claimKey(key), err)
	}
	if c.Key != key || c.Number < 1 || c.Number > maxNumber {
		return c, info, fmt.Errorf("%s: claims version %d for step %q", r.claimKey(key), c.Number, c.Key)
	}
	return c, info, nil
}

// store writes the artifact's files that are not there yet, or are damaged.
func (r *Registry) store(ctx context.Context, v *Version, files artifact.Files) error {
	for _, f := range v.Files {
		_, err := r.readFile(ctx, v, f, false)
		if errors.Is(err, storage.ErrNotFound) || errors.Is(err, ErrDamaged) {
			_, err = r.bucket.Put(ctx, v.Artifact+f.Name, storage.Bytes(files[f.Name]), storage.Cond{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Files reads the artifact of v and checks it against the recorded hashes; ErrDamaged if one differs.
func (r *Registry) Files(ctx context.Context, v Version) (artifact.Files, error) {
	op := fmt.Sprintf("read artifact of version %d", v.Number)
	files := artifact.Files{}
	for _, f := range v.Files {
		data, err := r.readFile(ctx, &v, f, true)
		if err != nil {
			return nil, r.failed(op, err)
		}
		files[f.Name] = data
	}
	if files.Digest() != v.Digest {
		return nil, r.failed(op, fmt.Errorf("%w: the files' digest is %s, not %s", ErrDamaged, files.Digest(), v.Digest))
	}
	return files, nil
}

// Verify checks that the stored artifact of version n is the one registered, and judges a second training of it.
func (r *Registry) Verify(ctx context.Context, n int, again Retrained) (Outcome, error) {
	v, err := r.Get(ctx, n)
	if err != nil {
		return "", err
	}
	if _, err := r.Files(ctx, v); err != nil {
		return "", err
	}
	return v.Compare(again), nil
}

// readFile reads one artifact file and checks it; with keep it returns the bytes, else it needs little memory.
func (r *Registry) readFile(ctx context.Context, v *Version, f File, keep bool) ([]byte, error) {
	key := v.Artifact + f.Name
	body, info, err := r.bucket.Get(ctx, key, storage.Range{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Size != f.Size {
		return nil, fmt.Errorf("%s: %w: %d bytes, want %d", key, ErrDamaged, info.Size, f.Size)
	}
	h := sha256.New()
	var data []byte
	if keep {
		data = make([]byte, f.Size)
		_, err = io.ReadFull(body, data)
		h.Write(data)
	} else {
		_, err = io.Copy(h, io.LimitReader(body, f.Size+1))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != f.SHA256 {
		return nil, fmt.Errorf("%s: %w: SHA-256 %s, want %s", key, ErrDamaged, sum, f.SHA256)
	}
	return data, nil
}

// read returns version n without its approvals.
func (r *Registry) read(ctx context.Context, n int) (*Version, error) {
	key := r.versionKey(n)
	body, _, err := storage.ReadAll(ctx, r.bucket, key)
	if err != nil {
		return nil, err
	}
	v := &Version{}
	if err := decode(body, v); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if v.Name != r.name || v.Number != n {
		return nil, fmt.Errorf("%s: holds version %d of %q", key, v.Number, v.Name)
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}

// numbers lists the versions' numbers, ascending. One listing.
func (r *Registry) numbers(ctx context.Context) ([]int, error) {
	var all []int
	for info, err := range r.bucket.List(ctx, r.versionPrefix(), storage.ListOpt{}) {
		if err != nil {
			return nil, err
		}
		digits, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, r.versionPrefix()), ".json")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || r.versionKey(n) != info.Key {
			return nil, fmt.Errorf("%s is no version's object: remove it", info.Key)
		}
		all = append(all, n)
	}
	return all, nil
}

func (r *Registry) last(ctx context.Context) (int, error) {
	all, err := r.numbers(ctx)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// Get returns version n with its approvals, or an error that wraps storage.ErrNotFound.
func (r *Registry) Get(ctx context.Context, n int) (Version, error) {
	op := fmt.Sprintf("read version %d", n)
	v, err := r.read(ctx, n)
	if err != nil {
		return Version{}, r.failed(op, err)
	}
	l, _, err := r.readLive(ctx)
	if err != nil {
		return Version{}, r.failed(op, err)
	}
	v.Approvals = l.reviews(n)
	return *v, nil
}

// Backwards yields the versions without their approvals, the one registered last first. One listing, and a request a version that is asked for.
func (r *Registry) Backwards(ctx context.Context) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		numbers, err := r.numbers(ctx)
		if err != nil {
			yield(Version{}, r.failed("list versions", err))
			return
		}
		for _, n := range slices.Backward(numbers) {
			v, err := r.read(ctx, n)
			if err != nil {
				yield(Version{}, r.failed(fmt.Sprintf("read version %d", n), err))
				return
			}
			if !yield(*v, nil) {
				return
			}
		}
	}
}

// Versions returns all versions with their approvals, oldest first. One request a version, sixteen at once.
func (r *Registry) Versions(ctx context.Context) ([]Version, error) {
	numbers, err := r.numbers(ctx)
	if err != nil {
		return nil, r.failed("list versions", err)
	}
	l, _, err := r.readLive(ctx)
	if err != nil {
		return nil, r.failed("list versions", err)
	}
	all := make([]Version, len(numbers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, n := range numbers {
		g.Go(func() error {
			v, err := r.read(ctx, n)
			if err == nil {
				v.Approvals = l.reviews(n)
				all[i] = *v
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, r.failed("list versions", err)
	}
	return all, nil
}
