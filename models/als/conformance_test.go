package als_test

import (
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &als.Trainer{Hyper: als.Defaults()}, als.Load)
}

func TestConformanceWithDecay(t *testing.T) {
	h := als.Defaults()
	h.Dim, h.HalfLife, h.Exponent = 7, 10*24*time.Hour, .5
	modelstest.TestTrainer(t, &als.Trainer{Hyper: h}, als.Load)
}

func TestConformanceWithAttributes(t *testing.T) {
	for _, attributes := range []string{"true", "bias", "cold", "false"} {
		t.Run(attributes, func(t *testing.T) {
			h := als.Defaults()
			h.Attributes = attributes
			modelstest.TestTrainer(t, &als.Trainer{Hyper: h}, als.Load)
		})
	}
}
