package benchmark

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Paired returns the mean of a − b, figures of the same questions, and half of its 95 % interval (0 for one question); of a, where b is nil.
func Paired(a, b []float64) (mean, half float64) {
	n := float64(len(a))
	at := func(i int) float64 {
		if b == nil {
			return a[i]
		}
		return a[i] - b[i]
	}
	for i := range a {
		mean += at(i) / n
	}
	var v float64
	for i := range a {
		v += (at(i) - mean) * (at(i) - mean)
	}
	if n > 1 {
		half = 1.96 * math.Sqrt(v/(n-1)/n)
	}
	return mean, half
}

// Table writes, as Markdown, a row for each contender: for each task the mean of its figures, and its paired difference to the first contender, which
// first names. values returns a contender's figures of a task, one a question.
func Table(out io.Writer, head, first string, contenders, tasks []string, values func(contender, task int) []float64) {
	fmt.Fprintf(out, "| %s |", head)
	for _, t := range tasks {
		fmt.Fprintf(out, " %s | minus %s |", t, first)
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("---|", 2*len(tasks)))
	for c, name := range contenders {
		fmt.Fprintf(out, "| %s |", name)
		for t := range tasks {
			mean, _ := Paired(values(c, t), nil)
			if c == 0 {
				fmt.Fprintf(out, " %.4f | (n = %d) |", mean, len(values(c, t)))
				continue
			}
			diff, half := Paired(values(c, t), values(0, t))
			fmt.Fprintf(out, " %.4f | %+.4f ± %.4f |", mean, diff, half)
		}
		fmt.Fprintln(out)
	}
}
