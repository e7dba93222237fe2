package models

import (
	"math"
	"time"
)

// Decay returns 2^(−age/halfLife), the weight of an event of that age in µs: 1 for a new event and for one of the future, ½ after one
// half-life. A half-life of 0 or less means no decay: always 1.
func Decay(age int64, halfLife time.Duration) float64 {
	if age <= 0 || halfLife <= 0 {
		return 1
	}
	return math.Exp2(-float64(age) / (float64(halfLife) / float64(time.Microsecond)))
}

// MinSubjects is the k of architecture.md's rule for artifacts: what fewer subjects than this caused is not told apart in a model.
const MinSubjects = 11
