package storage

import (
	"context"
	"net"
)

// WithDial makes the client connect through dial, whatever the name of the host.
func (o S3) WithDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) S3 {
	o.dial = dial
	return o
}
