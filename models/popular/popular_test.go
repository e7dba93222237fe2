package popular_test

import (
	"testing"

	"github.com/rapport-ml/rapport/models/popular"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &popular.Trainer{Hyper: popular.Defaults()}, popular.Load, modelstest.SameForEverybody())
}
