package models

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models/artifact"
)

// constant is the least model: one number.
type constant struct {
	Value float64 `json:"value"`
	fail  error
}

func (c *constant) Name() string { return "constant" }

func (c *constant) Save(w *artifact.Writer) error {
	w.JSON("value", c.Value)
	return c.fail
}

func (c *constant) Bind(context.Context, *Catalog, []string) (Scorer, error) {
	return nil, errors.New("a constant ranks nothing")
}

func loadConstant(r *artifact.Reader) (Model, error) {
	c := &constant{}
	return c, r.JSON("value", &c.Value)
}

func TestSaveAndLoad(t *testing.T) {
	files, digest, err := Encode(&constant{Value: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if digest != files.Digest() {
		t.Errorf("digest %s", digest)
	}
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(r, map[string]Loader{"constant": loadConstant})
	if err != nil || !reflect.DeepEqual(m, &constant{Value: 0.5}) {
		t.Errorf("loaded %+v: %v", m, err)
	}
	_, err = Load(r, map[string]Loader{"other": loadConstant, "another": loadConstant})
	if err == nil || !strings.Contains(err.Error(), `of algorithm "constant", this program knows another, other`) {
		t.Errorf("unknown algorithm: %v", err)
	}
	if _, err := Load(r.Section("elsewhere"), map[string]Loader{"constant": loadConstant}); err == nil {
		t.Error("an empty section was loaded")
	}
	boom := errors.New("boom")
	if _, _, err := Encode(&constant{fail: boom}); !errors.Is(err, boom) {
		t.Errorf("Save's error: %v", err)
	}
	if _, _, err := Encode(&constant{Value: math.NaN()}); err == nil || !strings.Contains(err.Error(), "encode model constant") {
		t.Errorf("NaN in the manifest: %v", err)
	}
	if _, err := Load(r, map[string]Loader{"constant": func(*artifact.Reader) (Model, error) { return nil, boom }}); !errors.Is(err, boom) {
		t.Errorf("loader's error: %v", err)
	}
}
