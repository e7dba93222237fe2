package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisOptions say how a Redis is started. The zero value keeps nothing on disk, asks for no password and does not encrypt.
type RedisOptions struct {
	Durable bool     // every write is in the append-only file before it is answered
	TLS     bool     // takes TLS alone, and asks clients for a certificate
	Users   []string // ACL rules, as "shop on >password ~{shop}:* +@all"; with any, the default user is off
	Config  []string // further words of its command line, as "--maxmemory", "20mb"
}

// Redis is a running server, whose address stays the same when it is stopped and started again.
type Redis struct {
	// Addr is host:port, on the loopback interface.
	Addr string
	// CAFile, CertFile and KeyFile are for a client of a server with TLS.
	CAFile, CertFile, KeyFile string

	o    RedisOptions
	dir  string
	mu   sync.Mutex
	cmd  *exec.Cmd
	out  *bytes.Buffer
	gone chan struct{}
}

// StartRedis starts a real redis-server on a free loopback port and an empty temporary directory. It is stopped when the test ends. The
// binary is redis-server of the PATH.
func StartRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	r := &Redis{Addr: freeAddr(t), o: o, dir: t.TempDir()}
	if o.TLS {
		makeCertificates(t, r)
	}
	t.Cleanup(r.kill)
	r.Start(t)
	return r
}

// URL names a database of the server.
func (r *Redis) URL(db int) string {
	scheme := "redis"
	if r.o.TLS {
		scheme = "rediss"
	}
	return fmt.Sprintf("%s://%s/%d", scheme, r.Addr, db)
}

// Start starts a stopped server again, with the data that it kept, and waits until it answers.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is missing, which tests of the online store need: install the Debian package redis-server")
	}
	host, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--bind", host, "--dir", r.dir, "--save", "", "--daemonize", "no", "--databases", "256", "--loglevel", "warning"}
	if r.o.TLS {
		args = append(args, "--port", "0", "--tls-port", port, "--tls-auth-clients", "yes", "--tls-ca-cert-file", r.CAFile,
			"--tls-cert-file", filepath.Join(r.dir, "server.pem"), "--tls-key-file", filepath.Join(r.dir, "server.key"))
	} else {
		args = append(args, "--port", port)
	}
	if r.o.Durable {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	for _, u := range r.o.Users {
		args = append(append(args, "--user"), strings.Fields(u)...)
	}
	if len(r.o.Users) > 0 {
		args = append(args, "--user", "default", "off")
	}
	r.mu.Lock()
	r.out, r.gone = &bytes.Buffer{}, make(chan struct{})
	r.cmd = exec.Command(binary, append(args, r.o.Config...)...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	cmd, gone, out := r.cmd, r.gone, r.out
	err = cmd.Start()
	if err != nil {
		close(gone)
	}
	r.mu.Unlock()
	if err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	go func() { cmd.Wait(); close(gone) }()
	r.awaitReady(t, gone, out)
}

// awaitReady waits until the server has read its data and answers, if only to refuse.
func (r *Redis) awaitReady(t testing.TB, gone chan struct{}, out *bytes.Buffer) {
	t.Helper()
	deadline := time.NewTimer(startWait)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if r.ready() {
			return
		}
		select {
		case <-gone:
			t.Fatalf("redis-server ended at once:\n%s", out.String())
		case <-deadline.C:
			t.Fatalf("redis-server did not answer on %s within %v", r.Addr, startWait)
		case <-poll.C:
		}
	}
}

func (r *Redis) ready() bool {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	if r.o.TLS {
		return true
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var answer [8]byte
	n, err := conn.Read(answer[:])
	return err == nil && n > 0 && !bytes.HasPrefix(answer[:n], []byte("-LOADIN"))
}

// Stop asks the server to end, and waits until it has.
func (r *Redis) Stop(t testing.TB) {
	t.Helper()
	r.end(t, syscall.SIGTERM)
}

// Kill ends the server without a word.
func (r *Redis) Kill(t testing.TB) {
	t.Helper()
	r.end(t, syscall.SIGKILL)
}

func (r *Redis) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	r.mu.Lock()
	cmd, gone := r.cmd, r.gone
	r.mu.Unlock()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatalf("stop redis-server: %v", err)
	}
	select {
	case <-gone:
	case <-time.After(startWait):
		t.Fatalf("redis-server did not end within %v", startWait)
	}
}

// Forget removes what a stopped server has kept.
func (r *Redis) Forget(t testing.TB) {
	t.Helper()
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// Dir is the folder in which the server keeps its files.
func (r *Redis) Dir() string { return r.dir }

// Do runs one command in a database of a server without TLS and users, and returns the answer.
func (r *Redis) Do(t testing.TB, db int, args ...any) any {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.Addr, DB: db, Protocol: 2, MaxRetries: -1})
	defer c.Close()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("redis %v: %v", args, err)
	}
	return v
}

// Each calls f with every key of every database of a server without TLS and users, and with each part of what stands there: of a hash a field and its value. It fails at
// a type that it cannot read.
func (r *Redis) Each(t testing.TB, f func(where string, value []byte)) {
	t.Helper()
	ctx := context.Background()
	first := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2})
	defer first.Close()
	used, err := first.Info(ctx, "keyspace").Result()
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	for _, line := range strings.Split(used, "\n") {
		var db int
		if _, err := fmt.Sscanf(line, "db%d:", &db); err != nil {
			continue
		}
		c := redis.NewClient(&redis.Options{Addr: r.Addr, DB: db, Protocol: 2})
		defer c.Close()
		keys := c.Scan(ctx, 0, "*", 1000).Iterator()
		for keys.Next(ctx) {
			f(keys.Val(), []byte(keys.Val()))
			if err := partsOf(ctx, c, keys.Val(), f); err != nil {
				t.Fatalf("redis: a key of database %d: %v", db, err)
			}
		}
		if err := keys.Err(); err != nil {
			t.Fatalf("redis: %v", err)
		}
	}
}

// partsOf calls f with each part of what stands at a key.
func partsOf(ctx context.Context, c *redis.Client, key string, f func(where string, value []byte)) error {
	kind, err := c.Type(ctx, key).Result()
	if err != nil {
		return err
	}
	args := map[string][]any{
		"string": {"GET", key}, "hash": {"HGETALL", key}, "set": {"SMEMBERS", key}, "list": {"LRANGE", key, 0, -1}, "zset": {"ZRANGE", key, 0, -1, "WITHSCORES"}, "stream": {"XRANGE", key, "-", "+"},
		"none": {"EXISTS", key}, // it has expired meanwhile
	}[kind]
	if args == nil {
		return fmt.Errorf("of the type %q, which is not read here", kind)
	}
	v, err := c.Do(ctx, args...).Result()
	if err != nil && err != redis.Nil {
		return err
	}
	parts, _ := v.([]any)
	if kind == "hash" {
		for i := 0; i+1 < len(parts); i += 2 {
			f(fmt.Sprintf("%s %s", key, parts[i]), fmt.Appendf(nil, "%s\n%s", parts[i], parts[i+1]))
		}
		return nil
	}
	if parts == nil {
		parts = []any{v}
	}
	for _, p := range parts {
		f(key, fmt.Appendf(nil, "%v", p))
	}
	return nil
}

// kill ends the server when the test ends.
func (r *Redis) kill() {
	r.mu.Lock()
	cmd, gone := r.cmd, r.gone
	r.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return
	}
	cmd.Process.Kill()
	<-gone
}
