package als

import "github.com/rapport-ml/rapport/models"

// Space is what is worth searching: the grid of Rendle et al. for α₀ and λ, wider towards small data, and what repeats and time are worth.
// More epochs only cost time, and MinSubjects is a rule of privacy: both stay as they are.
func Space() models.Space {
	return models.Space{
		{Name: "dim", Low: 16, High: 256, Log: true, Step: 16},
		{Name: "weight", Low: 0.003, High: 1, Log: true},
		{Name: "regularization", Low: 0.0003, High: 0.3, Log: true},
		{Name: "exponent", Low: 0.5, High: 1, Step: 0.25},
		{Name: "half_life", Low: 7, High: 730, Log: true, Days: true, Zero: 0.25},
	}
}
