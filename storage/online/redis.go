package online

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions say how to reach a Redis. All may be zero.
type RedisOptions struct {
	// Username and Password are those of an ACL user; they win over the URL's. No error holds them.
	Username, Password string
	// CAFile holds the certificates (PEM) that the server's is checked against, in place of the system's; CertFile and KeyFile hold the
	// client's own. They need rediss://.
	CAFile, CertFile, KeyFile string
	// Batch is how many rows a load sends in one command; 0 is 256.
	Batch int
	// Patience is how long a write, above all a load, waits for a server that is away, and a read of anything but a row for at most a
	// twentieth of it; 0 is 2 minutes.
	Patience time.Duration
	// LoadTTL is how long the rows of an unfinished load outlive their loader; 0 is 10 minutes.
	LoadTTL time.Duration
	// Sleep waits between two tries; nil is a timer. Tests do not wait.
	Sleep func(ctx context.Context, d time.Duration) error
}

// The defaults of RedisOptions.
const (
	defaultBatch    = 256
	defaultPatience = 2 * time.Minute
	defaultLoadTTL  = 10 * time.Minute
)

// redisStore is the Store in a Redis (see the package comment).
type redisStore struct {
	o      RedisOptions
	name   string // for errors: the URL without a user
	live   string // the key of the live pointer
	client *redis.Client
	budget int64 // bytes of rows that a loader holds
	large  int   // how many owners one script takes; more are staged
}

// openRedis makes the store that a redis:// or rediss:// URL names. It connects to nothing yet.
func openRedis(text string, o Options) (Store, error) {
	fail := func(format string, args ...any) (Store, error) {
		return nil, fmt.Errorf("open online store: "+format, args...)
	}
	u, err := url.Parse(text)
	if err != nil {
		return fail("the URL is malformed: write redis://HOST:PORT/DB") // err repeats the URL, which may hold a password
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "6379"
	}
	db := 0
	if path := strings.Trim(u.Path, "/"); path != "" {
		if db, err = strconv.Atoi(path); err != nil || db < 0 {
			return fail("the URL's path must be the number of a database, as redis://HOST:PORT/0")
		}
	}
	_, password := u.User.Password()
	switch {
	case host == "":
		return fail("the URL names no server: write redis://HOST:PORT/DB")
	case password:
		return fail("a password may not stand in the URL, which is printed: give it as an option")
	case u.RawQuery != "" || u.Fragment != "":
		return fail("the URL of a Redis has no parameters")
	case o.Project == "" || strings.ContainsAny(o.Project, "{}:"):
		return fail("%q is no project name, which all keys begin with", o.Project)
	case o.Redis.Batch < 0 || o.Redis.Batch > 100_000:
		return fail("a batch of %d rows: must have 1 to 100000", o.Redis.Batch)
	}
	if o.Redis.Username == "" {
		o.Redis.Username = u.User.Username()
	}
	var secure *tls.Config
	if u.Scheme == "rediss" {
		if secure, err = tlsConfig(host, o.Redis); err != nil {
			return fail("%w", err)
		}
	} else if o.Redis.CAFile+o.Redis.CertFile+o.Redis.KeyFile != "" {
		return fail("certificates are given, and the connection would not be encrypted: write rediss://")
	}
	s := &redisStore{
		o: o.Redis.withDefaults(), live: "{" + o.Project + "}:live", budget: o.LoadMemory, large: wholeChange,
		name: fmt.Sprintf("%s://%s/%d", u.Scheme, net.JoinHostPort(host, port), db),
	}
	if s.budget <= 0 {
		s.budget = defaultLoadMemory
	}
	logging.Disable() // go-redis would write to stderr what comes back as an error as well
	s.client = redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort(host, port), DB: db, Username: s.o.Username, Password: s.o.Password, TLSConfig: secure, Protocol: 2,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, ContextTimeoutEnabled: true,
		// Neither is needed, and an ACL user may lack the right to them.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	return s, nil
}

func (o RedisOptions) withDefaults() RedisOptions {
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.LoadTTL <= 0 {
		o.LoadTTL = defaultLoadTTL
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func tlsConfig(host string, o RedisOptions) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates of the server's authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate (PEM)", o.CAFile)
		}
	}
	if o.CertFile != "" || o.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate %s and key %s: %w", o.CertFile, o.KeyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Close closes the connections.
func (s *redisStore) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close %s: %w", s, err)
	}
	return nil
}

// String names the store in errors.
func (s *redisStore) String() string { return "online store " + s.name }

// key is that of one part of the store.
func (s *redisStore) key(part string) string { return strings.TrimSuffix(s.live, "live") + part }

// SetFallback writes the switch, or removes it.
func (s *redisStore) SetFallback(ctx context.Context, f *Fallback) error {
	text, err := encodeFallback(f)
	if err != nil {
		return err
	}
	_, err = s.write(ctx, "set the fallback", "fallback", text)
	return err
}

// Fallback reads the switch.
func (s *redisStore) Fallback(ctx context.Context) (*Fallback, error) {
	var text string
	err := s.try(ctx, s.brief(), func() (err error) {
		text, err = s.client.Get(ctx, s.key("fallback")).Result()
		if errors.Is(err, redis.Nil) {
			text, err = "", nil
		}
		return err
	})
	if err != nil || text == "" {
		return nil, s.failed("read the fallback", err)
	}
	f, err := parseFallback([]byte(text))
	if err != nil {
		return nil, s.failed("read the fallback (`rapport online fallback on` or off writes it anew)", err)
	}
	return f, nil
}
