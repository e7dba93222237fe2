package content

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching.
func Space() models.Space {
	return models.Space{
		{Name: "half_life", Low: 7, High: 1460, Log: true, Days: true, Zero: 0.1},
		{Name: "prior", Low: 0.3, High: 100, Log: true},
		{Name: "ridge", Low: 1, High: 1000, Log: true},
	}
}
