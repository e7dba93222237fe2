package online

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// The layout of a generation. Values are JSON.
//
//	meta                        what the generation was made of and how it was judged: the publisher's JSON
//	unprofiled                  List: the list not based on profiling
//	unprofiled/<column>/<level> List: that of one value of an item attribute or a context column; only where the project asks for it
//	related/<kind>/<item>       List: the items that stand beside an item, kind similar or together; only where the project asks for it
//	list/<online key>           List, owned by the online key
//	vector/<online key>         Vector, owned by the online key
//	item-vector/<item>          Vector
//	candidates/<online key>     Candidates, owned by the online key; only where a re-ranker ships
//	item-title/<item>           JSON string: what people call the item; only where the project names titles
//	ranker                      what scores Candidates in the context of a request: the model's JSON; only where a re-ranker ships
//	features/<view>/<entity>    Features; a subject's entity is its online key, which owns the row
//
// An online key, item, view or entity is written with every byte outside [A-Za-z0-9._~-] as %XX, so that no name can reach
// into another.
const (
	MetaKey       = "meta"
	UnprofiledKey = "unprofiled"
	RankerKey     = "ranker"
)

// ListKey is the key of a subject's list.
func ListKey(onlineKey string) string { return "list/" + escape(onlineKey) }

// VectorKey is the key of a subject's vector.
func VectorKey(onlineKey string) string { return "vector/" + escape(onlineKey) }

// ItemVectorKey is the key of an item's vector.
func ItemVectorKey(item string) string { return "item-vector/" + escape(item) }

// FeaturesKey is the key of an entity's row of a view.
func FeaturesKey(view, entity string) string {
	return "features/" + escape(view) + "/" + escape(entity)
}

// escape keeps the unreserved characters of RFC 3986 and writes every other byte as %XX.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// List is what is recommended to one subject, or to everybody who is not profiled.
type List struct {
	ID           string     `json:"id"`
	Version      string     `json:"version"` // of the model
	Variant      string     `json:"variant,omitempty"`
	Personalized bool       `json:"personalized"`
	Items        []ListItem `json:"items"` // best first
}

// ListItem is one entry of a List.
type ListItem struct {
	Item    string   `json:"item"`
	Score   float64  `json:"score"`
	Reasons []Reason `json:"reasons,omitempty"`
	Doubts  []string `json:"doubts,omitempty"` // why the score deserves little trust: few-events, new-item
}

// Reason is one additive part of an item's score.
type Reason struct {
	Kind         string  `json:"kind"`
	Ref          string  `json:"ref"`
	Contribution float64 `json:"contribution"`
	Before       int     `json:"before,omitempty"` // of a rule: the place in the list that the scores alone would give, from 1; 0: none
	After        int     `json:"after,omitempty"`  // of a rule: the place that the item has
}

// Vector is an embedding. Its JSON is a string: base64 (standard, padded) of the little-endian float32s.
type Vector []float32

// MarshalJSON implements json.Marshaler.
func (v Vector) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Vector) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if len(raw)%4 != 0 {
		return fmt.Errorf("vector of %d bytes: must be a multiple of 4", len(raw))
	}
	*v = make(Vector, len(raw)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// Features is one entity's row of a view.
type Features struct {
	AsOf   time.Time     `json:"as_of"` // the end of the interval that the row describes
	Values FeatureValues `json:"values"`
}

// MetaEntry is the entry of the publisher's JSON about the generation.
func MetaEntry(meta json.RawMessage) (Entry, error) { return entry(MetaKey, "", 0, meta) }

// UnprofiledEntry is the entry of the list not based on profiling.
func UnprofiledEntry(l List) (Entry, error) {
	l.Personalized = false
	return entry(UnprofiledKey, "", 0, l)
}

// ListEntry is the entry of a subject's list. expires is the subject's earliest consent end (µs since the epoch, 0 = never).
func ListEntry(onlineKey string, l List, expires int64) (Entry, error) {
	return entry(ListKey(onlineKey), onlineKey, expires, l)
}

// VectorEntry is the entry of a subject's vector.
func VectorEntry(onlineKey string, v Vector, expires int64) (Entry, error) {
	return entry(VectorKey(onlineKey), onlineKey, expires, v)
}

// ItemVectorEntry is the entry of an item's vector.
func ItemVectorEntry(item string, v Vector) (Entry, error) {
	return entry(ItemVectorKey(item), "", 0, v)
}

// SubjectFeaturesEntry is the entry of a subject's row of a view.
func SubjectFeaturesEntry(view, onlineKey string, f Features, expires int64) (Entry, error) {
	return entry(FeaturesKey(view, onlineKey), onlineKey, expires, f)
}

// ItemFeaturesEntry is the entry of an item's row of a view.
func ItemFeaturesEntry(view, item string, f Features) (Entry, error) {
	return entry(FeaturesKey(view, item), "", 0, f)
}

func entry(key, owner string, expires int64, v any) (Entry, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return Entry{}, fmt.Errorf("encode %s: %w", keyKind(key), err)
	}
	return Entry{Key: key, Owner: owner, Value: b, Expires: expires}, nil
}

// DecodeList parses the value of a list entry.
func DecodeList(e Entry) (List, error) { return decode[List](e) }

// DecodeVector parses the value of a vector entry.
func DecodeVector(e Entry) (Vector, error) { return decode[Vector](e) }

// DecodeFeatures parses the value of a features entry.
func DecodeFeatures(e Entry) (Features, error) { return decode[Features](e) }

func decode[T any](e Entry) (T, error) {
	var v T
	if err := json.Unmarshal(e.Value, &v); err != nil {
		var zero T
		return zero, fmt.Errorf("decode %s: %w", keyKind(e.Key), err)
	}
	return v, nil
}
