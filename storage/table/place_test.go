package table

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/rapport-ml/rapport/storage"
)

// TestScanPlaces: each row that is yielded says at which row of the file it stands, and in which row group: user i is row i, in groups of 40.
// With a window row groups are skipped and rows dropped, and of a list a row is yielded once an element, over several batches.
func TestScanPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 14))
	orders := randomOrders(r, shapes[0], 130, 6)
	body := nestedFile(t, shapes[0], orders)
	for _, explode := range []string{"", "items"} {
		for _, from := range []int64{-1, 0, 35, 90} {
			for _, batch := range []int{1, 13, 8192} {
				var facts ScanFacts
				o := ScanOptions{Columns: []Want{{Name: "user"}}, Time: "at", BatchRows: batch, Facts: &facts}
				if explode != "" {
					o.Explode, o.Columns = explode, append(o.Columns, Want{Name: "items[].sku"})
				}
				if from >= 0 {
					o.Window = seconds(from, from+45)
				}
				rows := 0
				for b, err := range Scan(context.Background(), memoryWith(t, body), storage.Info{Key: "raw/f.parquet"}, o) {
					if err != nil {
						t.Fatal(err)
					}
					for i := range b.N {
						user := b.Cols[0].Int[i]
						if facts.Row(i) != user || facts.Group != int(user)/40 {
							t.Fatalf("explode %q from %d, batches of %d: row %d of group %d is said of row %d", explode, from, batch, facts.Row(i), facts.Group, user)
						}
						rows++
					}
				}
				if rows < 20 || len(facts.Columns) != 5 {
					t.Errorf("explode %q from %d: %d rows, %d columns", explode, from, rows, len(facts.Columns))
				}
			}
		}
	}
}

// TestScanInexact: an integer that a float64 cannot hold is no number, and never another one.
func TestScanInexact(t *testing.T) {
	exact := []int64{0, -7, 1 << 53, -1 << 53, 1 << 62, math.MinInt64}
	inexact := []int64{1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64 + 1}
	all := append(append([]int64{}, exact...), inexact...)
	body := rawParquet(t, len(all), 100, []rawColumn{
		values(node(t, "signed", required, nil, parquet.Types.Int64, -1), all, nil),
		values(node(t, "unsigned", required, schema.NewIntLogicalType(64, false), parquet.Types.Int64, -1), []int64{1, 2, 3, 1 << 53, 1 << 62, math.MinInt64, -1, -1, -1, 1<<53 + 1}, nil),
	})
	got, err := scanAll(t, body, ScanOptions{Columns: []Want{{Name: "signed", Type: Float64}, {Name: "unsigned", Type: Float64}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		f, u := got.Cols[0].Float[i], got.Cols[1].Float[i]
		if i < len(exact) && (f != float64(v) || math.IsNaN(u)) || i >= len(exact) && (!math.IsNaN(f) || !math.IsNaN(u)) {
			t.Errorf("%d is %v, the unsigned beside it %v", v, f, u)
		}
	}
	if got.Cols[1].Float[5] != 1<<63 {
		t.Errorf("2^63 is %v", got.Cols[1].Float[5])
	}
}

// TestStatTimeless counts the rows without a time by the footer alone, where it tells.
func TestStatTimeless(t *testing.T) {
	for _, c := range []struct {
		body []byte
		want int64
	}{{eventsFile(t, 350), 35}, {eventsFile(t, 9), 0}, {eventsFile(t, 350, parquet.WithStats(false)), -1}} {
		st, err := Stat(context.Background(), memoryWith(t, c.body), storage.Info{Key: "raw/f.parquet"}, ScanOptions{Time: "at"})
		if err != nil || st.Timeless != c.want {
			t.Errorf("%s: %d rows without a time, want %d; %v", fmt.Sprint(st.Rows), st.Timeless, c.want, err)
		}
	}
}
