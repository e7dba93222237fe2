package models

import "slices"

// Catalogued is an optional power of a Model: which items it was trained on, so that it can be bound where no list of items is at hand.
type Catalogued interface {
	// Items returns the ids of the items that the model tells apart, ascending and distinct; not to be changed.
	Items() []string
}

// KnownItems returns the ids that any of the models tells apart, ascending and distinct.
func KnownItems(ms ...Model) []string {
	var all []string
	for _, m := range ms {
		if c, ok := m.(Catalogued); ok {
			all = append(all, c.Items()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
