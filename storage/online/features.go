package online

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// FeatureValues holds features by name: nil (null), bool, string, int64 or float64. Their JSON keeps the difference between
// integers and floats (a float always has a point or an exponent), has its names ascending, and knows no NaN or infinity:
// what has no value is null.
type FeatureValues map[string]any

// MarshalJSON implements json.Marshaler. An int is taken for an int64; any other type is an error.
func (v FeatureValues) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(v)) {
		if i > 0 {
			b = append(b, ',')
		}
		text, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		b = append(append(b, text...), ':')
		if b, err = appendFeature(b, v[name]); err != nil {
			return nil, fmt.Errorf("feature %s: %w", name, err)
		}
	}
	return append(b, '}'), nil
}

func appendFeature(b []byte, x any) ([]byte, error) {
	switch x := x.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case int:
		return strconv.AppendInt(b, int64(x), 10), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v has no JSON: use null", x)
		}
		text := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return append(b, text...), nil
	case string:
		text, err := json.Marshal(x)
		return append(b, text...), err
	}
	return nil, fmt.Errorf("value of type %T: must be nil, bool, int64, float64 or string", x)
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *FeatureValues) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var raw map[string]any
	if err := d.Decode(&raw); err != nil {
		return err
	}
	for name, x := range raw {
		switch x := x.(type) {
		case nil, bool, string:
		case json.Number:
			number, err := featureNumber(string(x))
			if err != nil {
				return fmt.Errorf("feature %s: %w", name, err)
			}
			raw[name] = number
		default:
			return fmt.Errorf("feature %s is neither a number, a string, a boolean nor null", name)
		}
	}
	*v = raw
	return nil
}

func featureNumber(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}
