package policy

import "fmt"

// HoldShare is the share of admitted subjects that an import of consent may deny, explicit withdrawals aside, before it is held.
const HoldShare = 0.05

// Hold is the verdict on an import of consent records.
type Hold struct {
	Held     bool `json:"held"`
	Before   int  `json:"before"`   // subjects admitted before
	Withdrew int  `json:"withdrew"` // of these, how many said no themselves (refused, withdrawn, revoked) or were erased
	Lost     int  `json:"lost"`     // of these, how many would be denied for any other reason
}

// HoldsImport compares the decisions for one purpose and one now without and with an import. The import is held if it would deny more
// than HoldShare of the subjects admitted before, other than by their explicit withdrawal: a truncated file or a renamed state looks
// like that, people do not. Withdrawals of a held import still take effect (see Withdrawals). O(n).
func HoldsImport(before, after *Decisions) Hold {
	var h Hold
	for s, v := range before.of {
		if v.Denied() {
			continue
		}
		h.Before++
		now, ok := after.of[s]
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
	h.Held = float64(h.Lost) > HoldShare*float64(h.Before)
	return h
}

// String says what happened and, if the import is held, what to do.
func (h Hold) String() string {
	s := fmt.Sprintf("of %d subjects admitted before, %d withdrew and %d would be denied otherwise", h.Before, h.Withdrew, h.Lost)
	if h.Held {
		s += fmt.Sprintf(": the import is held, since that is more than %g %%; explicit withdrawals take effect now; check the file for missing rows and renamed states, then import it again",
			100*HoldShare)
	}
	return s
}
