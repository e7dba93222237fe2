package online

import (
	"context"
	"fmt"
	"strings"
)

// Open opens the online store that url names:
//
//	embedded:PATH                    a folder on a local file system
//	redis://[USER@]HOST[:PORT][/DB]  a Redis server; rediss:// is the same over TLS
//
// It reaches nothing yet: a server that is down is an error of the first call.
func Open(ctx context.Context, url string, o Options) (Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case scheme == "embedded" && rest != "":
		return OpenEmbedded(rest, o)
	case scheme == "redis" || scheme == "rediss":
		return openRedis(url, o)
	case scheme == "embedded":
		return nil, fmt.Errorf("open online store: %q names no folder: write embedded:PATH", url)
	}
	// The rest of the URL may hold a password.
	return nil, fmt.Errorf("open online store: unknown scheme %q: there are embedded:PATH, redis://HOST:PORT/DB and rediss://HOST:PORT/DB", scheme)
}
