package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/schema"
	pq "github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
)

func scanAll(t testing.TB, body []byte, o ScanOptions) (*Batch, error) {
	t.Helper()
	mem := storage.NewMemory(nil)
	return collect(Scan(context.Background(), mem, put(t, mem, "raw/f.parquet", body), o))
}

func timestamp(utc bool, unit schema.TimeUnitType) schema.LogicalType {
	return schema.NewTimestampLogicalType(utc, unit)
}

func int96Of(t time.Time) parquet.Int96 {
	var v parquet.Int96
	day := t.Unix() / 86400
	binary.LittleEndian.PutUint64(v[:8], uint64(t.Sub(time.Unix(day*86400, 0)).Nanoseconds()))
	binary.LittleEndian.PutUint32(v[8:], uint32(day+2_440_588))
	return v
}

// TestScanTypes: one column, two rows, of each type that files have; the second row is null where there is a third argument.
func TestScanTypes(t *testing.T) {
	const noon = 1483617600 // 2017-01-05T12:00:00Z
	T := parquet.Types
	berlin := zone(t, "Europe/Berlin")
	num := func(l schema.LogicalType, p parquet.Type, length int) schema.Node {
		return node(t, "c", required, l, p, length)
	}
	for _, c := range []struct {
		name string
		col  rawColumn
		want Want
		o    ScanOptions
		out  string
	}{
		{"bool", values(num(nil, T.Boolean, -1), []bool{true, false}, nil), Want{}, ScanOptions{}, "1 0"},
		{"int32", values(num(nil, T.Int32, -1), []int32{-5, 7}, nil), Want{}, ScanOptions{}, "-5 7"},
		{"int64", values(num(nil, T.Int64, -1), []int64{math.MinInt64, 7}, nil), Want{}, ScanOptions{}, "-9223372036854775808 7"},
		{"int8", values(num(schema.NewIntLogicalType(8, true), T.Int32, -1), []int32{-5, 7}, nil), Want{}, ScanOptions{}, "-5 7"},
		{"uint32", values(num(schema.NewIntLogicalType(32, false), T.Int32, -1), []int32{-1, 7}, nil), Want{}, ScanOptions{}, "4294967295 7"},
		{"int as id", values(num(nil, T.Int64, -1), []int64{-123, 7}, nil), Want{Type: String}, ScanOptions{}, `"-123" "7"`},
		{"int32 as id", values(num(nil, T.Int32, -1), []int32{123, 7}, nil), Want{Type: String}, ScanOptions{}, `"123" "7"`},
		{"uint64 as id", values(num(schema.NewIntLogicalType(64, false), T.Int64, -1), []int64{-1, 7}, nil), Want{Type: String}, ScanOptions{}, `"18446744073709551615" "7"`},
		{"uint64 as float", values(num(schema.NewIntLogicalType(64, false), T.Int64, -1), []int64{math.MinInt64, 7}, nil), Want{Type: Float64}, ScanOptions{}, "9.223372036854776e+18 7"},
		{"int as float", values(num(nil, T.Int64, -1), []int64{-123, 7}, nil), Want{Type: Float64}, ScanOptions{}, "-123 7"},
		{"float", values(num(nil, T.Float, -1), []float32{0.5, -2}, nil), Want{}, ScanOptions{}, "0.5 -2"},
		{"double", values(num(nil, T.Double, -1), []float64{0.1, math.Inf(1)}, nil), Want{Type: Float64}, ScanOptions{}, "0.1 +Inf"},
		{"float16", values(num(schema.Float16LogicalType{}, T.FixedLenByteArray, 2), []parquet.FixedLenByteArray{float16.New(1.5).ToLEBytes(), float16.New(-2).ToLEBytes()}, nil), Want{}, ScanOptions{}, "1.5 -2"},
		{"decimal32", values(num(schema.NewDecimalLogicalType(9, 2), T.Int32, -1), []int32{1999, -1}, nil), Want{}, ScanOptions{}, "19.99 -0.01"},
		{"decimal64", values(num(schema.NewDecimalLogicalType(18, 3), T.Int64, -1), []int64{1999, -1}, nil), Want{}, ScanOptions{}, "1.999 -0.001"},
		{"decimal fixed", values(num(schema.NewDecimalLogicalType(20, 2), T.FixedLenByteArray, 9), []parquet.FixedLenByteArray{{0, 0, 0, 0, 0, 0, 0, 7, 0xcf}, {255, 255, 255, 255, 255, 255, 255, 255, 255}}, nil), Want{}, ScanOptions{}, "19.99 -0.01"},
		{"decimal bytes", values(num(schema.NewDecimalLogicalType(20, 2), T.ByteArray, -1), []parquet.ByteArray{{7, 0xcf}, {}}, nil), Want{}, ScanOptions{}, "19.99 0"},
		{"string", values(num(schema.StringLogicalType{}, T.ByteArray, -1), []parquet.ByteArray{parquet.ByteArray("ä\x00"), {}}, nil), Want{}, ScanOptions{}, `"ä\x00" ""`},
		{"bytes", values(num(nil, T.ByteArray, -1), []parquet.ByteArray{parquet.ByteArray("a"), parquet.ByteArray("b")}, nil), Want{}, ScanOptions{}, `"a" "b"`},
		{"enum", values(num(schema.EnumLogicalType{}, T.ByteArray, -1), []parquet.ByteArray{parquet.ByteArray("a"), parquet.ByteArray("b")}, nil), Want{Type: String}, ScanOptions{}, `"a" "b"`},
		{"uuid", values(num(schema.UUIDLogicalType{}, T.FixedLenByteArray, 16), []parquet.FixedLenByteArray{[]byte("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"), make([]byte, 16)}, nil), Want{Type: String}, ScanOptions{}, `"01234567-89ab-cdef-0123-456789abcdef" "00000000-0000-0000-0000-000000000000"`},
		{"ms", values(num(timestamp(true, schema.TimeUnitMillis), T.Int64, -1), []int64{noon * 1000, -1}, nil), Want{}, ScanOptions{}, "1483617600000000 -1000"},
		{"us", values(num(timestamp(true, schema.TimeUnitMicros), T.Int64, -1), []int64{noon * 1e6, -1}, nil), Want{Type: Time}, ScanOptions{}, "1483617600000000 -1"},
		{"ns", values(num(timestamp(true, schema.TimeUnitNanos), T.Int64, -1), []int64{noon*1e9 + 999, -1}, nil), Want{}, ScanOptions{}, "1483617600000000 -1"},
		{"ms out of range", values(num(timestamp(true, schema.TimeUnitMillis), T.Int64, -1), []int64{math.MaxInt64, math.MinInt64}, nil), Want{}, ScanOptions{}, "9223372036854775807 -9223372036854775808"},
		{"int96", values(num(nil, T.Int96, -1), []parquet.Int96{int96Of(time.Unix(noon, 1999)), int96Of(time.Unix(-86400, 0))}, nil), Want{}, ScanOptions{}, "1483617600000001 -86400000000"},
		{"date", values(num(schema.DateLogicalType{}, T.Int32, -1), []int32{17171, -1}, nil), Want{}, ScanOptions{}, "1483574400000000 -86400000000"},
		{"date in Berlin", values(num(schema.DateLogicalType{}, T.Int32, -1), []int32{17171, 17337}, nil), Want{}, ScanOptions{Local: berlin}, "1483570800000000 1497909600000000"},                               // 23:00 and 22:00 UTC the evening before
		{"local in Berlin", values(num(timestamp(false, schema.TimeUnitMillis), T.Int64, -1), []int64{noon * 1000, 1497960000000}, nil), Want{}, ScanOptions{Local: berlin}, "1483614000000000 1497952800000000"}, // 11:00, 10:00 UTC
		{"date as text", values(num(schema.DateLogicalType{}, T.Int32, -1), []int32{17171, -1}, nil), Want{Type: String, TimeText: true}, ScanOptions{}, `"2017-01-05" "1969-12-31"`},
		{"ms as text", values(num(timestamp(true, schema.TimeUnitMillis), T.Int64, -1), []int64{noon*1000 + 5, -86400000}, nil), Want{Type: String, TimeText: true}, ScanOptions{}, `"2017-01-05T12:00:00.005Z" "1969-12-31T00:00:00Z"`},
		{"local as text", values(num(timestamp(false, schema.TimeUnitMicros), T.Int64, -1), []int64{noon * 1e6, noon*1e6 + 1}, nil), Want{Type: String, TimeText: true}, ScanOptions{}, `"2017-01-05T12:00:00" "2017-01-05T12:00:00.000001"`},
		{"int96 as text", values(num(nil, T.Int96, -1), []parquet.Int96{int96Of(time.Unix(noon, 0)), int96Of(time.Unix(-86400, 0))}, nil), Want{Type: String, TimeText: true}, ScanOptions{}, `"2017-01-05T12:00:00Z" "1969-12-31T00:00:00Z"`},
		{"int beside times as text", values(num(nil, T.Int64, -1), []int64{-123, 7}, nil), Want{Type: String, TimeText: true}, ScanOptions{Unit: time.Second}, `"-123" "7"`},
		{"epoch s", values(num(nil, T.Int64, -1), []int64{noon, -1}, nil), Want{Type: Time}, ScanOptions{Unit: time.Second}, "1483617600000000 -1000000"},
		{"epoch s in int32", values(num(nil, T.Int32, -1), []int32{noon, -1}, nil), Want{Type: Time}, ScanOptions{Unit: time.Second}, "1483617600000000 -1000000"},
		{"epoch ns unsigned", values(num(schema.NewIntLogicalType(64, false), T.Int64, -1), []int64{noon * 1e9, -1}, nil), Want{Type: Time}, ScanOptions{Unit: time.Nanosecond}, "1483617600000000 18446744073709551"},
		{"epoch ms as time column", values(num(nil, T.Int64, -1), []int64{noon * 1000, 0}, nil), Want{}, ScanOptions{Unit: time.Millisecond, Time: "c"}, "1483617600000000 0"},
	} {
		c.want.Name = "c"
		c.o.Columns = []Want{c.want}
		got, err := scanAll(t, rawParquet(t, 2, 2, []rawColumn{c.col}), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text := ""
		for i := range got.N {
			v := cell(got, 0, i)
			if got.Schema[0].Type == Float64 {
				v = fmt.Sprint(got.Cols[0].Float[i])
			}
			text += v + " "
		}
		if strings.TrimSpace(text) != c.out {
			t.Errorf("%s: %s as %s, want %s", c.name, text, got.Schema[0].Type, c.out)
		}
	}
}

// TestScanEncodings reads random nullable columns in every codec, page version and encoding, against the values written.
func TestScanEncodings(t *testing.T) {
	codecs := []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd, compress.Codecs.Brotli, compress.Codecs.Lz4Raw}
	const n = 2500
	r := rand.New(rand.NewPCG(1, 2))
	ints, texts, floats, bools := make([]int64, n), make([]parquet.ByteArray, n), make([]float64, n), make([]bool, n)
	for i := range n {
		ints[i], floats[i], bools[i] = r.Int64N(50)-25, r.NormFloat64(), r.IntN(2) == 0
		texts[i] = parquet.ByteArray(fmt.Sprintf("item-%d", r.IntN(40)))
	}
	null := func(i int) bool { return i%7 == 3 || i >= 500 && i < 1200 }
	columns := []rawColumn{
		values(node(t, "int", optional, nil, parquet.Types.Int64, -1), ints, null),
		values(node(t, "text", optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1), texts, null),
		values(node(t, "float", required, nil, parquet.Types.Double, -1), floats, nil),
		values(node(t, "bool", optional, nil, parquet.Types.Boolean, -1), bools, nil),
	}
	o := ScanOptions{Columns: []Want{{Name: "bool"}, {Name: "text"}, {Name: "float"}, {Name: "int"}}, BatchRows: 333}
	for _, codec := range codecs {
		for _, version := range []parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2} {
			for _, dict := range []bool{true, false} {
				for _, enc := range []parquet.Encoding{parquet.Encodings.Plain, parquet.Encodings.DeltaBinaryPacked} {
					props := []parquet.WriterProperty{
						parquet.WithCompression(codec), parquet.WithDataPageVersion(version), parquet.WithDictionaryDefault(dict),
						parquet.WithDataPageSize(2000), parquet.WithBatchSize(100), parquet.WithDictionaryPageSizeLimit(300),
						parquet.WithEncodingFor("int", enc),
					}
					if enc != parquet.Encodings.Plain {
						props = append(props, parquet.WithEncodingFor("text", parquet.Encodings.DeltaByteArray), parquet.WithEncodingFor("float", parquet.Encodings.ByteStreamSplit))
					}
					name := fmt.Sprintf("%s v%d dict %v %s", codec, version, dict, enc)
					got, err := scanAll(t, rawParquet(t, n, 1000, columns, props...), o)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if got.N != n {
						t.Errorf("%s: %d rows", name, got.N)
						continue
					}
					for i := range n {
						want := fmt.Sprintf("%d %q %v/%x %d", b2i(bools[i]), texts[i], floats[i], math.Float64bits(floats[i]), ints[i])
						if null(i) {
							want = fmt.Sprintf("%d null %v/%x null", b2i(bools[i]), floats[i], math.Float64bits(floats[i]))
						}
						have := cell(got, 0, i) + " " + cell(got, 1, i) + " " + cell(got, 2, i) + " " + cell(got, 3, i)
						if have != want {
							t.Fatalf("%s: row %d is %s, want %s", name, i, have, want)
						}
					}
				}
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestScanOtherWriter reads what parquet-go writes: nested optional structs, and a list that is refused.
func TestScanOtherWriter(t *testing.T) {
	type place struct {
		City *string `parquet:"city,optional"`
		Lat  float32 `parquet:"lat"`
	}
	type row struct {
		ID    [16]byte  `parquet:"id,uuid"`
		At    time.Time `parquet:"at,timestamp(millisecond)"`
		Place *place    `parquet:"place,optional"`
		Tags  []string  `parquet:"tags,list"`
		Price int64     `parquet:"price,decimal(2:18)"`
	}
	city := "Gent"
	at := time.UnixMilli(1483617600123).UTC()
	in := []row{
		{ID: [16]byte{15: 1}, At: at, Place: &place{&city, 51}, Tags: []string{"a", "b"}, Price: 250},
		{ID: [16]byte{15: 2}, At: at, Place: &place{nil, 1}, Price: -1},
		{ID: [16]byte{15: 3}, At: at, Place: nil},
	}
	var buf bytes.Buffer
	w := pq.NewGenericWriter[row](&buf, pq.Compression(&pq.Zstd))
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := scanAll(t, buf.Bytes(), ScanOptions{Columns: []Want{{Name: "id"}, {Name: "at"}, {Name: "place.city"}, {Name: "place.lat"}, {Name: "price"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`"00000000-0000-0000-0000-000000000001" 1483617600123000 "Gent" 51/4049800000000000 2.5/4004000000000000 `,
		`"00000000-0000-0000-0000-000000000002" 1483617600123000 null 1/3ff0000000000000 -0.01/bf847ae147ae147b `,
		`"00000000-0000-0000-0000-000000000003" 1483617600123000 null null 0/0 `,
	}
	if !slices.Equal(lines(got), want) {
		t.Errorf("got\n%s", strings.Join(lines(got), "\n"))
	}
	for name, wantErr := range map[string]string{"place": "is a struct or a list", "tags": "is a struct or a list", "tags.list.element": "is repeated"} {
		_, err := scanAll(t, buf.Bytes(), ScanOptions{Columns: []Want{{Name: name}}})
		if !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestScanColumns: what is missing, optional, of another type, or declared wrongly.
func TestScanColumns(t *testing.T) {
	body := rawParquet(t, 3, 2, []rawColumn{
		values(node(t, "user_id", required, nil, parquet.Types.Int64, -1), []int64{1, 2, 3}, nil),
		values(node(t, "item", required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1), []parquet.ByteArray{{'a'}, {0xff}, {'c'}}, nil),
		values(node(t, "at", required, timestamp(false, schema.TimeUnitMicros), parquet.Types.Int64, -1), []int64{1, 2, 3}, nil),
		values(node(t, "big", required, schema.NewIntLogicalType(64, false), parquet.Types.Int64, -1), []int64{1, -1, 3}, nil),
		values(node(t, "blob", required, nil, parquet.Types.FixedLenByteArray, 3), []parquet.FixedLenByteArray{[]byte("abc"), []byte("abc"), []byte("abc")}, nil),
	})
	for _, c := range []struct {
		o    ScanOptions
		want string
		is   error
	}{
		{ScanOptions{Columns: []Want{{Name: "userid"}}}, `raw/f.parquet: column does not fit: there is no column "userid"; the nearest is "user_id"`, ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "zzzzzzzzzz"}}}, `it has ["user_id" "item" "at" "big" "blob"]`, ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "item", Type: Int64}}}, `column "item" is BYTE_ARRAY String (string), wanted as int64`, ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "item"}}}, "not UTF-8", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "user_id", Type: Time}}}, "say which unit", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "at"}}}, "local times without a zone", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "at", Type: String}}}, "wanted as string", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "big"}}}, "over 2⁶³−1", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "blob"}}}, "does not read", ErrColumn},
		{ScanOptions{Columns: []Want{{Name: "item"}, {Name: "item"}}}, "declared twice", nil},
		{ScanOptions{Columns: []Want{{Name: "x", Optional: true}}}, "needs a type", nil},
		{ScanOptions{Columns: []Want{{Name: "x", Type: 77}}}, "unknown type", nil},
		{ScanOptions{Columns: []Want{{Name: "x", Type: Bytes, Optional: true}}}, "declare it as string", nil},
		{ScanOptions{Unit: time.Minute}, "time unit", nil},
		{ScanOptions{Window: Interval{time.Unix(0, 0), time.Unix(1, 0)}}, "needs a time column", nil},
		{ScanOptions{Time: "at", Window: Interval{time.Unix(1, 0), time.Unix(1, 0)}}, "is empty", nil},
		{ScanOptions{Time: "item", Window: Interval{time.Unix(0, 0), time.Unix(1, 0)}}, "wanted as time", ErrColumn},
		{ScanOptions{Time: "user_id", Columns: []Want{{Name: "user_id", Type: Int64}}, Window: Interval{time.Unix(0, 0), time.Unix(1, 0)}}, "declared as int64", ErrColumn},
	} {
		_, err := scanAll(t, body, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "raw/f.parquet") || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	got, err := scanAll(t, body, ScanOptions{Columns: []Want{{Name: "gone", Type: String, Optional: true}, {Name: "user_id", Optional: true, Type: Int64}, {Name: "too", Type: Float64, Optional: true}}})
	if err != nil || !slices.Equal(lines(got), []string{"null 1 null ", "null 2 null ", "null 3 null "}) {
		t.Errorf("optional columns: %v, %v", got, err)
	}
	n := 0
	for b, err := range Scan(context.Background(), memoryWith(t, body), storage.Info{Key: "raw/f.parquet"}, ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n += b.N
	}
	if n != 3 {
		t.Errorf("%d rows without columns", n)
	}
}

func memoryWith(t testing.TB, body []byte) *storage.Memory {
	t.Helper()
	mem := storage.NewMemory(nil)
	put(t, mem, "raw/f.parquet", body)
	return mem
}
