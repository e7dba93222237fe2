package rerank

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// Published is the entry "ranker" of an online store: all that turns a candidate's features and the context of a request into its score.
// docs/contracts.md has the formula, and the same in Python.
type Published struct {
	Format   int                    `json:"format"`
	Version  string                 `json:"version"` // of the model
	Features []string               `json:"features"`
	Mean     []float32              `json:"mean"`
	Scale    []float32              `json:"scale"`
	Missing  []bool                 `json:"missing"` // the features that have an indicator, in order
	Clip     float64                `json:"clip"`
	Contexts []models.ContextColumn `json:"contexts"`
	Zone     string                 `json:"zone"` // of daypart and weekday
	Dayparts []models.Daypart       `json:"dayparts"`
	W1       [][]float32            `json:"w1"` // a row an input
	B1       []float32              `json:"b1"`
	W2       [][]float32            `json:"w2"` // a row a unit of the layer before
	B2       []float32              `json:"b2"`
	W3       []float32              `json:"w3"`
	B3       float32                `json:"b3"`
	Bound    float64                `json:"bound"`
	Head     int                    `json:"head"` // the candidate whose score is the least that Bound is a share of, from 1; and how many the mean is over that is taken away
}

// publishedFormat is the number of Published's format. 2: the mean over the head is taken from what the network says.
const publishedFormat = 2

func (m *Model) published(version string) *Published {
	n := m.net
	return &Published{
		Format: publishedFormat, Version: version, Features: m.names, Mean: n.mean, Scale: n.scale, Missing: n.indicator, Clip: clip,
		Contexts: m.contexts.Columns, Zone: m.contexts.Zone, Dayparts: models.Dayparts,
		W1: rows(n.w1, n.h1), B1: n.b1, W2: rows(n.w2, n.h2), B2: n.b2, W3: n.w3, B3: n.b3, Bound: n.bound, Head: head,
	}
}

func rows(w []float32, width int) [][]float32 {
	out := make([][]float32, 0, len(w)/width)
	for ; len(w) > 0; w = w[width:] {
		out = append(out, w[:width:width])
	}
	return out
}

// Request scores candidates for a request in a context, from published entries alone. It is safe for concurrent use.
type Request struct {
	Version string

	contexts *models.Contexts
	zone     *time.Location
	net      *network
}

// OpenRequest reads the value of a "ranker" entry, which it takes as untrusted.
func OpenRequest(value []byte) (*Request, error) {
	var p Published
	d := json.NewDecoder(bytes.NewReader(value))
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("published ranker: %w", err)
	}
	if p.Format != publishedFormat {
		return nil, fmt.Errorf("published ranker: format %d, this program reads %d: use the program that published it, or a newer one", p.Format, publishedFormat)
	}
	r, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("published ranker: %w", err)
	}
	return r, nil
}

func (p *Published) open() (*Request, error) {
	contexts := &models.Contexts{Columns: p.Contexts, Zone: p.Zone}
	if err := contexts.Validate(); err != nil {
		return nil, err
	}
	zone, err := contexts.Location()
	if err != nil {
		return nil, err
	}
	if p.Clip != clip || p.Head != head || !sameDayparts(p.Dayparts) {
		return nil, errors.New("it clips, bounds or divides the day as this program does not: use the program that published it")
	}
	width := len(p.Features)
	if len(p.Mean) != width || len(p.Scale) != width || len(p.Missing) != width {
		return nil, fmt.Errorf("%d features, %d means, %d scales, %d indicators", width, len(p.Mean), len(p.Scale), len(p.Missing))
	}
	n := &network{
		mean: p.Mean, scale: p.Scale, indicator: p.Missing, columns: levelsOf(contexts), b1: p.B1, b2: p.B2, w3: p.W3, b3: p.B3,
		h1: len(p.B1), h2: len(p.B2), bound: p.Bound,
	}
	if n.h1 < 1 || n.h1 > maxHidden || n.h2 < 1 || n.h2 > maxHidden {
		return nil, fmt.Errorf("hidden layers of %d and %d units", n.h1, n.h2)
	}
	if n.w1, err = flat(p.W1, n.h1); err != nil {
		return nil, err
	}
	if n.w2, err = flat(p.W2, n.h2); err != nil {
		return nil, err
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	return &Request{Version: p.Version, contexts: contexts, zone: zone, net: n.seal()}, nil
}

func sameDayparts(got []models.Daypart) bool {
	if len(got) != len(models.Dayparts) {
		return false
	}
	for i, d := range models.Dayparts {
		if got[i] != d {
			return false
		}
	}
	return true
}

func flat(w [][]float32, width int) ([]float32, error) {
	out := make([]float32, 0, len(w)*width)
	for i, row := range w {
		if len(row) != width {
			return nil, fmt.Errorf("row %d of a layer has %d weights, want %d", i, len(row), width)
		}
		out = append(out, row...)
	}
	return out, nil
}

// Columns names what a context can say, beside the time.
func (r *Request) Columns() []string {
	var names []string
	for _, c := range r.contexts.Columns {
		if c.Name != models.DaypartColumn && c.Name != models.WeekdayColumn {
			names = append(names, c.Name)
		}
	}
	return names
}

// Context turns levels by column into a context, with what the time at says (the zero time: not known). A level that training did not
// know counts as unknown; a column that there is not is an error.
func (r *Request) Context(levels map[string]string, at time.Time) (models.Context, error) {
	var c models.Context
	for name, level := range levels {
		i := r.contexts.Column(name)
		if i < 0 || name == models.DaypartColumn || name == models.WeekdayColumn {
			return 0, fmt.Errorf("a request has no %q; it has %v, and the time", name, r.Columns())
		}
		c = c.With(i, r.contexts.Columns[i].Index(level))
	}
	if !at.IsZero() {
		daypart, weekday := models.ClockLevels(at.In(r.zone))
		for name, level := range map[string]string{models.DaypartColumn: daypart, models.WeekdayColumn: weekday} {
			if i := r.contexts.Column(name); i >= 0 {
				c = c.With(i, r.contexts.Columns[i].Index(level))
			}
		}
	}
	return c, nil
}

// Score returns the scores of candidates in a context: base are the blend's, features a row of equal length for each. Both are taken as
// untrusted.
func (r *Request) Score(base, features []float32, c models.Context) ([]float64, error) {
	if width := len(r.net.mean); len(features) != len(base)*width {
		return nil, fmt.Errorf("%d candidates with %d features, want %d each: the candidates are of another version than the ranker", len(base), len(features), width)
	}
	if !r.net.knows(c) {
		return nil, errors.New("the context has levels that the ranker does not know; make it with Context")
	}
	out := make([]float64, len(base))
	for i, v := range base {
		if v != v || i > 0 && v > base[i-1] {
			return nil, fmt.Errorf("the score of candidate %d is %v: the blend's scores must descend", i, v)
		}
	}
	r.net.correct(out, features, base, []share{{c, 1}}, &memory{})
	for i, v := range base {
		out[i] += float64(v)
		if math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
			return nil, fmt.Errorf("the score of candidate %d is %v: the entry is damaged", i, out[i])
		}
	}
	return out, nil
}
