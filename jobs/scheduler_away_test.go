package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

// awayBucket is a bucket that is out of reach for a while.
type awayBucket struct {
	storage.Bucket
	away func() bool
}

func (b awayBucket) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	if b.away() {
		return nil, storage.Info{}, errors.New("connection refused")
	}
	return b.Bucket.Get(ctx, key, r)
}

// An outage of the bucket, at the hour of a night or when it is to be tried again, loses no night: it starts when the bucket is back, unless the next
// has fallen due.
func TestBucketAway(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"03T02:50", "03T05:30", "03T05:30 starts 2026-03-02, 03T05:35 starts 2026-03-02, 04T03:00 starts 2026-03-03"},
		{"03T03:02", "03T05:30", "03T03:00 starts 2026-03-02, 03T05:30 starts 2026-03-02, 04T03:00 starts 2026-03-03"},
		{"03T02:50", "04T05:30", "04T05:30 starts 2026-03-03"},
		{"03T03:02", "04T05:30", "03T03:00 starts 2026-03-02, 04T05:30 starts 2026-03-03"},
	} {
		clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-04T12:00:00Z")
		from, to := when(t, "2026-03-"+c.from+":00Z"), when(t, "2026-03-"+c.to+":00Z")
		b := awayBucket{storage.NewMemory(nil), func() bool { now := clock.Now(); return !now.Before(from) && now.Before(to) }}
		s := newStage(t, clock, b, "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
		s.did = func(label string, try int) (time.Duration, error) {
			if label == "2026-03-02" && try == 1 {
				return 0, errors.New("disk on fire")
			}
			return 0, nil
		}
		if err := s.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := s.said(); got != c.want {
			t.Errorf("away from %s to %s:\n%s\nwant\n%s", c.from, c.to, got, c.want)
		}
	}
}

// A beat whose write hangs holds up neither the schedules nor those who ask how they stand, and ends by itself.
func TestBeatThatHangs(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z")
	hangs := hangingBucket{storage.NewMemory(nil), make(chan context.Context, 1)}
	s := newStage(t, clock, hangs, "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
	ctx, give := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Announce(ctx) }()
	at := <-hangs.at // it hangs now
	if by, ok := at.Deadline(); !ok || time.Until(by) > beatEvery {
		t.Errorf("a beat may take until %v, %t", by, ok)
	}
	answered := make(chan string, 1)
	go func() { answered <- fmt.Sprint(s.State().Beat, s.peers.yields("nightly")) }()
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Error("whoever asks the scheduler waits for the beat")
	}
	give()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the beat: %v", err)
	}
}

// hangingBucket never ends a write.
type hangingBucket struct {
	storage.Bucket
	at chan context.Context
}

func (b hangingBucket) Put(ctx context.Context, _ string, _ storage.Body, _ storage.Cond) (storage.Info, error) {
	select {
	case b.at <- ctx:
	default:
	}
	<-ctx.Done()
	return storage.Info{}, ctx.Err()
}
