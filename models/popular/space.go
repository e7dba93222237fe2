package popular

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching.
func Space() models.Space {
	return models.Space{{Name: "half_life", Low: 1, High: 730, Log: true, Days: true, Zero: 0.1}}
}
