package als

import (
	"context"

	"github.com/rapport-ml/rapport/models"
)

var _ models.TileScorer = (*scorer)(nil)

// widest bounds a piece, however few items of the catalog the model knows.
const widest = 4 * strip

// ScoreTiles implements models.TileScorer: a piece is a strip of known items and the unknown ones between and after them, which score 0, or a
// part of that where these are many. It runs on one core, as Rank calls it from each. Memory: 4·len(q) bytes an item of a strip, five times that
// if the model does not know all items.
func (s *scorer) ScoreTiles(ctx context.Context, q []models.Query, tile func(first, width int, scores []float32) error) error {
	n, d := len(s.index), s.system.d
	w := make([]float32, len(q)*d)
	f := s.pool.Get().(*folder)
	defer s.pool.Put(f)
	for i := range q {
		if err := s.fold(w[i*d:][:d], &q[i], f); err != nil {
			return err
		}
	}
	scores, spread := make([]float32, len(q)*min(strip, len(s.known))), []float32(nil)
	for first, at := 0, 0; first < n; at += strip {
		if err := ctx.Err(); err != nil {
			return err
		}
		known, end := s.known[min(at, len(s.known)):min(at+strip, len(s.known))], n
		if at+strip < len(s.known) {
			end = int(s.known[at+strip])
		}
		columns := len(known)
		if columns > 0 {
			s.packed[at/strip].MulNT(scores, columns, w, d, len(q))
		}
		if columns == end-first {
			if err := tile(first, columns, scores); err != nil {
				return err
			}
			first = end
			continue
		}
		for done := 0; first < end; { // done: of the strip's known items
			width, in := min(widest, end-first), done
			for in < columns && int(known[in]) < first+width {
				in++
			}
			if len(spread) < len(q)*width {
				spread = make([]float32, len(q)*width)
			}
			piece := spread[:len(q)*width]
			clear(piece)
			for i := range q {
				row, from := piece[i*width:][:width], scores[i*columns:]
				for j := done; j < in; j++ {
					row[int(known[j])-first] = from[j]
				}
			}
			if err := tile(first, width, piece); err != nil {
				return err
			}
			first, done = first+width, in
		}
	}
	return nil
}
