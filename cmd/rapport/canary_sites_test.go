package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// site is where a canary shop keeps its data.
type site interface {
	raw(dir string) string // URL of the sources
	lake(dir string) string
	online(dir string) string
	options() storage.Options

	// stores calls f with every file and key of the two stores, by where it stands, as they are on disk: not as anybody's API tells them.
	stores(s *canaryShop, f func(where string, body []byte))
	// leave leaves what a writer that died leaves of an object: an unfinished upload; and a staged file of a run that died long ago.
	leave(s *canaryShop, body []byte)
}

// stagedKey names a file that a run staged and no commit names.
const stagedKey = "data/ingest/2020-01-01/events/part-00-litter.parquet"

// onSites runs a test on a folder with an embedded store, and on a real S3 server, whose bucket keeps versions, with a real Redis.
func onSites(t *testing.T, test func(t *testing.T, where site)) {
	t.Run("embedded", func(t *testing.T) { test(t, embeddedSite{}) })
	t.Run("S3 and Redis", func(t *testing.T) { test(t, newRealSite(t)) })
}

// embeddedSite is all in the project's folder.
type embeddedSite struct{}

func (embeddedSite) raw(dir string) string  { return "file:" + filepath.Join(dir, "raw") }
func (embeddedSite) lake(dir string) string { return "file:" + filepath.Join(dir, "lake") }
func (embeddedSite) online(string) string   { return "embedded:./online" }

func (embeddedSite) options() storage.Options { return storage.Options{} }

func (embeddedSite) stores(s *canaryShop, f func(where string, body []byte)) {
	s.Helper()
	walkDisk(s, filepath.Join(s.dir, "lake"), "lake/", f)
	walkDisk(s, filepath.Join(s.dir, "online"), "online/", f)
}

func (embeddedSite) leave(s *canaryShop, body []byte) {
	s.Helper()
	lake := filepath.Join(s.dir, "lake")
	dead := filepath.Join(lake, ".rapport", "tmp", "OFADEADWRITER")
	staged := filepath.Join(lake, stagedKey)
	for _, file := range []string{dead, staged} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.Fatal(err)
		}
		writeFile(s, file, body)
	}
	age(s, staged)
}

// age makes a file two hours old.
func age(t testing.TB, file string) {
	t.Helper()
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}

// realSite is an S3 server and a Redis.
type realSite struct {
	s3    *storagetest.S3
	redis *storagetest.Redis
	dirs  []string // of projects
}

const (
	canaryLake = "canary-lake"
	canaryRaw  = "canary-raw"
)

func newRealSite(t *testing.T) *realSite {
	t.Helper()
	// Strings in the files of the Redis are not packed, so that they can be searched.
	r := &realSite{s3: storagetest.StartS3(t), redis: storagetest.StartRedis(t, storagetest.RedisOptions{Durable: true, Config: []string{"--rdbcompression", "no"}})}
	for _, name := range []string{canaryLake, canaryRaw} {
		storagetest.MakeBucket(t, r.options(), name)
	}
	storagetest.EnableVersions(t, r.options(), canaryLake)
	t.Setenv("AWS_ACCESS_KEY_ID", r.s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", r.s3.SecretKey)
	return r
}

func (r *realSite) raw(dir string) string { return "s3://" + canaryRaw + "/" + filepath.Base(dir) }

func (r *realSite) lake(dir string) string {
	o := r.options().S3
	return fmt.Sprintf("{url: %q, endpoint: %q, region: %s, path_style: true, credentials: env}", lakeURL(dir), o.Endpoint, o.Region)
}

func lakeURL(dir string) string { return "s3://" + canaryLake + "/lake/" + filepath.Base(dir) }

// online is a database for each project.
func (r *realSite) online(dir string) string {
	if !slices.Contains(r.dirs, dir) {
		r.dirs = append(r.dirs, dir)
	}
	return r.redis.URL(slices.Index(r.dirs, dir))
}

func (r *realSite) options() storage.Options { return r.s3.Options() }

func (r *realSite) stores(s *canaryShop, f func(where string, body []byte)) {
	s.Helper()
	data, versions := r.s3.Dirs()
	lake := filepath.Join("lake", filepath.Base(s.dir))
	walkDisk(s, filepath.Join(data, canaryLake, lake), "lake/", f)
	walkDisk(s, filepath.Join(data, canaryLake, ".sgwtmp"), "unfinished/", f)
	walkDisk(s, filepath.Join(versions, canaryLake), "versions/", f)
	r.redis.Each(s, func(key string, value []byte) {
		f("online/"+key, []byte(key))
		f("online/"+key, value)
	})
	r.quiet(s)
	walkDisk(s, r.redis.Dir(), "online files/", f)
}

// quiet waits until the server has written its files anew, as an erasure asks it to.
func (r *realSite) quiet(s *canaryShop) {
	s.Helper()
	until(s.T, "the Redis has written its files", func() bool {
		facts := fmt.Sprint(r.redis.Do(s, 0, "INFO", "persistence"))
		return strings.Contains(facts, "aof_rewrite_in_progress:0") && strings.Contains(facts, "aof_rewrite_scheduled:0")
	})
}

func (r *realSite) leave(s *canaryShop, body []byte) {
	s.Helper()
	storagetest.LeaveUpload(s, r.options(), canaryLake, "lake/"+filepath.Base(s.dir)+"/data/ingest/2020-01-02/events/part-00-unfinished.parquet", body)
	b, err := storage.Open(s.Context(), lakeURL(s.dir), r.options())
	if err == nil {
		_, err = b.Put(s.Context(), stagedKey, storage.Bytes(body), storage.Cond{})
	}
	if err != nil {
		s.Fatal(err)
	}
	data, _ := r.s3.Dirs()
	age(s, filepath.Join(data, canaryLake, "lake", filepath.Base(s.dir), stagedKey))
	// The server takes the time of an upload's folder for that of its beginning.
	uploads := filepath.Join(data, canaryLake, ".sgwtmp")
	if err := filepath.WalkDir(uploads, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			age(s, path)
		}
		return err
	}); err != nil {
		s.Fatal(err)
	}
}

// walkDisk calls f with each file of a folder: its name, its extended attributes, and its body.
func walkDisk(t testing.TB, dir, prefix string, f func(where string, body []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		where := prefix + rel
		f(where, []byte(rel))
		attributes(path, func(name string, value []byte) { f(where, append([]byte(name+"\n"), value...)) })
		if d.IsDir() {
			return nil
		}
		body, err := os.ReadFile(path)
		if err == nil {
			f(where, body)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// attributes calls f with each extended attribute of a file. A file system without any has none.
func attributes(path string, f func(name string, value []byte)) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			f(name, value[:n])
		}
	}
}

// storeOfPlace is the store in which something stands: of the bucket the first folder or, of tables, the step.
func storeOfPlace(where string) string {
	where, _, _ = strings.Cut(where, " › ")
	parts := strings.Split(where, "/")
	switch {
	case parts[0] != "lake" || len(parts) < 3:
		return parts[0]
	case strings.Contains(where, ".rapport/tmp"):
		return "unfinished"
	case strings.HasSuffix(where, filepath.Base(stagedKey)):
		return "staged"
	case parts[1] == "data" || parts[1] == "policy" || parts[1] == "done":
		return parts[1] + "/" + parts[2]
	}
	return parts[1]
}
