package local_test

import (
	"testing"

	"github.com/rapport-ml/rapport/features/enginetest"
	"github.com/rapport-ml/rapport/features/local"
)

func TestEngine(t *testing.T) { enginetest.Run(t, local.Engine{}) }
