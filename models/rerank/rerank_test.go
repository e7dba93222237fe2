package rerank

import (
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/modelstest"
	"github.com/rapport-ml/rapport/models/popular"
)

var loaders = map[string]models.Loader{"popular": popular.Load, "again": again.Load, "content": content.Load, "als": als.Load}

// trainer makes a small trainer; always: its correction is chosen whatever it is worth.
func trainer(always bool) *Trainer {
	return &Trainer{
		Blend: blend.Trainer{Hyper: blend.Defaults(), Parts: []models.Trainer{
			&popular.Trainer{Hyper: popular.Defaults()},
			&again.Trainer{Hyper: again.Defaults()},
			&content.Trainer{Hyper: content.Defaults()},
			&als.Trainer{Hyper: als.Defaults()},
		}},
		Hyper: Hyper{Hidden: []int{8, 4}, Epochs: 2, Dropout: 0.1, Context: true}, Always: always,
	}
}

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, trainer(false), Loader(loaders))
}

func TestConformanceCorrecting(t *testing.T) {
	modelstest.TestTrainer(t, trainer(true), Loader(loaders), modelstest.ListWise())
}
