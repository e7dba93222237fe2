package local

import (
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
)

// program is a set of views in the form that the scan runs.
type program struct {
	start, end int64             // µs: the longest window of all views
	kinds      map[string]uint16 // the kinds that some view names → 1, 2, …; 0 is any other kind, or null
	lanes      []lane
	keys       []int // the lanes that are some view's key
	views      []viewProgram
}

// lane is one column in one of the two forms in which features read it.
type lane struct {
	column string
	form   form
	reader string // the first view and feature that reads it, for errors
}

type form uint8

const (
	identity form = iota // a uint64, equal if and only if the values are equal
	number               // a float64
)

type viewProgram struct {
	features.View
	key      int     // position in program.keys
	windows  []int64 // µs, ascending
	features []featureProgram
}

type featureProgram struct {
	features.Feature
	lane     int    // -1: none
	pass     []bool // by kind: which events pass the filter; nil: all
	share    []bool // by kind: the numerator of ShareOf
	halfLife float64
}

func (p *program) startTime() time.Time { return time.UnixMicro(p.start).UTC() }
func (p *program) endTime() time.Time   { return time.UnixMicro(p.end).UTC() }

// compile turns valid views into a program.
func compile(views []features.View, end time.Time) *program {
	p := &program{end: end.UnixMicro(), kinds: map[string]uint16{}}
	p.start = p.end - features.RetentionNeeded(views).Microseconds()
	for _, v := range views {
		for _, f := range v.Features {
			for _, k := range slices.Concat(f.Kinds, f.Share) {
				if _, ok := p.kinds[k]; !ok {
					p.kinds[k] = uint16(len(p.kinds) + 1)
				}
			}
		}
	}
	for _, v := range views {
		vp := viewProgram{View: v}
		key := p.lane(v.Key, identity, v.Name)
		if vp.key = slices.Index(p.keys, key); vp.key < 0 {
			vp.key = len(p.keys)
			p.keys = append(p.keys, key)
		}
		for _, w := range v.SortedWindows() {
			vp.windows = append(vp.windows, w.Microseconds())
		}
		for _, f := range v.Features {
			fp := featureProgram{Feature: f, lane: -1, halfLife: f.HalfLife.Seconds() * 1e6}
			if f.Column != "" {
				want := number
				if f.Op == features.Distinct {
					want = identity
				}
				fp.lane = p.lane(f.Column, want, v.Name+"."+f.Name)
			}
			if len(f.Kinds) > 0 {
				fp.pass = p.kindSet(f.Kinds)
			}
			fp.share = p.kindSet(f.Share)
			vp.features = append(vp.features, fp)
		}
		p.views = append(p.views, vp)
	}
	return p
}

// lane returns the position of a lane, which it adds if need be.
func (p *program) lane(column string, f form, reader string) int {
	for i, l := range p.lanes {
		if l.column == column && l.form == f {
			return i
		}
	}
	p.lanes = append(p.lanes, lane{column: column, form: f, reader: reader})
	return len(p.lanes) - 1
}

func (p *program) kindSet(kinds []string) []bool {
	set := make([]bool, len(p.kinds)+1)
	for _, k := range kinds {
		set[p.kinds[k]] = true
	}
	return set
}
