package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of what a record that somebody sends may say of times.
const (
	Ahead   = 10 * 365 * 24 * time.Hour // how far in the future a record may take effect
	Askew   = 5 * time.Minute           // by which another clock may be ahead of ours: a sender's, or that of the machine that recorded something
	lastDay = 2200                      // a year from which on a time is taken for one in another unit
)

// Arrived is the record as it is known from now on: one that is here is recorded, though the clock of who sent it be ahead by what Check lets pass.
func (r Record) Arrived(now time.Time) Record {
	if r.Recorded.After(now) && !r.Recorded.After(now.Add(Askew)) {
		r.Recorded = now
	}
	return r
}

// States are the states that a record may be in.
var States = []State{
	ConsentGiven, RenewedConsentGiven, Requested, RequestDeferred, ConsentRefused, Withdrawn, Revoked, ConsentExpired, Invalidated, Unknown,
}

// Check refuses a record that cannot be what its sender meant, who is there to be asked: a state or purpose that is none, a time in another unit or of a clock
// that is ahead, a grant that ends before it begins. No error names the subject. Records of a feed, where nobody is asked, are read in the most careful way instead.
func (r Record) Check(now time.Time) error {
	switch {
	case !ValidName(r.Purpose):
		return errors.New("purpose is no purpose name")
	case !r.State.Known():
		return fmt.Errorf("state is not known: want one of %s", stateNames())
	case r.Effective.IsZero():
		return errors.New("effective_at is missing")
	case r.Effective.After(now.Add(Ahead)):
		return errors.New("effective_at is more than ten years ahead: is it in another unit?")
	case r.Recorded.After(now.Add(Askew)):
		return errors.New("recorded_at is in the future: what is recorded then is not known now")
	case r.State.Valid() && !r.Expires.IsZero() && !r.Expires.After(r.Effective):
		return errors.New("expires_at is not after effective_at: it would never grant anything")
	}
	return r.CheckUnits()
}

// CheckUnits refuses times of a record that can only be in another unit than they were read in. Expiries may be in any future: people write 9999 for never.
func (r Record) CheckUnits() error {
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"effective_at", r.Effective}, {"recorded_at", r.Recorded}} {
		if t.at.Year() >= lastDay {
			return fmt.Errorf("%s is in the year %d: is it in another unit?", t.name, t.at.Year())
		}
	}
	return nil
}

func stateNames() string {
	var out []string
	for _, s := range States {
		out = append(out, string(s))
	}
	return strings.Join(out, ", ")
}
