package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models/lists"
)

// Items is what is known of a task's items beside their scores. What is missing is not measured. Slices have one entry an item of the catalog.
type Items struct {
	Cold     []bool       // without an event in the training window
	Had      []int32      // how many subjects of the training window had the item: by it novelty and popularity are measured
	Subjects int          // of the training window
	Measure  *lists.Stage // what diversity and calibration are measured by; its rules move nothing here

	Providers []ItemLevels // whose exposure is measured
	Content   []ItemGroup  // whose share of places is measured, by cohort too
	Price     *ItemNumber  // whose median is measured on each list, by cohort too
}

// ItemLevels divides items by one attribute.
type ItemLevels struct {
	Name   string
	Levels []string
	Of     []int32 // a level an item; −1 is Missing
}

// ItemGroup is a named set of items.
type ItemGroup struct {
	Name string
	In   []bool
}

// ItemNumber is a number of each item; NaN is missing.
type ItemNumber struct {
	Name string
	Of   []float64
}

// check reports every fault, for a catalog of n items.
func (x *Items) check(n int) (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	length := func(what string, got int) {
		if got != n {
			fault("%s of %d items for a catalog of %d", what, got, n)
		}
	}
	if x.Cold != nil {
		length("cold", len(x.Cold))
	}
	if x.Had != nil {
		length("numbers of subjects", len(x.Had))
		if x.Subjects < 1 || int(slices.Max(x.Had)) > x.Subjects || slices.Min(x.Had) < 0 {
			fault("an item was had by more than all %d subjects of the training window, or by fewer than none", x.Subjects)
		}
	}
	names := map[string]bool{}
	for _, p := range x.Providers {
		length("groups by "+p.Name, len(p.Of))
		if len(p.Of) > 0 && (slices.Min(p.Of) < -1 || int(slices.Max(p.Of)) >= len(p.Levels)) {
			fault("items by %s: a level outside −1 to %d", p.Name, len(p.Levels)-1)
		}
		if len(p.Levels) > maxProviders {
			fault("items by %s: %d levels, want at most %d", p.Name, len(p.Levels), maxProviders)
		}
		if names[p.Name] || slices.Contains(p.Levels, Missing) {
			fault("items by %s are declared twice, or have a level named %q, which is reserved", p.Name, Missing)
		}
		names[p.Name] = true
	}
	names = map[string]bool{}
	for _, g := range x.Content {
		length("the group "+g.Name, len(g.In))
		if names[g.Name] {
			fault("the group of items %q is declared twice", g.Name)
		}
		names[g.Name] = true
	}
	if x.Price != nil {
		length(x.Price.Name, len(x.Price.Of))
		if names[x.Price.Name] {
			fault("%q is a group of items and a number", x.Price.Name)
		}
	}
	return faults
}

// maxProviders bounds the levels of one attribute by which exposure is measured. Providers makes attributes of more fit.
const maxProviders = 30

// Other is the level of items whose level is too rare to be shown by itself.
const Other = "other"

// Providers divides items by an attribute (level an item, −1: none) for Items.Providers. Of more levels than are shown, those that the most subjects
// had (had[i], ties: the first) stay, and the rest is Other.
func Providers(name string, levels []string, of, had []int32) ItemLevels {
	out := ItemLevels{Name: name, Levels: levels, Of: of}
	if len(levels) <= maxProviders {
		return out
	}
	weight := make([]int64, len(levels))
	for i, l := range of {
		if l >= 0 {
			weight[l] += int64(had[i])
		}
	}
	order := make([]int32, len(levels))
	for l := range order {
		order[l] = int32(l)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(weight[b], weight[a]) })
	kept := slices.Clone(order[:maxProviders-1])
	slices.Sort(kept) // levels stand in their own order
	to := make([]int32, len(levels))
	for l := range to {
		to[l] = int32(len(kept))
	}
	out.Levels = nil
	for at, l := range kept {
		to[l] = int32(at)
		out.Levels = append(out.Levels, levels[l])
	}
	if at := slices.Index(out.Levels, Other); at >= 0 { // a level of that very name joins the rest
		out.Levels = slices.Delete(out.Levels, at, at+1)
		for l := range to {
			switch {
			case int(to[l]) == at:
				to[l] = int32(len(out.Levels))
			case int(to[l]) > at:
				to[l]--
			}
		}
	}
	out.Levels = append(out.Levels, Other)
	out.Of = make([]int32, len(of))
	for i, l := range of {
		out.Of[i] = -1
		if l >= 0 {
			out.Of[i] = to[l]
		}
	}
	return out
}

// rarity is −log₂ of the share of subjects who had each item, which is taken for at least one subject's.
func (x *Items) rarity() []float64 {
	if x.Had == nil {
		return nil
	}
	out := make([]float64, len(x.Had))
	for i, n := range x.Had {
		out[i] = -math.Log2(float64(max(n, 1)) / float64(x.Subjects))
	}
	return out
}

// standing is, for each item, the share of the catalog that fewer subjects had, where those as many had count half.
func (x *Items) standing() []float64 {
	if x.Had == nil {
		return nil
	}
	sorted := slices.Clone(x.Had)
	slices.Sort(sorted)
	out := make([]float64, len(x.Had))
	for i, n := range x.Had {
		below, _ := slices.BinarySearch(sorted, n)
		upto, _ := slices.BinarySearch(sorted, n+1)
		out[i] = float64(below+upto) / 2 / float64(len(sorted))
	}
	return out
}
