package models

import "slices"

// Sample returns d with the share of its subjects that a hash of their numbers picks, the same for every call: a larger share holds a
// smaller one. The catalog and the cuts are those of d. A share of 1 or more is d itself; else it copies the events of the sample.
func (d *Dataset) Sample(share float64) *Dataset {
	if share >= 1 {
		return d
	}
	below := uint64(max(share, 0) * (1 << 53))
	var rows []int
	n := 0
	for s, number := range d.Events.Subjects {
		if spread(number)>>11 < below {
			rows = append(rows, s)
			n += d.Events.Off[s+1] - d.Events.Off[s]
		}
	}
	out := *d
	out.Events = newEventLog(n, d.Events.Context != nil)
	out.Events.Subjects, out.Events.Off = make([]uint64, len(rows)), make([]int, len(rows)+1)
	for k, s := range rows {
		h, at := d.Events.Subject(s), out.Events.Off[k]
		out.Events.Subjects[k], out.Events.Off[k+1] = d.Events.Subjects[s], at+h.Len()
		out.Events.copyFrom(at, h)
	}
	if d.Subjects != nil {
		out.Subjects = d.Subjects.pick(rows)
	}
	return &out
}

// pick returns the given rows.
func (a *Attributes) pick(rows []int) *Attributes {
	out := &Attributes{N: len(rows), Cats: slices.Clone(a.Cats), Nums: slices.Clone(a.Nums)}
	for i := range out.Cats {
		out.Cats[i].Values = picked(a.Cats[i].Values, rows)
	}
	for i := range out.Nums {
		out.Nums[i].Values = picked(a.Nums[i].Values, rows)
	}
	return out
}

func picked[T any](values []T, rows []int) []T {
	out := make([]T, len(rows))
	for k, r := range rows {
		out[k] = values[r]
	}
	return out
}

// spread is the output function of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) after one step: subject numbers may be small and dense.
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
