package main

import (
	"time"

	"github.com/rapport-ml/rapport/features"
)

const dayLong = 24 * time.Hour

// oneView is task (a): one view with one window and three aggregates by subject.
func oneView(longest time.Duration) []features.View {
	return []features.View{{Name: "subject_90d", Key: features.KeySubject, Windows: []time.Duration{longest}, Features: []features.Feature{
		{Name: "events", Op: features.Count},
		{Name: "highest", Op: features.Max, Column: "value"},
		{Name: "spent", Op: features.Sum, Column: "value"},
	}}}
}

// sixViews is task (b): six views with four windows, three by subject and three by item.
func sixViews(windows []time.Duration) []features.View {
	buys := []string{"buy"}
	return []features.View{
		{Name: "activity", Key: features.KeySubject, Windows: windows, Features: []features.Feature{
			{Name: "buys", Op: features.Count, Kinds: buys},
			{Name: "events", Op: features.Count},
		}},
		{Name: "spend", Key: features.KeySubject, Windows: windows, Features: []features.Feature{
			{Name: "average", Op: features.Mean, Column: "value"},
			{Name: "highest", Op: features.Max, Column: "value"},
			{Name: "total", Op: features.Sum, Column: "value"},
		}},
		{Name: "taste", Key: features.KeySubject, Windows: windows, Features: []features.Feature{
			{Name: "buying", Op: features.ShareOf, Share: buys},
			{Name: "items", Op: features.Distinct, Column: "item"},
		}},
		{Name: "demand", Key: features.KeyItem, Windows: windows, Features: []features.Feature{
			{Name: "buys", Op: features.Count, Kinds: buys},
			{Name: "events", Op: features.Count},
		}},
		{Name: "revenue", Key: features.KeyItem, Windows: windows, Features: []features.Feature{
			{Name: "average", Op: features.Mean, Column: "value", Kinds: buys},
			{Name: "total", Op: features.Sum, Column: "value", Kinds: buys},
		}},
		{Name: "audience", Key: features.KeyItem, Windows: windows, Features: []features.Feature{
			{Name: "conversion", Op: features.ShareOf, Share: buys},
			{Name: "subjects", Op: features.Distinct, Column: "subject"},
		}},
	}
}

// nightViews are the views of task (b) without exact distinct counts: those keep a time for each value that an entity met, so that their state is
// as large as its history, and going on from it saves little. What stands in their place is computed from a few numbers.
func nightViews(windows []time.Duration) []features.View {
	views := sixViews(windows)
	for i := range views {
		fs := views[i].Features
		for k := range fs {
			if fs[k].Op == features.Distinct {
				fs[k] = features.Feature{Name: "recent", Op: features.Decayed, HalfLife: 7 * dayLong}
			}
		}
		views[i].Features = features.Sorted(fs)
	}
	return views
}

// windowsOf are the four windows of task (b), as far as n days of events reach.
func windowsOf(n int) []time.Duration {
	var out []time.Duration
	for _, d := range []int{1, 7, 28, days} {
		if d >= n {
			return append(out, time.Duration(n)*dayLong)
		}
		out = append(out, time.Duration(d)*dayLong)
	}
	return out
}
