package online_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// projects counts the projects that tests have made, so that each has its own keys on a server.
var projects atomic.Int64

func newProject() string { return fmt.Sprintf("test-%d", projects.Add(1)) }

// openRedis opens a store of a server.
func openRedis(t testing.TB, r *storagetest.Redis, project string, o online.RedisOptions) online.Store {
	t.Helper()
	if r.CAFile != "" && o.CAFile == "" {
		o.CAFile, o.CertFile, o.KeyFile = r.CAFile, r.CertFile, r.KeyFile
	}
	s, err := online.Open(t.Context(), r.URL(0), online.Options{Project: project, Redis: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// redisTarget is a store of its own on a server that several tests share.
func redisTarget(r *storagetest.Redis, o online.RedisOptions) onlinetest.Target {
	project := newProject()
	return onlinetest.Target{
		Open: func(t testing.TB) online.Store { return openRedis(t, r, project, o) },
		Raw:  func(t testing.TB, f func(string, []byte)) { scanRedis(t, r, project, f) },
	}
}

// scanRedis calls f with every key of a project, and with what stands there.
func scanRedis(t testing.TB, r *storagetest.Redis, project string, f func(where string, b []byte)) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2})
	defer c.Close()
	keys, err := c.Keys(t.Context(), "*"+project+"}*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		f(key, []byte(key))
		var content []string
		kind, err := c.Type(t.Context(), key).Result()
		switch kind {
		case "hash":
			var fields map[string]string
			fields, err = c.HGetAll(t.Context(), key).Result()
			for name, value := range fields {
				content = append(content, name, value)
			}
		case "set":
			content, err = c.SMembers(t.Context(), key).Result()
		case "string":
			var text string
			text, err = c.Get(t.Context(), key).Result()
			content = append(content, text)
		case "none": // it has expired since
		default:
			t.Errorf("key %s is a %s", key, kind)
		}
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		for _, text := range content {
			f(key, []byte(text))
		}
	}
}

func TestRedis(t *testing.T) {
	r := storagetest.StartRedis(t, storagetest.RedisOptions{})
	onlinetest.TestStore(t, func(t *testing.T) onlinetest.Target { return redisTarget(r, online.RedisOptions{}) })
}

// TestRedisSmallBatches runs the suite with a loader that sends every few rows, and with a deny set most changes of which are staged.
func TestRedisSmallBatches(t *testing.T) {
	r := storagetest.StartRedis(t, storagetest.RedisOptions{})
	onlinetest.TestStore(t, func(t *testing.T) onlinetest.Target {
		target := redisTarget(r, online.RedisOptions{Batch: 3})
		plain := target.Open
		target.Open = func(t testing.TB) online.Store {
			s := plain(t)
			online.StageFrom(s, 2)
			return s
		}
		return target
	})
}

func sha1Hex(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
