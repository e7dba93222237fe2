package table

import "fmt"

// nearest returns a hint at the name most like the one that is missing: "; the nearest is …", or the list if nothing is like it.
func nearest(missing string, names []string) string {
	best, bestDist := "", len(missing)/2+1
	for _, n := range names {
		if d := editDistance(missing, n); d < bestDist {
			best, bestDist = n, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; the nearest is %q", best)
	}
	const shown = 20
	if len(names) > shown {
		return fmt.Sprintf("; it has %q and %d more", names[:shown], len(names)-shown)
	}
	return fmt.Sprintf("; it has %q", names)
}

// editDistance is the Levenshtein distance of a and b in bytes, upper and lower case being equal. O(len(a)·len(b)).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if lower(a[i]) == lower(b[j]) {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
