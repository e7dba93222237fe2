package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	pq "github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// An order is a row of a nested file under test.
type order struct {
	user  int64
	at    int64 // seconds; negative: null
	list  int   // of items: isNull, isEmpty or isThere
	items []*item
}

const (
	isThere = iota
	isNull
	isEmpty
)

// item is an element; nil is a null element. sku "" is null.
type item struct {
	sku   string
	price int64 // hundredths
}

// A shape is one way in which writers nest a list.
type shape struct {
	name       string
	list       string // as Explode has it
	mayBeNull  bool   // the list, or the struct that it stands in
	nullable   bool   // its elements
	skuMayNull bool
	wrap       func(t testing.TB, element []schema.Node) schema.Node
}

func group(t testing.TB, name string, rep parquet.Repetition, l schema.LogicalType, fields ...schema.Node) schema.Node {
	t.Helper()
	var n *schema.GroupNode
	var err error
	if l == nil {
		n, err = schema.NewGroupNode(name, rep, fields, -1)
	} else {
		n, err = schema.NewGroupNodeLogical(name, rep, fields, l, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	repeated = parquet.Repetitions.Repeated
	listType = schema.NewListLogicalType()
)

var shapes = []shape{
	{"three levels", "items", true, true, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", optional, listType, group(t, "list", repeated, nil, group(t, "element", optional, nil, e...)))
	}},
	{"three levels, of Hive", "items", true, false, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", optional, listType, group(t, "bag", repeated, nil, group(t, "array_element", required, nil, e...)))
	}},
	{"all required", "items", false, false, false, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", required, listType, group(t, "list", repeated, nil, group(t, "element", required, nil, e...)))
	}},
	{"two levels, array", "items", true, false, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", optional, listType, group(t, "array", repeated, nil, e...))
	}},
	{"two levels, _tuple", "items", true, false, false, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", optional, listType, group(t, "items_tuple", repeated, nil, e...))
	}},
	{"two levels, several fields", "items", true, false, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", optional, listType, group(t, "list", repeated, nil, e...))
	}},
	{"repeated without a word", "items", false, false, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "items", repeated, nil, e...)
	}},
	{"in a struct", "order.items", true, true, true, func(t testing.TB, e []schema.Node) schema.Node {
		return group(t, "order", required, nil, group(t, "items", optional, listType, group(t, "list", repeated, nil, group(t, "element", optional, nil, e...))))
	}},
}

// nestedFile writes orders in a shape, groups of 40 rows and small pages.
func nestedFile(t testing.TB, s shape, orders []order, props ...parquet.WriterProperty) []byte {
	t.Helper()
	sku := node(t, "sku", required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1)
	if s.skuMayNull {
		sku = node(t, "sku", optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1)
	}
	price := node(t, "price", required, schema.NewDecimalLogicalType(9, 2), parquet.Types.Int32, -1)
	secret := node(t, "secret", required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1)
	element := []schema.Node{sku, price, secret}
	if s.name == "two levels, array" || s.name == "two levels, _tuple" { // the one field that would be taken for the element of three levels
		element = element[:1]
	}
	empty := int16(0) // definition level of an empty list
	if s.mayBeNull {
		empty = 1
	}
	there := empty + 1
	if s.nullable {
		there++
	}
	// column writes one column of the list: leaf appends the value of an item and reports whether it is not null.
	levels := func(from, to int, most int16, leaf func(*item) bool) (def, rep []int16) {
		for _, o := range orders[from:to] {
			switch {
			case o.list == isNull && s.mayBeNull:
				def, rep = append(def, 0), append(rep, 0)
			case len(o.items) == 0:
				def, rep = append(def, empty), append(rep, 0)
			}
			for i, it := range o.items {
				rep = append(rep, int16(min(i, 1)))
				switch {
				case it == nil:
					def = append(def, empty+1)
				case leaf(it):
					def = append(def, most)
				default:
					def = append(def, there)
				}
			}
		}
		return def, rep
	}
	users, ats := make([]int64, len(orders)), make([]int64, len(orders))
	for i, o := range orders {
		users[i], ats[i] = o.user, o.at*1000
	}
	columns := []rawColumn{
		values(node(t, "user", required, nil, parquet.Types.Int64, -1), users, nil),
		{node: s.wrap(t, element)},
		values(node(t, "at", optional, timestamp(true, schema.TimeUnitMillis), parquet.Types.Int64, -1), ats, func(i int) bool { return orders[i].at < 0 }),
	}
	bytesOf := func(text func(*item) string, most int16) func(file.ColumnChunkWriter, int, int) error {
		return func(w file.ColumnChunkWriter, from, to int) error {
			var v []parquet.ByteArray
			def, rep := levels(from, to, most, func(it *item) bool {
				if text(it) == "" {
					return false
				}
				v = append(v, parquet.ByteArray(text(it)))
				return true
			})
			_, err := w.(*file.ByteArrayColumnChunkWriter).WriteBatch(v, def, rep)
			return err
		}
	}
	most := there
	if s.skuMayNull {
		most++
	}
	leaves := []func(file.ColumnChunkWriter, int, int) error{
		bytesOf(func(it *item) string { return it.sku }, most),
		func(w file.ColumnChunkWriter, from, to int) error {
			var v []int32
			def, rep := levels(from, to, there, func(it *item) bool { v = append(v, int32(it.price)); return true })
			_, err := w.(*file.Int32ColumnChunkWriter).WriteBatch(v, def, rep)
			return err
		},
		bytesOf(func(*item) string { return "somebody's" }, there),
	}
	columns[1].leaves = leaves[:len(element)]
	return rawParquet(t, len(orders), 40, columns, append([]parquet.WriterProperty{parquet.WithDataPageSize(200), parquet.WithBatchSize(7)}, props...)...)
}

// randomOrders makes orders with lists of up to n items, and now and then one of hundreds.
func randomOrders(r *rand.Rand, s shape, rows, n int) []order {
	out := make([]order, rows)
	for i := range out {
		o := order{user: int64(i), at: int64(i)}
		if r.IntN(12) == 0 {
			o.at = -1
		}
		o.list = r.IntN(3)
		if o.list == isNull && !s.mayBeNull {
			o.list = isEmpty
		}
		if o.list == isThere {
			size := 1 + r.IntN(n)
			if r.IntN(30) == 0 {
				size = 300
			}
			for range size {
				it := &item{sku: fmt.Sprintf("sku-%d", r.IntN(20)), price: r.Int64N(5000) - 100}
				if s.skuMayNull && r.IntN(5) == 0 {
					it.sku = ""
				}
				if s.nullable && r.IntN(7) == 0 {
					it = nil
				}
				o.items = append(o.items, it)
			}
		}
		out[i] = o
	}
	return out
}

// exploded is the naive answer: a line an item of the orders in the window (all, if from is negative), and how many rows of it have none.
func exploded(orders []order, from, to int64, withPrice bool) (rows []string, f ScanFacts) {
	for _, o := range orders {
		inside := from < 0 || o.at >= from && o.at < to
		switch {
		case len(o.items) > 0:
		case o.at < 0:
			f.Timeless++
		case inside:
			f.Empty++
		}
		if !inside {
			continue
		}
		for _, it := range o.items {
			sku, price, at := "null", "null", "null"
			if it != nil && it.sku != "" {
				sku = fmt.Sprintf("%q", it.sku)
			}
			if it != nil {
				price = fmt.Sprintf("%g", float64(it.price)/100)
			}
			if o.at >= 0 {
				at = fmt.Sprint(o.at * 1_000_000)
			}
			line := fmt.Sprintf("%s %d %s", sku, o.user, at)
			if withPrice {
				line += " " + price
			}
			rows = append(rows, line)
		}
	}
	return rows, f
}

func explodedLines(b *Batch) []string {
	var out []string
	for i := range b.N {
		line := ""
		for c, f := range b.Schema {
			v := cell(b, c, i)
			if f.Type == Float64 && v != "null" {
				v = fmt.Sprintf("%g", b.Cols[c].Float[i])
			}
			line += " " + v
		}
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

// TestExplode compares, for every shape of list, page version and size of batch, with and without a window, what is read with the rows that were written.
func TestExplode(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 3))
	for _, s := range shapes {
		orders := randomOrders(r, s, 130, 6)
		withPrice := !strings.HasPrefix(s.name, "two levels, array") && s.name != "two levels, _tuple"
		for _, version := range []parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2} {
			body := nestedFile(t, s, orders, parquet.WithDataPageVersion(version), parquet.WithDictionaryDefault(version == parquet.DataPageV1))
			for _, batch := range []int{1, 13, 8192} {
				for _, from := range []int64{-1, 0, 35, 90} {
					var facts ScanFacts
					o := ScanOptions{
						Columns: []Want{{Name: s.list + "[].sku", Type: String}, {Name: "user"}, {Name: "at"}}, Explode: s.list, Time: "at",
						BatchRows: batch, Facts: &facts,
					}
					if withPrice {
						o.Columns = append(o.Columns, Want{Name: s.list + "[].price"})
					}
					if from >= 0 {
						o.Window = seconds(from, from+45)
					}
					got, err := scanAll(t, body, o)
					if err != nil {
						t.Fatalf("%s: %v", s.name, err)
					}
					want, count := exploded(orders, from, from+45, withPrice)
					if !slices.Equal(explodedLines(got), want) {
						t.Fatalf("%s, batches of %d, from %d: %d rows, want %d, or they differ", s.name, batch, from, got.N, len(want))
					}
					if from < 0 && (facts.Empty != count.Empty || facts.Timeless != count.Timeless) {
						t.Errorf("%s: %+v, want %+v", s.name, facts, count)
					}
					if from >= 0 && facts.Empty != count.Empty { // row groups that hold none of the window are not read
						t.Errorf("%s: %d rows without elements from %d, want %d", s.name, facts.Empty, from, count.Empty)
					}
				}
			}
		}
	}
}

// TestExplodeOtherWriter reads nested rows of parquet-go, with lists of single values and structs in structs.
func TestExplodeOtherWriter(t *testing.T) {
	type line struct {
		SKU   string `parquet:"sku"`
		Price int64  `parquet:"price,decimal(2:18)"`
	}
	type device struct {
		OS string `parquet:"os"`
	}
	type context struct {
		Device *device `parquet:"device,optional"`
	}
	type row struct {
		User  string            `parquet:"user"`
		Ctx   *context          `parquet:"ctx,optional"`
		Items []line            `parquet:"items,list"`
		Bare  []line            `parquet:"bare"`
		Tags  []string          `parquet:"tags,list"`
		Deep  [][]string        `parquet:"deep,list"`
		Attrs map[string]string `parquet:"attrs"`
	}
	var buf bytes.Buffer
	w := pq.NewGenericWriter[row](&buf)
	if _, err := w.Write([]row{
		{User: "a", Ctx: &context{&device{"ios"}}, Items: []line{{"x", 100}, {"y", 1250}}, Bare: []line{{"p", 5}}, Tags: []string{"new"}, Attrs: map[string]string{"k": "v"}},
		{User: "b", Ctx: &context{}},
		{User: "c", Items: []line{{"z", -7}}, Bare: []line{{"q", 0}, {"r", 1}}, Tags: []string{"old", "sale"}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		explode string
		columns []Want
		want    []string
	}{
		{"items", []Want{{Name: "user"}, {Name: "items[].sku"}, {Name: "items[].price"}, {Name: "ctx.device.os"}}, []string{`"a" "x" 1 "ios"`, `"a" "y" 12.5 "ios"`, `"c" "z" -0.07 null`}},
		{"bare", []Want{{Name: "bare[].sku"}, {Name: "user"}, {Name: "gone", Type: Float64, Optional: true}}, []string{`"p" "a" null`, `"q" "c" null`, `"r" "c" null`}},
		{"tags", []Want{{Name: "tags[]"}, {Name: "user"}}, []string{`"new" "a"`, `"old" "c"`, `"sale" "c"`}},
		{"items", []Want{{Name: "items[].price", Type: String}}, []string{`"1"`, `"12.5"`, `"-0.07"`}},
	} {
		got, err := scanAll(t, buf.Bytes(), ScanOptions{Columns: c.columns, Explode: c.explode})
		if err != nil || !slices.Equal(explodedLines(got), c.want) {
			t.Errorf("%s: %q, %v, want %q", c.explode, explodedLines(got), err, c.want)
		}
	}
	for _, c := range []struct {
		explode, column, want string
	}{
		{"", "items[].sku", `column "items[].sku" is repeated: it stands in the list "items"; explode that list`},
		{"", "items.list.element.sku", `column "items.list.element.sku" is repeated; it is named "items[].sku", and "items" is the list to explode`},
		{"tags", "items[].sku", `it stands in the list "items", and it is "tags" that is exploded`},
		{"items", "user", `"items" is exploded, but the file has none of the columns that are declared of it`},
		{"itms", "user", `there is no list "itms" to explode; the nearest is "items"`},
		{"deep", "deep[][]", "repeated in a list that is repeated itself"},
		{"", "attrs", `"attrs" is a map, which rapport does not read`},
		{"", "attrs.key_value.value", `"attrs" is a map`},
		{"", "ctx.device", "is a struct or a list"},
		{"items", "items[]", "is a struct or a list"},
		{"items", "items[].skv", `there is no column "items[].skv"; the nearest is "items[].sku"`},
	} {
		_, err := scanAll(t, buf.Bytes(), ScanOptions{Columns: []Want{{Name: c.column}}, Explode: c.explode})
		if !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, exploding %q: %v, want %q", c.column, c.explode, err, c.want)
		}
	}
	st, err := Stat(t.Context(), memoryWith(t, buf.Bytes()), storage.Info{Key: "raw/f.parquet"}, ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, c := range st.Columns {
		have = append(have, fmt.Sprintf("%s %s %v", c.Name, c.List, c.Type != 0))
	}
	if want := []string{"user  true", "ctx.device.os  true", "items[].sku items true", "items[].price items true", "bare[].sku bare true", "bare[].price bare true", "tags[] tags true", "deep[][] deep false", "attrs.key_value.key  false", "attrs.key_value.value  false"}; !slices.Equal(have, want) {
		t.Errorf("columns %q", have)
	}
}

// TestExplodeReadsDeclaredOnly: of a nested file too, no byte of a column that was not declared is asked for, of elements neither.
func TestExplodeReadsDeclaredOnly(t *testing.T) {
	orders := randomOrders(rand.New(rand.NewPCG(5, 5)), shapes[0], 200, 5)
	body := nestedFile(t, shapes[0], orders)
	meta, footer := footerOf(t, body)
	what := make([]string, len(body))
	for i := footer; i < len(body); i++ {
		what[i] = "footer"
	}
	for g := range meta.RowGroups {
		for c, col := range meta.RowGroups[g].Columns {
			start := col.MetaData.DataPageOffset
			if d := col.MetaData.DictionaryPageOffset; d != nil {
				start = min(start, *d)
			}
			for i := start; i < start+col.MetaData.TotalCompressedSize; i++ {
				what[i] = fmt.Sprintf("%d %s", g, meta.Schema.Column(c).Name())
			}
		}
	}
	rec := storagetest.NewRecording(memoryWith(t, body))
	o := ScanOptions{Columns: []Want{{Name: "items[].sku"}, {Name: "user"}}, Explode: "items", Time: "at", Window: seconds(50, 70)}
	if _, err := collect(Scan(t.Context(), rec, storage.Info{Key: "raw/f.parquet"}, o)); err != nil {
		t.Fatal(err)
	}
	touched := map[string]bool{}
	for _, c := range rec.Gets("raw/f.parquet") {
		for i := c.Off; i < c.End; i++ {
			touched[what[i]] = true
		}
	}
	want := map[string]bool{"footer": true, "1 user": true, "1 sku": true, "1 at": true} // rows 40 to 80 are group 1
	if fmt.Sprint(touched) != fmt.Sprint(want) {
		t.Errorf("bytes of %v were asked for, want %v", touched, want)
	}
}

// TestExplodeTextTimes reads a local time as text, outside the list and inside, and says where one is not what it should be, without saying it.
func TestExplodeTextTimes(t *testing.T) {
	type line struct {
		SKU string `parquet:"sku"`
		At  string `parquet:"at"`
	}
	type row struct {
		At    *string `parquet:"at,optional"`
		Items []line  `parquet:"items,list"`
	}
	text := func(s string) *string { return &s }
	var buf bytes.Buffer
	if err := pq.Write(&buf, []row{
		{At: text("05.01.2026 13:45"), Items: []line{{"x", "1767617100"}, {"y", ""}}},
		{At: text("")},
		{Items: []line{{"z", "1767617100.5"}}},
		{At: text("person-7@example.org"), Items: []line{{"w", "person-7"}}},
	}); err != nil {
		t.Fatal(err)
	}
	o := ScanOptions{Columns: []Want{{Name: "items[].sku"}, {Name: "items[].at", Type: Time}}, Explode: "items", Unit: 1e9, BatchRows: 3}
	var seen []string
	var last error
	for b, err := range Scan(t.Context(), memoryWith(t, buf.Bytes()), storage.Info{Key: "raw/f.parquet"}, o) {
		if last = err; err == nil {
			seen = append(seen, explodedLines(b)...)
		}
	}
	if want := []string{`"x" 1767617100000000`, `"y" null`}; !slices.Equal(seen, want) {
		t.Errorf("read %q", seen)
	}
	if last == nil || !strings.Contains(last.Error(), "element 4 (from 0) of the row group is no time") || strings.Contains(last.Error(), "person") {
		t.Errorf("%v", last)
	}
	o = ScanOptions{Columns: []Want{{Name: "at", Type: Time}, {Name: "items[].sku"}}, Explode: "items", TimeFormat: "%d.%m.%Y %H:%M", Local: zone(t, "Europe/Berlin")}
	if _, err := scanAll(t, buf.Bytes(), o); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), `"at" is BYTE_ARRAY String, wanted as time, and row 3 (from 0) of the row group is no time`) || strings.Contains(err.Error(), "person") {
		t.Errorf("%v", err)
	}
	o.Local = nil
	if _, err := scanAll(t, buf.Bytes(), o); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), "row 0 (from 0) of the row group has no time zone: say which zone") {
		t.Errorf("%v", err)
	}
	o.TimeFormat = "%d"
	if _, err := scanAll(t, buf.Bytes(), o); err == nil || !strings.Contains(err.Error(), "needs a year") {
		t.Errorf("%v", err)
	}
}

// TestDecimalText: every physical type of a decimal, as an id.
func TestDecimalText(t *testing.T) {
	T := parquet.Types
	num := func(precision, scale int32, p parquet.Type, length int) schema.Node {
		return node(t, "c", required, schema.NewDecimalLogicalType(precision, scale), p, length)
	}
	for name, c := range map[string]struct {
		col  rawColumn
		want string
	}{
		"int32": {values(num(9, 2, T.Int32, -1), []int32{12300, 1250, -5, 0}, nil), "123 12.5 -0.05 0"},
		"int64": {values(num(18, 0, T.Int64, -1), []int64{123, -100, 100, 0}, nil), "123 -100 100 0"},
		"fixed": {values(num(20, 3, T.FixedLenByteArray, 9), []parquet.FixedLenByteArray{{0, 0, 0, 0, 0, 0, 0, 7, 0xcf}, {255, 255, 255, 255, 255, 255, 255, 255, 255}, {1, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 9)}, nil), "1.999 -0.001 18446744073709551.616 0"},
		"bytes": {values(num(20, 2, T.ByteArray, -1), []parquet.ByteArray{{7, 0xd0}, {}, {0x80}, {0, 0x80}}, nil), "20 0 -1.28 1.28"},
	} {
		got, err := scanAll(t, rawParquet(t, 4, 4, []rawColumn{c.col}), ScanOptions{Columns: []Want{{Name: "c", Type: String}}})
		if err != nil || strings.Join(got.Cols[0].Str, " ") != c.want {
			t.Errorf("%s: %q, %v", name, got.Cols[0].Str, err)
		}
	}
}

// TestExplodeCorrupt: levels that contradict each other or the footer.
func TestExplodeCorrupt(t *testing.T) {
	s := shapes[0]
	orders := randomOrders(rand.New(rand.NewPCG(9, 9)), s, 60, 4)
	body := nestedFile(t, s, orders)
	o := ScanOptions{Columns: []Want{{Name: "items[].sku"}, {Name: "items[].price"}, {Name: "user"}}, Explode: "items"}
	sku, price := 1, 2
	for name, edit := range map[string]func(m *metadata.FileMetaData){
		"fewer entries in one": func(m *metadata.FileMetaData) { m.RowGroups[0].Columns[price].MetaData.NumValues-- },
		"fewer entries": func(m *metadata.FileMetaData) {
			m.RowGroups[0].Columns[sku].MetaData.NumValues -= 30
			m.RowGroups[0].Columns[price].MetaData.NumValues -= 30
		},
		"more entries": func(m *metadata.FileMetaData) {
			m.RowGroups[0].Columns[sku].MetaData.NumValues += 1 << 40
			m.RowGroups[0].Columns[price].MetaData.NumValues += 1 << 40
		},
		"no entries": func(m *metadata.FileMetaData) {
			m.RowGroups[0].Columns[sku].MetaData.NumValues = -1
			m.RowGroups[0].Columns[price].MetaData.NumValues = -1
		},
		"other pages": func(m *metadata.FileMetaData) { // both columns read the pages of one, as bytes of its kind
			a, b := m.RowGroups[0].Columns[sku].MetaData, m.RowGroups[1].Columns[sku].MetaData
			a.DataPageOffset, a.DictionaryPageOffset, a.TotalCompressedSize, a.NumValues = b.DataPageOffset, b.DictionaryPageOffset, b.TotalCompressedSize, m.RowGroups[0].Columns[price].MetaData.NumValues
		},
	} {
		if _, err := scanAll(t, withFooter(t, body, edit), o); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "raw/f.parquet") {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := rand.New(rand.NewPCG(13, 1))
	_, footer := footerOf(t, body)
	failed := 0
	for range 300 {
		bad := slices.Clone(body)
		for range 1 + r.IntN(4) {
			bad[4+r.IntN(footer-4)] = byte(r.Uint32())
		}
		switch _, err := scanAll(t, bad, o); {
		case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn):
			t.Fatal(err)
		case err != nil:
			failed++
		}
	}
	if failed == 0 {
		t.Error("no damage was noticed")
	}
}

func FuzzExplode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 9))
	for _, s := range shapes {
		f.Add(nestedFile(f, s, randomOrders(r, s, 50, 3)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		mem, info := memoryWith(t, body), storage.Info{Key: "raw/f.parquet"}
		for _, list := range []string{"items", "order.items"} {
			var facts ScanFacts
			o := ScanOptions{
				Columns: []Want{{Name: list + "[].sku", Type: String}, {Name: list + "[].price", Type: Float64, Optional: true}, {Name: "user", Type: String, Optional: true}},
				Time:    "at", Explode: list, Window: seconds(0, 1000), KeepOutside: true, Facts: &facts, BatchRows: 100,
			}
			rows := 0
			// A small file may say that it repeats one value, or a row without elements, for ever: a scan ends with its context.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for b, err := range Scan(ctx, mem, info, o) {
				if err != nil {
					if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn) && !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("an error of no kind: %v", err)
					}
					break
				}
				if err := b.check(b.Schema); err != nil {
					t.Fatal(err)
				}
				if rows += b.N; rows > 1<<18 {
					break
				}
			}
		}
	})
}
