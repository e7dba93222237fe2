package next

import (
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// Hyper are the hyperparameters. Zero values mean the default.
type Hyper struct {
	HalfLife    time.Duration `json:"half_life"`    // ns; what an event says of the next ones halves with this time; 0: by rule from the data's shape
	Session     time.Duration `json:"session"`      // ns; a longer pause ends a session
	Steps       int           `json:"steps"`        // events that one event looks ahead, and a query looks back, at most
	Neighbours  int           `json:"neighbours"`   // items that may follow an item, at most
	MinSubjects int           `json:"min_subjects"` // items, transitions and pairs of fewer distinct subjects take no part; 0: models.MinSubjects
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{Session: time.Hour, Steps: 50, Neighbours: 100, MinSubjects: models.MinSubjects}
}

// maxSteps bounds the work that one event may cause.
const maxSteps = 1000

// withDefaults fills the zero values, except HalfLife, which needs the data.
func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if h.Session == 0 {
		h.Session = d.Session
	}
	if h.Steps == 0 {
		h.Steps = d.Steps
	}
	if h.Neighbours == 0 {
		h.Neighbours = d.Neighbours
	}
	if h.MinSubjects == 0 {
		h.MinSubjects = d.MinSubjects
	}
	return h
}

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var l models.Limits
	l.Want(h.HalfLife >= 0, "half_life", h.HalfLife, "a positive duration, or 0 for the rule")
	l.Want(h.Session >= 0, "session", h.Session, "a positive duration, or 0 for the default")
	l.Want(h.Steps >= 0 && h.Steps <= maxSteps, "steps", h.Steps, fmt.Sprintf("1 to %d, or 0 for the default", maxSteps))
	l.Want(h.Neighbours >= 0 && h.Neighbours <= math.MaxInt16, "neighbours", h.Neighbours, fmt.Sprintf("1 to %d, or 0 for the default", math.MaxInt16))
	l.Want(h.MinSubjects >= 0, "min_subjects", h.MinSubjects, "1 or more, or 0 for the default")
	return l.Err()
}

// horizon is how many half-lives an event is followed for: what comes later counts less than 2^−horizon.
const horizon = 6

// reach is the horizon in µs.
func (h *Hyper) reach() int64 {
	const most = math.MaxInt64 / horizon
	return horizon * min(int64(h.HalfLife/time.Microsecond), most)
}

// ruleFor is the rule behind HalfLife = 0: eight times the usual pause between two sessions of a subject, in µs (their geometric mean), from an
// hour to a year. So a few visits are remembered, whether people come daily or monthly.
func ruleFor(pause float64) time.Duration {
	const year = 365 * 24 * time.Hour
	pause = min(pause, float64(year/time.Microsecond)) // eight times that is no overflow
	return min(max((8*time.Duration(pause)*time.Microsecond).Round(time.Minute), time.Hour), year)
}
