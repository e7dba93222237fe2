package rerank

import (
	"errors"
	"fmt"
)

// Hyper are the hyperparameters. Zero values mean the default, but for Dropout and Context.
type Hyper struct {
	Hidden    []int   `json:"hidden"`    // units of the two hidden layers
	Bound     float64 `json:"bound"`     // largest correction, as a share of the candidate's blend score (or of the twentieth's, if that is higher)
	Epochs    int     `json:"epochs"`    // at most; held-out questions stop it earlier
	Rate      float64 `json:"rate"`      // Adam's learning rate
	Dropout   float64 `json:"dropout"`   // share of the first hidden layer's units that a training step leaves out
	Questions int     `json:"questions"` // asked of the re-ranker's window, and of the validation window, at most
	Context   bool    `json:"context"`   // read the circumstances of the request: device, channel, daypart, weekday
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{Hidden: []int{32, 16}, Bound: 0.5, Epochs: 10, Rate: 0.003, Dropout: 0.1, Questions: 2000, Context: true}
}

// Bounds of what is trained and read: what is kept of a question takes about 100 bytes a candidate.
const (
	maxHidden    = 512
	maxQuestions = 20000
)

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(h.Hidden) != 0 && len(h.Hidden) != 2 {
		fault("hidden has %d layers, want the units of two, as [32, 16]", len(h.Hidden))
	}
	for _, n := range h.Hidden {
		if n < 1 || n > maxHidden {
			fault("hidden has a layer of %d units, want 1 to %d", n, maxHidden)
		}
	}
	if !(h.Bound >= 0 && h.Bound <= maxBound) {
		fault("bound is %v, want a share of a candidate's score, above 0 and at most %v, or 0 for the default", h.Bound, maxBound)
	}
	if h.Epochs < 0 || h.Epochs > 1000 {
		fault("epochs is %d, want 1 to 1000, or 0 for the default", h.Epochs)
	}
	if !(h.Rate >= 0 && h.Rate <= 1) {
		fault("rate is %v, want above 0 and at most 1, or 0 for the default", h.Rate)
	}
	if !(h.Dropout >= 0 && h.Dropout < 1) {
		fault("dropout is %v, want 0 or more and less than 1", h.Dropout)
	}
	if h.Questions < 0 || h.Questions > maxQuestions {
		fault("questions is %d, want 1 to %d, or 0 for the default", h.Questions, maxQuestions)
	}
	return errors.Join(errs...)
}

func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if len(h.Hidden) == 0 {
		h.Hidden = d.Hidden
	}
	if h.Bound == 0 {
		h.Bound = d.Bound
	}
	if h.Epochs == 0 {
		h.Epochs = d.Epochs
	}
	if h.Rate == 0 {
		h.Rate = d.Rate
	}
	if h.Questions == 0 {
		h.Questions = d.Questions
	}
	return h
}
