package blend_test

import (
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/modelstest"
	"github.com/rapport-ml/rapport/models/popular"
)

var loaders = map[string]models.Loader{"popular": popular.Load, "again": again.Load, "content": content.Load}

func parts() []models.Trainer {
	return []models.Trainer{
		&popular.Trainer{Hyper: popular.Defaults()}, &again.Trainer{Hyper: again.Defaults()}, &content.Trainer{Hyper: content.Defaults()},
	}
}

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &blend.Trainer{Parts: parts(), Hyper: blend.Defaults()}, blend.Loader(loaders))
}
