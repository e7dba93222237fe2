package policy

import (
	"cmp"
	"fmt"
)

// HoldShare is the share of admitted subjects that an import of consent may deny, explicit withdrawals aside, before it is held; a project may name
// another. HoldFloor is how many it must deny at least: among few people a handful is more than any share, and is people. So few are held only if they
// are more than half of all who were admitted, as in a feed that has become empty.
const (
	HoldShare = 0.05
	HoldFloor = 11
)

// Hold is the verdict on an import of consent records.
type Hold struct {
	Held     bool    `json:"held"`
	Before   int     `json:"before"`          // subjects admitted before
	Withdrew int     `json:"withdrew"`        // of these, how many said no themselves (refused, withdrawn, revoked) or were erased
	Lost     int     `json:"lost"`            // of these, how many would be denied for any other reason
	Share    float64 `json:"share,omitempty"` // the share above which it is held; 0: HoldShare
}

// HoldsImport compares the decisions for one purpose and one now without and with an import. The import is held if it would deny more
// than a share (0: HoldShare) of the subjects admitted before, and HoldFloor of them or more than half, other than by their explicit withdrawal: a truncated
// file or a renamed state looks like that, people do not. Withdrawals of a held import still take effect (see Withdrawals). O(n).
func HoldsImport(before, after *Decisions, share float64) Hold {
	h := Hold{Share: share}
	for s, v := range before.known.all() {
		if v.Denied() {
			continue
		}
		h.Before++
		now, ok := after.known.of(s)
		if !ok {
			now = verdict{Decision: after.ground, erased: ever}
		}
		switch {
		case !now.Denied():
		case now.withdrew || now.Why == Erased:
			h.Withdrew++
		default:
			h.Lost++
		}
	}
	h.Held = float64(h.Lost) > h.share()*float64(h.Before) && (h.Lost >= HoldFloor || 2*h.Lost > h.Before)
	return h
}

func (h Hold) share() float64 { return cmp.Or(h.Share, HoldShare) }

// String says what happened and, if the import is held, what to do.
func (h Hold) String() string {
	s := fmt.Sprintf("of %d subjects admitted before, %d withdrew and %d would be denied otherwise", h.Before, h.Withdrew, h.Lost)
	if h.Held {
		s += fmt.Sprintf(": the import is held, since that is more than %g %%; explicit withdrawals take effect now; check the file for missing rows and renamed states, then import it again, or take it as it is: rapport consent accept --why TEXT",
			100*h.share())
	}
	return s
}
