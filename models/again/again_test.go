package again_test

import (
	"testing"

	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &again.Trainer{Hyper: again.Defaults()}, again.Load)
}
