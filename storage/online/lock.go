package online

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds between which a waiting locker's polls lie.
const (
	firstPoll = time.Millisecond
	lastPoll  = 20 * time.Millisecond
)

// tryLock takes the exclusive lock on the file (made if absent) unless somebody, of this process or another, holds it.
// The kernel releases the lock of a process that dies. Releasing leaves the file where it is.
func tryLock(path string) (release func(), ok bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("lock %s (the online store needs a local file system): %w", path, err)
	}
	return func() { f.Close() }, true, nil
}

// lock waits for the lock on the file until ctx is done.
func lock(ctx context.Context, path string) (release func(), err error) {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		release, ok, err := tryLock(path)
		if err != nil || ok {
			return release, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("wait for %s, which another process holds: %w", path, ctx.Err())
		case <-timer.C:
		}
	}
}
