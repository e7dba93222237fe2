package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// The buckets of the policies in configs/deploy/s3.
const (
	policyLake = "shop-lake"
	policyHome = "shop-rapport"
)

// statement is one of an IAM policy; as a bucket's it names who.
type statement struct {
	Sid, Effect      string
	Action, Resource []string
	Principal        map[string][]string `json:",omitempty"`
}

// setPolicies gives users of a server the policies of configs/deploy/s3, each by the name of its file: the same statements, as policies of the two buckets.
func setPolicies(t *testing.T, o storage.Options, users map[string]storagetest.S3User) {
	t.Helper()
	byBucket := map[string][]statement{}
	for file, u := range users {
		body, err := os.ReadFile(filepath.Join(deployDir, "s3", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var policy struct {
			Version   string
			Statement []statement
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&policy); err != nil || policy.Version != "2012-10-17" {
			t.Fatalf("%s: version %s, %v", file, policy.Version, err)
		}
		for _, s := range policy.Statement {
			s.Principal = map[string][]string{"AWS": {u.AccessKey}}
			for _, bucket := range []string{policyLake, policyHome} {
				own := s
				own.Resource = slices.DeleteFunc(slices.Clone(s.Resource), func(r string) bool {
					rest, ok := strings.CutPrefix(r, "arn:aws:s3:::"+bucket)
					return !ok || rest != "" && rest[0] != '/'
				})
				if len(own.Resource) > 0 {
					byBucket[bucket] = append(byBucket[bucket], own)
				}
			}
		}
	}
	for bucket, all := range byBucket {
		body, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
		if err != nil {
			t.Fatal(err)
		}
		storagetest.SetPolicy(t, o, bucket, string(body))
	}
}

// as runs the command line as a process of a user, who has the pseudonym key or not, and returns what it prints and its exit code.
func as(t *testing.T, u storagetest.S3User, secret, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Args = append([]string{"rapport", "-c", filepath.Join(dir, projectFile)}, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(), "AWS_ACCESS_KEY_ID=" + u.AccessKey, "AWS_SECRET_ACCESS_KEY=" + u.SecretKey, "AWS_EC2_METADATA_DISABLED=true", "GOMAXPROCS=2"}
	if secret != "" {
		c.Env = append(c.Env, "PSEUDONYM_KEY="+secret)
	}
	c.Stdin = strings.NewReader("u000001\n")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := c.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), code
}

// usersProject makes a project over the two buckets of a server, whose pseudonym key stands in the environment alone.
func usersProject(t *testing.T, o storage.Options) string {
	t.Helper()
	dir := t.TempDir()
	lake := fmt.Sprintf("{url: %q, endpoint: %q, region: %s, path_style: true, credentials: env, ca_file: %q, sse: \"kms:key/7\"}", "s3://"+policyHome, o.S3.Endpoint, o.S3.Region, o.S3.CAFile)
	text := projectYAML(t, "s3://"+policyLake+"/", lake)
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "pseudonyms:") {
			text = strings.Replace(text, line, "pseudonyms: {key: env:PSEUDONYM_KEY}", 1)
		}
	}
	writeProject(t, dir, text)
	if err := os.Remove(filepath.Join(dir, "pseudonym.key")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTwoUsers: with the two policies of configs/deploy/s3 on a real server, a night is two processes of two users, of whom only the first can read raw data
// and has the pseudonym key, and leads to what one process leads to. Each is refused, by the server, what it should not do.
func TestTwoUsers(t *testing.T) {
	server, users := storagetest.StartS3Users(t, "ingest", "train-to-publish")
	root := server.Options()
	for _, bucket := range []string{policyLake, policyHome} {
		storagetest.MakeBucket(t, root, bucket)
	}
	setPolicies(t, root, users)
	raw, err := storage.Open(t.Context(), "s3://"+policyLake, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), raw, ""); err != nil {
		t.Fatal(err)
	}
	dir := usersProject(t, root)
	ingest, train := users["ingest"], users["train-to-publish"]
	for night, at := range []int{smallWorld.Days - 2, smallWorld.Days - 1} {
		when := nightAfter(at).Format(time.RFC3339)
		if _, errs, code := as(t, train, "", dir, "run", "nightly", "--from", "build", "--at", when); code == exitOK || !strings.Contains(errs, "run --step ingest") {
			t.Errorf("night %d, before anything is ingested: %d %s", night, code, errs)
		}
		out, errs, code := as(t, ingest, testSecret, dir, "run", "nightly", "--step", "ingest", "--at", when)
		if code != exitOK {
			t.Fatalf("night %d, ingest: %d\n%s%s", night, code, out, errs)
		}
		out, errs, code = as(t, train, "", dir, "run", "nightly", "--from", "build", "--at", when, "-o", "json")
		var res jobs.Result
		if err := json.Unmarshal([]byte(out), &res); code != exitOK || err != nil || res.Published == nil {
			t.Fatalf("night %d, train to publish: %d %v\n%s%s", night, code, err, out, errs)
		}
		if out, _, _ := as(t, train, "", dir, "runs", "show", res.RunID, "-o", "json"); !strings.Contains(out, `"encrypted": "kms:key/7"`) {
			t.Errorf("the record of the run does not say how objects are kept:\n%s", out)
		}
	}
	if out, errs, code := as(t, train, "", dir, "models", "show", "home", "1"); code != exitOK || !strings.Contains(out, "kms:key/7") {
		t.Errorf("a version does not say how it is kept: %d\n%s%s", code, out, errs)
	}
	if out, errs, code := as(t, train, "", dir, "run", "nightly", "--from", "build"); code != exitOK || !strings.Contains(out, "nothing to do") {
		t.Errorf("once more: %d\n%s%s", code, out, errs)
	}

	// One process on the same rows leads to the same.
	alone := t.TempDir()
	writeProject(t, alone, projectYAML(t, "file:./raw/", "file:./lake"))
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(alone, "raw"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	want := twoNights(t, alone)
	t.Setenv("AWS_ACCESS_KEY_ID", root.S3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", root.S3.SecretKey)
	t.Setenv("PSEUDONYM_KEY", testSecret)
	sameContent(t, contentIn(t, dir), want)
	if out, _ := rapportIn(t, dir, exitOK, "validate"); !strings.Contains(out, "each object is written with sse kms:key/7") {
		t.Errorf("validate does not tell how objects are kept:\n%s", out)
	}
	plain, err := os.ReadFile(filepath.Join(dir, projectFile))
	if err != nil {
		t.Fatal(err)
	}
	writeProject(t, dir, strings.Replace(string(plain), `, sse: "kms:key/7"`, "", 1))
	if out, _ := rapportIn(t, dir, exitOK, "validate"); !strings.Contains(out, "the server does not say whether its bucket encrypts") {
		t.Errorf("validate does not tell that nobody asks for encryption:\n%s", out)
	}

	t.Run("Refused", func(t *testing.T) { refusedToUsers(t, root, users, dir) })
}

// refusedToUsers tries what each user should not be able to do. The server must refuse it, and not find it missing.
func refusedToUsers(t *testing.T, root storage.Options, users map[string]storagetest.S3User, dir string) {
	open := func(user, bucket string) (storage.Bucket, error) {
		o := root
		o.S3.AccessKey, o.S3.SecretKey = users[user].AccessKey, users[user].SecretKey
		return storage.Open(t.Context(), "s3://"+bucket, o)
	}
	owner, err := storage.Open(t.Context(), "s3://"+policyHome, root)
	if err != nil {
		t.Fatal(err)
	}
	some := func(prefix string) string { // an object that is there
		for info, err := range owner.List(t.Context(), prefix, storage.ListOpt{}) {
			if err != nil {
				t.Fatal(err)
			}
			return info.Key
		}
		t.Fatalf("nothing stands under %s", prefix)
		return ""
	}
	if _, err := owner.Put(t.Context(), "policy/access/0000000001.json", storage.Bytes([]byte("{}")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := open("train-to-publish", policyLake); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("train to publish lists raw data: %v", err)
	}
	writes := map[string][]string{
		"train-to-publish": {"data/trust/2026-W01/rows", "done/trust/2026-W01/x", some("identity/"), some("data/ingest/"), some("data/consent/"), some("done/ingest/"), some("data/subjects/"), "identity/zz", "policy/journal/00000001.json", "policy/access/0000000002.json", "policy/requests/00000001.json", "pause/nightly.json", "online/fallback.json"},
		"ingest":           {some("models/home/live"), some("models/home/versions/"), some("artifacts/"), some("reports/"), some("data/build/"), some("done/train/"), "online/fallback.json", "pause/nightly.json"},
	}
	for user, keys := range writes {
		b, err := open(user, policyHome)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			before, _, _ := storage.ReadAll(t.Context(), owner, key) // nothing, if it is not there
			if _, err := b.Put(t.Context(), key, storage.Bytes([]byte("forged")), storage.Cond{}); !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("%s writes %s: %v", user, key, err)
			}
			if err := b.Delete(t.Context(), key); !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("%s deletes %s: %v", user, key, err)
			}
			if after, _, _ := storage.ReadAll(t.Context(), owner, key); !bytes.Equal(before, after) {
				t.Errorf("%s has changed %s", user, key)
			}
		}
	}
	b, err := open("train-to-publish", policyHome)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := storage.ReadAll(t.Context(), b, "policy/access/0000000001.json"); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("train to publish reads the access log: %v", err)
	}
	if err := owner.Delete(t.Context(), "policy/access/0000000001.json"); err != nil {
		t.Fatal(err)
	}
	raw, err := open("ingest", policyLake)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Put(t.Context(), "forged.parquet", storage.Bytes([]byte("x")), storage.Cond{}); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("ingest writes raw data: %v", err)
	}

	// As verbs: the second user ingests nothing, with the key or without, nor can it find anybody; the first trains nothing.
	when := nightAfter(smallWorld.Days - 1).Format(time.RFC3339)
	train, ingest := users["train-to-publish"], users["ingest"]
	for _, c := range []struct {
		user   storagetest.S3User
		secret string
		want   string
		args   []string
	}{
		{train, testSecret, "access denied", []string{"run", "nightly", "--step", "ingest", "--at", when}},
		{train, "", "PSEUDONYM_KEY is not set", []string{"run", "nightly", "--at", when}},
		{train, "", "PSEUDONYM_KEY is not set", []string{"subject", "status", "--ids", "-"}},
		{train, testSecret, "access denied", []string{"subject", "status", "--ids", "-"}},
		{ingest, testSecret, "access denied", []string{"models", "promote", "home", "1", "--why", "to see whether it can"}},
		{ingest, testSecret, "access denied", []string{"jobs", "pause", "nightly", "--why", "to see whether it can"}},
	} {
		if out, errs, code := as(t, c.user, c.secret, dir, c.args...); code == exitOK || !strings.Contains(errs, c.want) {
			t.Errorf("rapport %s: %d\n%s%s", strings.Join(c.args, " "), code, out, errs)
		}
	}
}
