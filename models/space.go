package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Space declares which hyperparameters of an algorithm are worth a search, and where. It stands beside the algorithm's Hyper, whose JSON
// names it uses. What is not in it keeps its value.
type Space []Range

// Range is one hyperparameter of a Space. A Low of a logarithmic range is above 0.
type Range struct {
	Name      string // as in the JSON of Hyper
	Low, High float64
	Log       bool    // as much between 1 and 2 as between 10 and 20
	Step      float64 // values are whole multiples of it; 0: any, at two significant digits
	Days      bool    // Low and High are days, and the hyperparameter is a time.Duration
	Zero      float64 // the share of the range that stands for 0, where 0 means that the thing is off
}

// Values are hyperparameters by their JSON names. A duration is in days.
type Values map[string]float64

// At maps a point of the unit cube, one coordinate a range, to values.
func (s Space) At(u []float64) Values {
	v := Values{}
	for i, r := range s {
		v[r.Name] = r.at(u[i])
	}
	return v
}

func (r Range) at(u float64) float64 {
	if u < r.Zero {
		return 0
	}
	u = (u - r.Zero) / (1 - r.Zero)
	x := r.Low + u*(r.High-r.Low)
	if r.Log {
		x = r.Low * math.Pow(r.High/r.Low, u)
	}
	if r.Step > 0 {
		return min(max(r.Step*math.Round(x/r.Step), r.Low), r.High)
	}
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 2, 64), 64) // what a person would write
	return x
}

// Validate reports what is wrong with the declaration, for hyperparameters of the type of h.
func (s Space) Validate(h any) error {
	fields, err := fieldsOf(h)
	if err != nil {
		return err
	}
	for _, r := range s {
		switch {
		case fields[r.Name] == nil:
			return fmt.Errorf("search space: %T has no %q", h, r.Name)
		case !(r.Low < r.High) || r.Log && r.Low <= 0 || r.Zero < 0 || r.Zero >= 1 || r.Step < 0:
			return fmt.Errorf("search space: %s has no range: %+v", r.Name, r)
		}
	}
	return nil
}

// Of returns the values that h has of the space.
func (s Space) Of(h any) (Values, error) {
	fields, err := fieldsOf(h)
	if err != nil {
		return nil, err
	}
	v := Values{}
	for _, r := range s {
		var x float64
		if err := json.Unmarshal(fields[r.Name], &x); err != nil {
			return nil, fmt.Errorf("search space: %s of %T: %w", r.Name, h, err)
		}
		if r.Days {
			x /= float64(24 * time.Hour)
		}
		v[r.Name] = x
	}
	return v, nil
}

func fieldsOf(h any) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	return fields, json.Unmarshal(b, &fields)
}

// Set returns h with the values of v, each of which must be in s.
func Set[H any](h H, s Space, v Values) (H, error) {
	fields, err := fieldsOf(h)
	if err != nil {
		return h, err
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		i := slices.IndexFunc(s, func(r Range) bool { return r.Name == name })
		if i < 0 || fields[name] == nil {
			return h, fmt.Errorf("set hyperparameters: %T has no %q to be searched", h, name)
		}
		x := v[name]
		if s[i].Days {
			x = math.Round(x * float64(24*time.Hour))
		}
		fields[name] = json.RawMessage(strconv.FormatFloat(x, 'f', -1, 64))
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return h, err
	}
	var out H
	if err := json.Unmarshal(b, &out); err != nil {
		return h, fmt.Errorf("set hyperparameters: %w", err)
	}
	return out, nil
}

// Text writes a value of the space as it stands in a project file: 64, 0.003, 90d, 6h.
func (s Space) Text(name string, x float64) string {
	unit := ""
	if slices.ContainsFunc(s, func(r Range) bool { return r.Name == name && r.Days }) && x > 0 {
		unit = "d"
		if hours := math.Round(24 * x); x < 1 && math.Abs(24*x-hours) < 1e-9 {
			x, unit = hours, "h"
		}
	}
	return strconv.FormatFloat(x, 'f', -1, 64) + unit
}

// String writes v in the order of the space, as {dim: 64, half_life: 90d}.
func (s Space) String(v Values) string {
	var parts []string
	for _, r := range s {
		if x, ok := v[r.Name]; ok {
			parts = append(parts, r.Name+": "+s.Text(r.Name, x))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
