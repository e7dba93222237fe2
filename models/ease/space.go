package ease

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching: λ around what its rule gives at sizes from thousands to millions of pairs, and what time is worth.
func Space() models.Space {
	return models.Space{
		{Name: "regularization", Low: 5, High: 5000, Log: true},
		{Name: "half_life", Low: 7, High: 730, Log: true, Days: true, Zero: 0.25},
	}
}
