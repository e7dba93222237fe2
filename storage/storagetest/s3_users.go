package storagetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// S3User is one whom a server knows beside its owner.
type S3User struct{ AccessKey, SecretKey string }

// StartS3Users is StartS3 for a server that knows users by these names: they may do what policies of buckets let them, and nothing else.
func StartS3Users(t testing.TB, names ...string) (*S3, map[string]S3User) {
	t.Helper()
	type account struct {
		Access string `json:"access"`
		Secret string `json:"secret"`
		Role   string `json:"role"`
	}
	users, accounts := map[string]S3User{}, map[string]account{}
	for _, name := range names {
		u := S3User{AccessKey: name + "-" + rand.Text()[:8], SecretKey: rand.Text()}
		users[name], accounts[u.AccessKey] = u, account{u.AccessKey, u.SecretKey, "user"}
	}
	body, err := json.Marshal(map[string]any{"accessAccounts": accounts})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "users.json"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "attributes"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newS3(t)
	s.users = dir
	s.Start(t)
	return s, users
}

// SetPolicy gives a bucket a policy, as JSON.
func SetPolicy(t testing.TB, o storage.Options, bucket, policy string) {
	t.Helper()
	if err := client(t, o).SetBucketPolicy(context.Background(), bucket, policy); err != nil {
		t.Fatalf("set the policy of %s: %v", bucket, err)
	}
}
