package ease

import (
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// Hyper are the hyperparameters. Zero values of Values, Regularization, Items, Neighbours and MinSubjects mean the default.
type Hyper struct {
	Values         string        `json:"values"`         // what a pair counts: binary or confidence
	Regularization float64       `json:"regularization"` // λ; 0: by rule from the data's shape
	HalfLife       time.Duration `json:"half_life"`      // ns; an event's value halves with this age; 0: never
	Saturation     float64       `json:"saturation"`     // of confidence, m of x = m·ln(1 + s/m); 0: x = s
	Items          int           `json:"items"`          // most popular items that are inverted together: 4·items² bytes
	Neighbours     int           `json:"neighbours"`     // items that may speak for an item, at most
	MinSubjects    int           `json:"min_subjects"`   // items, and pairs of items, of fewer distinct subjects take no part; 0: models.MinSubjects
}

// What a pair of a subject and an item counts.
const (
	Binary     = "binary"     // 1, decayed to the latest event
	Confidence = "confidence" // the decayed sum of the events' weights, saturated
)

// maxItems bounds the dense part: 4 GiB.
const maxItems = 1 << 15

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{Values: Binary, Saturation: 4, Items: 10_000, Neighbours: 200, MinSubjects: models.MinSubjects}
}

// withDefaults fills the zero values, except Regularization, which needs the data.
func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if h.Values == "" {
		h.Values = d.Values
	}
	if h.Items == 0 {
		h.Items = d.Items
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
	l.Want(h.Values == "" || h.Values == Binary || h.Values == Confidence, "values", h.Values, Binary+" or "+Confidence)
	l.Want(h.Regularization >= 0 && h.Regularization <= 1e9, "regularization", h.Regularization, "a positive number up to 1e9, or 0 for the rule")
	l.Want(h.HalfLife >= 0, "half_life", h.HalfLife, "a positive duration, or 0 for no decay")
	l.Want(h.Saturation >= 0 && !math.IsInf(h.Saturation, 1), "saturation", h.Saturation, "a positive number, or 0 for none")
	l.Want(h.Items >= 0 && h.Items <= maxItems, "items", h.Items, fmt.Sprintf("1 to %d, or 0 for the default", maxItems))
	l.Want(h.Neighbours >= 0 && h.Neighbours <= maxItems, "neighbours", h.Neighbours, fmt.Sprintf("1 to %d, or 0 for the default", maxItems))
	l.Want(h.MinSubjects >= 0, "min_subjects", h.MinSubjects, "1 or more, or 0 for the default")
	return l.Err()
}

// ruleFor is the rule behind Regularization = 0: λ = 20·√m, m the mean of Σ_u x_ui² over the items of the core. The noise of an entry of
// XᵀX grows with the root of what it counts, and λ must drown it. It gives 450 at the shape of MovieLens-20M and 270 at that of MovieLens-1M;
// published optima are of that order.
func ruleFor(mean float64) float64 { return 20 * math.Sqrt(math.Max(mean, 1)) }

// add adds one event of weight w and age µs to a pair's sum.
func (h *Hyper) add(sum, w float64, age int64) float64 {
	if h.Values == Binary {
		return math.Max(sum, models.Decay(age, h.HalfLife))
	}
	return sum + w*models.Decay(age, h.HalfLife)
}

// value turns a pair's sum into x.
func (h *Hyper) value(sum float64) float32 {
	if h.Values == Confidence && h.Saturation > 0 {
		sum = h.Saturation * math.Log1p(sum/h.Saturation)
	}
	return float32(sum)
}

// counts reports whether every pair counts 1, so that sums of products are counts of subjects.
func (h *Hyper) counts() bool { return h.Values == Binary && h.HalfLife == 0 }
