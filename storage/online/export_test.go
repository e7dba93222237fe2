package online

import "github.com/cockroachdb/pebble/v2/vfs"

// WithFS returns o with another file system for writes.
func WithFS(o Options, fs vfs.FS) Options {
	o.fs = fs
	return o
}
