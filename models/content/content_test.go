package content_test

import (
	"testing"

	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &content.Trainer{Hyper: content.Defaults()}, content.Load)
}
