package next

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching: how long an event speaks for what follows.
func Space() models.Space {
	return models.Space{{Name: "half_life", Low: 0.5, High: 365, Log: true, Days: true}}
}
