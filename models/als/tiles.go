package als

import (
	"context"

	"github.com/rapport-ml/rapport/models"
)

var _ models.TileScorer = (*scorer)(nil)

// ScoreTiles implements models.TileScorer: a piece is a strip of known items and the unknown ones between and after them, which score 0. It runs on
// one core, as Rank calls it from each. Memory: 4·len(q) bytes an item of the widest piece, twice if the model does not know them all.
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
		width := end - first
		if len(known) > 0 {
			s.packed[at/strip].MulNT(scores, len(known), w, d, len(q))
		}
		piece := scores
		if len(known) < width {
			if len(spread) < len(q)*width {
				spread = make([]float32, len(q)*width)
			}
			piece = spread[:len(q)*width]
			clear(piece)
			for i := range q {
				row, from := piece[i*width:][:width], scores[i*len(known):]
				for j, item := range known {
					row[int(item)-first] = from[j]
				}
			}
		}
		if err := tile(first, width, piece); err != nil {
			return err
		}
		first = end
	}
	return nil
}
