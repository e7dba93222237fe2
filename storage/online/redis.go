package online

import (
	"context"
	"time"
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
	// Patience is how long a load waits for a server that is away, and any other call tries to reach it; 0 is 2 minutes for a load, 5 seconds for a call.
	Patience time.Duration
	// Sleep waits between two tries; nil is a timer. Tests do not wait.
	Sleep func(ctx context.Context, d time.Duration) error
}
