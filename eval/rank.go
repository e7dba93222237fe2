package eval

import (
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// allows reports whether item i may stand in q's list.
func allows(q *models.Query, i int32) bool {
	return !contains(q.Exclude, i) && (q.Candidates == nil || contains(q.Candidates, i))
}

// contains reports whether the ascending row holds i.
func contains(row []int32, i int32) bool {
	_, found := slices.BinarySearch(row, i)
	return found
}
