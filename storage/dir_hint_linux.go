package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWrite has the kernel begin to write some bytes of a file to the disk, and does not wait. It makes nothing durable: a sync that follows has less to wait for.
func beginWrite(f *os.File, from, n int64) {
	if n > 0 { // 0 means all that follow
		_ = unix.SyncFileRange(int(f.Fd()), from, n, unix.SYNC_FILE_RANGE_WRITE) // a hint: not all file systems take it
	}
}
