package als

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// Hyper are the hyperparameters. Zero values of Dim, Epochs, Weight, Regularization, MinSubjects, Neighbours, Solver, Steps, Block and Ridge mean the
// default; those of Dim and Regularization are chosen by rule, and a trained model states what they were. Weight, Regularization and Exponent are α₀, λ and ν of (Rendle et al. 2022)
//
//	Σ_S c_ui·(ŷ_ui − 1)²  +  α₀·Σ_{U×I} ŷ²  +  λ·(Σ_u #_u^ν·‖w_u‖² + Σ_i #_i^ν·‖h_i‖²),   #_u = |I(u)| + α₀·|I|,  #_i = |U(i)| + α₀·|U|,
//
// in which frequencies count pairs, not confidences. The paper's figures are of ν = 1 and c = 1: Saturation 0, HalfLife 0, events of weight
// 1. There α₀ = .1, λ = .003 and 16 epochs are its choice for ML-20M, α₀ = .3, λ = .007 and 12 for ML-1M; each data set has its own.
type Hyper struct {
	Dim            int           `json:"dim"`                  // d; 0: by rule from the data's shape, a multiple of 16, 64 to 128 where there are as many rows
	Epochs         int           `json:"epochs"`               // passes over subjects and items; 0: 8
	Weight         float64       `json:"weight"`               // α₀, the weight of every pair, seen or not; 0: 0.1
	Regularization float64       `json:"regularization"`       // λ; 0: by rule from the data's shape (ruleFor)
	Exponent       float64       `json:"exponent"`             // ν: 0 regularizes all rows alike, 1 in proportion to their frequency
	HalfLife       time.Duration `json:"half_life"`            // ns; an event's confidence halves with this age; 0: never
	Saturation     float64       `json:"saturation"`           // m of c = m·ln(1 + s/m); 0: c = s
	MinSubjects    int           `json:"min_subjects"`         // items of fewer distinct subjects take no part, and no related list names a pair of fewer; 0: models.MinSubjects
	Neighbours     int           `json:"neighbours,omitempty"` // items that a related list may name beside an item of the training, at most; 0: 100
	Solver         string        `json:"solver,omitempty"`     // auto, cholesky, cg or blocks: how a row is solved (plan.go); "": auto
	Steps          int           `json:"steps,omitempty"`      // of conjugate gradients a row and epoch at most, but in the first epoch 10; 0: 3
	Block          int           `json:"block,omitempty"`      // elements of a row that solver blocks sets at a time, a multiple of 16; 0: 32
	Patience       int           `json:"patience,omitempty"`   // training stops after as many epochs without improvement (stop.go); 0: it never stops early
	WarmStart      bool          `json:"warm_start,omitempty"` // training goes on from the model that was live before (warm.go, jobs); false: from drawn vectors
	Attributes     string        `json:"attributes,omitempty"` // auto, cold, true, bias or false: what they are used for (attributes.go); "": auto
	Ridge          float64       `json:"ridge,omitempty"`      // κ, what a level of an attribute must outweigh, in rows; 0: 10
}

// Defaults returns the hyperparameters that a project starts with: Rendle et al.'s middle of the grid for α₀, frequency-scaled
// regularization as strong as the data's noise wants it, no decay, and repeats that saturate.
func Defaults() Hyper {
	return Hyper{Epochs: 8, Weight: 0.1, Exponent: 1, Saturation: 4, MinSubjects: models.MinSubjects}
}

// maxDim bounds the memory and time of one row's solve.
const maxDim = 1024

// withDefaults fills the zero values, except Dim and Regularization, which need the data (resolve).
func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if h.Epochs == 0 {
		h.Epochs = d.Epochs
	}
	if h.Weight == 0 {
		h.Weight = d.Weight
	}
	if h.MinSubjects == 0 {
		h.MinSubjects = d.MinSubjects
	}
	if h.Neighbours == 0 {
		h.Neighbours = 100
	}
	if h.Solver == "" {
		h.Solver = autoSolver
	}
	if h.Steps == 0 {
		h.Steps = 3
	}
	if h.Block == 0 {
		h.Block = 32
	}
	if h.Attributes == "" {
		h.Attributes = autoAttributes
	}
	return h
}

// resolve fills what the data decide: d, λ, and what attributes are used for.
func (h *Hyper) resolve(d *models.Dataset, p *pairs) {
	if h.Dim == 0 {
		h.Dim = dimFor(len(p.bySubj.col), p.subjects, len(p.items))
	}
	if h.Regularization == 0 {
		h.Regularization = h.ruleFor(p)
	}
	h.resolveAttributes(d, p)
}

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var l models.Limits
	l.Want(h.Dim >= 0 && h.Dim <= maxDim, "dim", h.Dim, fmt.Sprintf("1 to %d, or 0 for the rule", maxDim))
	l.Want(h.Epochs >= 0 && h.Epochs <= 1000, "epochs", h.Epochs, "1 to 1000, or 0 for the default")
	l.Want(h.Weight >= 0 && h.Weight <= 1e6, "weight", h.Weight, "a positive number up to 1e6, or 0 for the default")
	l.Want(h.Regularization >= 0 && h.Regularization <= 1e6, "regularization", h.Regularization, "a positive number up to 1e6, or 0 for the rule")
	l.Want(h.Exponent >= 0 && h.Exponent <= 2, "exponent", h.Exponent, "0 to 2")
	l.Want(h.HalfLife >= 0, "half_life", h.HalfLife, "a positive duration, or 0 for no decay")
	l.Want(h.Saturation >= 0 && !math.IsInf(h.Saturation, 1), "saturation", h.Saturation, "a positive number, or 0 for none")
	l.Want(h.MinSubjects >= 0, "min_subjects", h.MinSubjects, "1 or more, or 0 for the default")
	l.Want(h.Neighbours >= 0 && h.Neighbours <= math.MaxInt16, "neighbours", h.Neighbours, fmt.Sprintf("1 to %d, or 0 for the default", math.MaxInt16))
	l.Want(slices.Contains([]string{"", autoSolver, choleskySolver, cgSolver, blockSolver}, h.Solver), "solver", h.Solver, "auto, cholesky, cg or blocks")
	l.Want(h.Steps >= 0 && h.Steps <= 100, "steps", h.Steps, "1 to 100, or 0 for the default")
	l.Want(h.Patience >= 0 && h.Patience <= 1000, "patience", h.Patience, "1 to 1000, or 0 to make all epochs")
	l.Want(h.Block >= 0 && h.Block <= maxDim && h.Block%16 == 0, "block", h.Block, fmt.Sprintf("a multiple of 16 up to %d, or 0 for the default", maxDim))
	l.Want(slices.Contains([]string{"", noAttributes, allAttributes, autoAttributes, biasAttributes, coldAttributes}, h.Attributes), "attributes", h.Attributes, "auto, cold, true, bias or false")
	l.Want(h.Ridge >= 0 && h.Ridge <= 1e9, "ridge", h.Ridge, "a positive number up to 1e9, or 0 for the default")
	return l.Err()
}

// dimFor is the rule behind Dim = 0: two thirds of the mean number of pairs a row, as a multiple of 16 in [64, 128], but not more than the
// smaller side has rows. Fewer dimensions would regularize small data too; λ does that without a limit to how many tastes there are.
// 64 results for MovieLens-1M, 80 for MovieLens-20M.
func dimFor(pairs, subjects, items int) int {
	perRow := pairs / max(subjects+items, 1)
	most := 16 * max((min(subjects, items)+15)/16, 1)
	return min(max(16*(perRow/24), 64), 128, most)
}

// noiseShare is τ over the noise of the pairs' matrix, in ruleFor.
const noiseShare = 0.35

// ruleFor is the rule behind Regularization = 0. Only the product of both sides' regularizers matters, as a factor can move from one side's
// vectors to the other's: with τ² = λ#_u^ν·λ#_i^ν, the penalty of a product W·Hᵀ is 2τ times the sum of its singular values, so a direction has to
// exceed τ to be learned at all. A matrix of as many pairs without any structure has singular values up to about √(pairs/subjects) + √(pairs/items),
// and τ is a fixed share of that, whatever ν is:
//
//	λ = 0.35·(√(pairs/subjects) + √(pairs/items)) / √(mean #_u^ν · mean #_i^ν)
//
// With ν = 1 it falls as rows and pairs grow: 0.045 for 27,000 pairs of 1,000 subjects and 400 items, 0.015 for MovieLens-1M, 0.002 for
// MovieLens-20M, where Rendle et al. found 0.003.
func (h *Hyper) ruleFor(p *pairs) float64 {
	n, subjects, items := float64(max(len(p.bySubj.col), 1)), float64(max(p.subjects, 1)), float64(max(len(p.items), 1))
	unit := *h
	unit.Regularization = 1
	noise := math.Sqrt(n/subjects) + math.Sqrt(n/items)
	return noiseShare * noise / math.Sqrt(unit.meanShrink(&p.bySubj, len(p.items))*unit.meanShrink(&p.byItem, p.subjects))
}

// meanShrink is the mean of shrink over a side's rows; of none, as if there were one pair.
func (h *Hyper) meanShrink(s *sparse, others int) float64 {
	if s.rows() == 0 {
		return h.shrink(1, 1)
	}
	var sum float64
	for r := range s.rows() {
		sum += h.shrink(s.off[r+1]-s.off[r], others)
	}
	return sum / float64(s.rows())
}

// confidence turns the decayed sum of a pair's event weights into c.
func (h *Hyper) confidence(s float64) float32 {
	if h.Saturation > 0 {
		s = h.Saturation * math.Log1p(s/h.Saturation)
	}
	return float32(s)
}

// shrink is λ·#^ν for a row of n pairs, the other side having `others` rows.
func (h *Hyper) shrink(n, others int) float64 {
	return h.Regularization * math.Pow(float64(n)+h.Weight*float64(others), h.Exponent)
}
