package table

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// FileStat is what a raw Parquet file says of itself.
type FileStat struct {
	Rows      int64
	RowGroups int
	Columns   []FileColumn
	CreatedBy string // the writer's name for itself
	// MinTime and MaxTime are the bounds of the time column in µs, by the statistics of all row groups; HasTimes is false if any row
	// group lacks them. For times without a zone they are a day wider on each side than the values.
	MinTime, MaxTime int64
	HasTimes         bool
	Timeless         int64 // rows without a time, by the same statistics; -1 if they do not tell
}

// FileColumn is one leaf column of a raw file.
type FileColumn struct {
	Name     string // as Scan has it: "sku", "ctx.device", "items[].sku"
	Physical string // INT64, BYTE_ARRAY, …
	Logical  string // as the file has it; "" if none
	Type     Type   // what Scan delivers it as; 0 if it does not read it
	Local    bool   // a time or date without a zone
	Optional bool   // may hold nulls
	Repeated bool   // in a list or a map
	List     string // the list that Scan must explode to read it: "items"; "" if none
	Size     int64  // compressed bytes in all row groups
}

// Stat reads a raw file's footer: two small ranged reads. Of o it takes the time column, if there is one, and how times are written: Time,
// Explode, Unit and TimeFormat.
func Stat(ctx context.Context, b storage.Bucket, obj storage.Info, o ScanOptions) (FileStat, error) {
	only := ScanOptions{Unit: o.Unit, TimeFormat: o.TimeFormat, Local: time.UTC}
	if o.Time != "" {
		only.Columns = []Want{{Name: o.Time, Type: Time}}
		if strings.HasPrefix(o.Time, o.Explode+"[]") {
			only.Explode = o.Explode
		}
	}
	s, err := openScan(ctx, b, obj, only)
	if err != nil {
		return FileStat{}, err
	}
	var st FileStat
	err = guard(func() error {
		st = s.stat()
		return nil
	})
	if err != nil {
		return FileStat{}, fmt.Errorf("read %s: %w", obj.Key, err)
	}
	return st, nil
}

func (s *scan) stat() FileStat {
	st := FileStat{Rows: s.meta.NumRows, RowGroups: len(s.meta.RowGroups), CreatedBy: s.meta.GetCreatedBy()}
	st.Columns = s.fileColumns()
	for _, c := range s.columns {
		st.Timeless = c.nulls(s.rawFile, s.groups)
		for n, g := range s.groups {
			least, most, ok := c.timeBounds(s.rawFile, g)
			if st.HasTimes = ok; !ok {
				st.MinTime, st.MaxTime = 0, 0
				break
			}
			if n == 0 {
				st.MinTime, st.MaxTime = least, most
			}
			st.MinTime, st.MaxTime = min(st.MinTime, least), max(st.MaxTime, most)
		}
	}
	return st
}

// fileColumns describes the leaf columns of the file.
func (s *scan) fileColumns() (out []FileColumn) {
	for i, p := range s.places {
		desc := s.meta.Schema.Column(i)
		c := FileColumn{
			Name: p.name, List: p.list, Physical: desc.PhysicalType().String(), Logical: describeLogical(desc),
			Optional: desc.MaxDefinitionLevel() > 0, Repeated: desc.MaxRepetitionLevel() > 0,
		}
		if f := findKind(desc); p.inMap == "" && desc.MaxRepetitionLevel() < 2 && f.kind != unsupported {
			c.Type, c.Local = deliver[f.kind], f.local
		}
		for _, g := range s.meta.RowGroups {
			c.Size += g.Columns[i].MetaData.TotalCompressedSize
		}
		out = append(out, c)
	}
	return out
}
