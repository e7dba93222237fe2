package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/eval"
)

//go:embed register.html
var registerHTML string

var registerPage = template.Must(template.New("register").Funcs(template.FuncMap{
	"css":  eval.Style,
	"join": func(s []string) string { return strings.Join(s, ", ") },
	"last": func(all []configs.Acceptance) configs.Acceptance { return all[len(all)-1] },
}).Parse(registerHTML))

// writeRegister writes the register of processing as a page of its own.
func writeRegister(out io.Writer, g *configs.Register) error {
	return registerPage.Execute(out, struct {
		*configs.Register
		Flow template.HTML
	}{g, flow(g)})
}

// The picture of the flow: five columns of boxes.
const (
	flowWidth, flowBox, flowRow = 940, 150, 56
	flowGap                     = (flowWidth - 5*flowBox) / 4
	flowTop                     = 30
)

// box is a node of the flow.
type box struct {
	class, name, says string
	column, row       int
	tall              int // rows that it covers
}

func (b box) x() int      { return b.column * (flowBox + flowGap) }
func (b box) y() int      { return flowTop + b.row*flowRow }
func (b box) height() int { return b.tall*flowRow - 14 }
func (b box) middle() int { return b.y() + b.height()/2 }

// feeds says whether a purpose reads a source, as its entry has it.
func feeds(s configs.RegisterSource, p configs.RegisterPurpose) bool {
	return slices.ContainsFunc(p.Reads, func(r configs.RegisterRead) bool { return r.Set == s.Set })
}

// decides says whether a source is read at the boundary, for what goes through it: what people say, which ids are one person, and what tells which items are sensitive and
// who is protected.
func decides(g *configs.Register, s configs.RegisterSource) bool {
	return s.Set == "consent" || s.Set == "preferences" || s.Set == "identities" || slices.ContainsFunc(g.Guards, func(r configs.RegisterRead) bool { return r.Set == s.Set })
}

// line is an edge of the flow.
type line struct {
	from, to box
	class    string
}

// draw writes a line: a curve from the right of one box to the left of the other.
func (l line) draw(s *strings.Builder) {
	a, b := l.from.middle(), l.to.middle()
	if l.to.class == "gate" {
		b = a
	}
	x0, x1 := l.from.x()+flowBox, l.to.x()
	bend := (x1 - x0) / 2
	fmt.Fprintf(s, `<path class="%s" d="M%d %dC%d %d %d %d %d %d"/>`, l.class, x0, a, x0+bend, a, x1-bend, b, x1, b)
}

// flow draws where data goes: sources, the privacy boundary, purposes, jobs, stores. A line from a source to a purpose says that the one is read for the other, and
// goes through the boundary; what people say of consent and of their lists, which ids are one person, and what tells who is protected, ends there, for it decides what goes on.
func flow(g *configs.Register) template.HTML {
	rows := max(len(g.Sources), len(g.Purposes), len(g.Jobs), 2)
	var boxes []box
	var lines []line
	link := func(a, b box, class string) { lines = append(lines, line{a, b, class}) }
	put := func(b box) box {
		b.tall = max(b.tall, 1)
		boxes = append(boxes, b)
		return b
	}
	gate := box{class: "gate", name: "privacy boundary", says: "consent, retention, pseudonyms", column: 1, tall: rows}
	purposes := map[string]box{}
	for i, p := range g.Purposes {
		purposes[p.Name] = put(box{class: "purpose", name: p.Name, says: p.Basis, column: 2, row: i})
	}
	for i, s := range g.Sources {
		b := put(box{name: s.Set, column: 0, row: i})
		if decides(g, s) {
			link(b, gate, "decides")
		}
		for _, p := range g.Purposes {
			if feeds(s, p) {
				link(b, purposes[p.Name], "reads")
			}
		}
	}
	storage := put(box{name: "storage", says: "models, reports", column: 4})
	online := put(box{name: "online store", says: "lists, features", column: 4, row: 1})
	for i, j := range g.Jobs {
		b := put(box{name: j.Name, says: j.Model, column: 3, row: i})
		used := []string{j.Train, j.Evaluate, j.Mitigate}
		slices.Sort(used)
		for _, name := range slices.Compact(used) {
			if p, ok := purposes[name]; ok {
				link(p, b, "uses")
			}
		}
		link(b, storage, "makes")
		link(b, online, "makes")
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="flow" viewBox="0 0 %d %d" role="img" aria-labelledby="flow-t flow-d"><title id="flow-t">Flow of data</title><desc id="flow-d">%s.</desc>`,
		flowWidth, flowTop+rows*flowRow, template.HTMLEscapeString(flowInWords(g)))
	for i, head := range []string{"Sources", "Boundary", "Purposes", "Jobs and models", "Stores"} {
		fmt.Fprintf(&s, `<text class="head" x="%d" y="16">%s</text>`, i*(flowBox+flowGap), head)
	}
	gate.draw(&s) // lines go through it, over it
	for _, l := range lines {
		l.draw(&s)
	}
	gate.label(&s)
	for _, b := range boxes {
		b.draw(&s)
		b.label(&s)
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
}

// draw writes a box.
func (b box) draw(s *strings.Builder) {
	fmt.Fprintf(s, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="6"/></g>`, b.class, b.x(), b.y(), flowBox, b.height())
}

// label writes what a box is called, and what stands under it.
func (b box) label(s *strings.Builder) {
	y := b.middle() + 5
	switch {
	case b.class == "gate": // below most of the lines that go through it
		y = b.y() + b.height() - 62
	case b.says != "":
		y -= 8
	}
	fmt.Fprintf(s, `<g class="%s"><text x="%d" y="%d">%s</text>`, b.class, b.x()+10, y, template.HTMLEscapeString(cut(b.name)))
	for i, says := range lineUp(b.says, b.tall > 1) {
		fmt.Fprintf(s, `<text class="head" x="%d" y="%d">%s</text>`, b.x()+10, y+17*(i+1), template.HTMLEscapeString(cut(says)))
	}
	s.WriteString(`</g>`)
}

// lineUp is what stands under a box's name: a line, or where there is room a line for each part of a list.
func lineUp(says string, room bool) []string {
	switch {
	case says == "":
		return nil
	case room:
		return strings.Split(says, ", ")
	}
	return []string{says}
}

// cut leaves of a name what a box has room for.
func cut(name string) string {
	if r := []rune(name); len(r) > 20 {
		return string(r[:19]) + "…"
	}
	return name
}

// flowInWords is the picture for those who do not see it.
func flowInWords(g *configs.Register) string {
	var out []string
	for _, p := range g.Purposes {
		var sets []string
		for _, src := range g.Sources {
			if feeds(src, p) {
				sets = append(sets, src.Set)
			}
		}
		if len(sets) > 0 {
			out = append(out, fmt.Sprintf("Purpose %s reads %s", p.Name, strings.Join(sets, ", ")))
		}
	}
	var sets []string
	for _, src := range g.Sources {
		if decides(g, src) {
			sets = append(sets, src.Set)
		}
	}
	if len(sets) > 0 {
		out = append(out, "What goes on is decided at the privacy boundary by "+strings.Join(sets, ", "))
	}
	for _, j := range g.Jobs {
		s := fmt.Sprintf("Job %s trains %s under purpose %s", j.Name, j.Model, j.Train)
		if j.Evaluate != "" {
			s += ", and is judged under " + j.Evaluate
		}
		if j.Mitigate != "" {
			s += ", with weights under " + j.Mitigate
		}
		out = append(out, s)
	}
	return strings.Join(append(out, "What they make goes into the storage and the online store"), ". ")
}
