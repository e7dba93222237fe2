package again

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching.
func Space() models.Space {
	return models.Space{
		{Name: "half_life", Low: 7, High: 1460, Log: true, Days: true, Zero: 0.1},
		{Name: "depletion", Low: 0, High: 0.9},
	}
}
