package storage

import (
	"context"
	"net"
	"os"
)

// WatchSyncs makes directories durable by sync, until it is called off.
func WatchSyncs(sync func(*os.File) error) (off func()) {
	before := syncFile
	syncFile = sync
	return func() { syncFile = before }
}

// WithDial makes the client connect through dial, whatever the name of the host.
func (o S3) WithDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) S3 {
	o.dial = dial
	return o
}
