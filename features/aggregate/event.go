package aggregate

import "sort"

// Event is one event in a timed state: when it was (µs since 1970), and the value that it had.
type Event[V any] struct {
	Time  int64
	Value V
}

// since returns the position of the first event at or after from; events ascend in time. The newest are looked at first, for most events come in order.
func since[V any](events []Event[V], from int64) int {
	n := len(events)
	if n == 0 || events[n-1].Time < from {
		return n
	}
	return sort.Search(n, func(i int) bool { return events[i].Time >= from })
}
