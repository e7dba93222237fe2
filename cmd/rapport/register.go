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

// flow draws where data goes: sources, the privacy boundary, purposes, jobs, stores.
func flow(g *configs.Register) template.HTML {
	rows := max(len(g.Sources), len(g.Purposes), len(g.Jobs), 2)
	var boxes []box
	var lines [][2]box
	link := func(a, b box) { lines = append(lines, [2]box{a, b}) }
	put := func(b box) box {
		b.tall = max(b.tall, 1)
		boxes = append(boxes, b)
		return b
	}
	gate := put(box{class: "gate", name: "privacy boundary", says: "consent, retention, pseudonyms", column: 1, tall: rows})
	for i, s := range g.Sources {
		link(put(box{name: s.Set, column: 0, row: i}), gate)
	}
	purposes := map[string]box{}
	for i, p := range g.Purposes {
		b := put(box{class: "purpose", name: p.Name, says: p.Basis, column: 2, row: i})
		purposes[p.Name] = b
		link(gate, b)
	}
	storage := box{name: "storage", says: "models, reports", column: 4, tall: 1}
	online := box{name: "online store", says: "lists, features", column: 4, row: 1, tall: 1}
	boxes = append(boxes, storage, online)
	for i, j := range g.Jobs {
		b := put(box{name: j.Name, says: j.Model, column: 3, row: i})
		used := []string{j.Train, j.Evaluate, j.Mitigate}
		slices.Sort(used)
		for _, name := range slices.Compact(used) {
			if p, ok := purposes[name]; ok {
				link(p, b)
			}
		}
		link(b, storage)
		link(b, online)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="flow" viewBox="0 0 %d %d" role="img" aria-labelledby="flow-t flow-d"><title id="flow-t">Flow of data</title><desc id="flow-d">%s.</desc>`,
		flowWidth, flowTop+rows*flowRow, template.HTMLEscapeString(flowInWords(g)))
	for i, head := range []string{"Sources", "Boundary", "Purposes", "Jobs and models", "Stores"} {
		fmt.Fprintf(&s, `<text class="head" x="%d" y="16">%s</text>`, i*(flowBox+flowGap), head)
	}
	for _, l := range lines {
		from, to := l[0], l[1]
		a, b := from.middle(), to.middle()
		if from.class == "gate" {
			a = b
		}
		if to.class == "gate" {
			b = a
		}
		x0, x1 := from.x()+flowBox, to.x()
		fmt.Fprintf(&s, `<path d="M%d %dC%d %d %d %d %d %d"/>`, x0, a, x0+flowGap/2, a, x1-flowGap/2, b, x1, b)
	}
	for _, b := range boxes {
		fmt.Fprintf(&s, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="6"/>`, b.class, b.x(), b.y(), flowBox, b.height())
		y := b.middle() + 5
		if b.says != "" {
			y -= 8
		}
		fmt.Fprintf(&s, `<text x="%d" y="%d">%s</text>`, b.x()+10, y, template.HTMLEscapeString(cut(b.name)))
		for i, line := range lineUp(b.says, b.tall > 1) {
			fmt.Fprintf(&s, `<text class="head" x="%d" y="%d">%s</text>`, b.x()+10, y+17*(i+1), template.HTMLEscapeString(cut(line)))
		}
		s.WriteString(`</g>`)
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
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
