package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/rapport-ml/rapport/storage"
)

var eventColumns = []Want{{Name: "user"}, {Name: "item"}}

// file frames a footer.
func framed(footer []byte) []byte {
	b := append([]byte("PAR1"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, "PAR1"...)
}

// TestScanCorrupt: files that are none, are cut off, or contradict themselves.
func TestScanCorrupt(t *testing.T) {
	body := eventsFile(t, 300)
	wide := slices.Repeat([]byte{0x15, 0x02, 0x00}, 20000) // structs of one field
	// A chain of groups with names of so many bytes, each with a member: what a decoder writes out of it grows with the square.
	chain := func(groups, name int) []byte {
		b := binary.AppendUvarint([]byte{0x29, 0xfc}, uint64(groups))
		for range groups {
			b = binary.AppendUvarint(append(b, 0x48), uint64(name))
			b = append(append(b, strings.Repeat("x", name)...), 0x15, 0x02, 0x00)
		}
		return framed(b)
	}
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"empty":          {nil, "no Parquet file"},
		"short":          {[]byte("PAR1PAR1"), "no Parquet file"},
		"csv":            {[]byte("user,item\n1,a\n2,b\n"), "another format, or was cut off"},
		"cut off":        {body[:len(body)-9], "another format, or was cut off"},
		"encrypted":      {append(slices.Clone(body[:len(body)-4]), "PARE"...), "encrypted"},
		"long footer":    {append(binary.LittleEndian.AppendUint32(slices.Clone(body[:len(body)-8]), math.MaxUint32), "PAR1"...), "announces a footer"},
		"no footer":      {framed(nil), "a footer of 0 bytes"},
		"footer cut off": {framed(body[len(body)-40 : len(body)-30]), "footer"},
		"long list":      {framed([]byte{0x49, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00}), "a list of 16777215 elements"},
		"long text":      {framed([]byte{0x18, 0xff, 0xff, 0x7f, 'x'}), "bytes announced"},
		"wide schema":    {framed(append([]byte{0x29, 0xfc, 0xa0, 0x9c, 0x01}, wide...)), "a schema of 20000 nodes"},
		"deep":           {framed(slices.Repeat([]byte{0x1c}, 5000)), "nested deeper"},
		"deep lists":     {framed(append([]byte{0x19}, slices.Repeat([]byte{0x19}, 5000)...)), "nested deeper"},
		"deep groups":    {chain(8000, 1), "more than 256 groups deep"},
		"long names":     {chain(100, 1000), "names of more than 8192 bytes"},
		"a map":          {framed([]byte{0x1b, 0x01, 0x55, 0x00}), "unknown field type"},
		"other rows":     {withFooter(t, body, func(m *metadata.FileMetaData) { m.NumRows = 5 }), "row groups have 300 rows"},
		"negative rows":  {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].NumRows = -100 }), "row group 1"},
		"fewer columns":  {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns = m.RowGroups[1].Columns[:2] }), "row group 1 has 2 columns"},
		"chunk behind":   {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns[0].MetaData.DataPageOffset = 1 << 40 }), "row group 1"},
		"chunk before":   {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns[0].MetaData.DataPageOffset = -1 }), "row group 1"},
		"chunk too long": {withFooter(t, body, func(m *metadata.FileMetaData) {
			m.RowGroups[1].Columns[0].MetaData.TotalCompressedSize = math.MaxInt64
		}), "row group 1"},
		"no chunk":      {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns[0].MetaData.TotalCompressedSize = 0 }), "row group 1"},
		"fewer values":  {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns[0].MetaData.NumValues = 7 }), "7 values for 100 rows"},
		"another file":  {withFooter(t, body, func(m *metadata.FileMetaData) { p := "x"; m.RowGroups[1].Columns[0].FilePath = &p }), "another file"},
		"shifted":       {withFooter(t, body, func(m *metadata.FileMetaData) { *m.RowGroups[1].Columns[0].MetaData.DictionaryPageOffset += 3 }), "row group 1"},
		"unknown codec": {withFooter(t, body, func(m *metadata.FileMetaData) { m.RowGroups[1].Columns[0].MetaData.Codec = 99 }), "row group 1"},
	} {
		_, err := scanAll(t, c.body, ScanOptions{Columns: eventColumns})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "raw/f.parquet") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := Stat(context.Background(), memoryWith(t, c.body), storage.Info{Key: "raw/f.parquet"}, ScanOptions{}); err == nil && strings.Contains(c.want, "footer") {
			t.Errorf("%s: Stat accepts it", name)
		}
	}
}

// TestScanBadPages overwrites bytes of pages at random: an error of the file or other values, never a panic.
func TestScanBadPages(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for _, codec := range []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip} {
		body := eventsFile(t, 300, parquet.WithCompression(codec))
		_, footer := footerOf(t, body)
		failed := 0
		for range 300 {
			bad := slices.Clone(body)
			for range 1 + r.IntN(4) {
				bad[4+r.IntN(footer-4)] = byte(r.Uint32())
			}
			got, err := scanAll(t, bad, ScanOptions{Columns: eventColumns, Time: "at", Window: seconds(50, 250)})
			switch {
			case err == nil && got.N > 300:
				t.Fatalf("%s: %d rows", codec, got.N)
			case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn):
				t.Fatalf("%s: %v", codec, err)
			case err != nil:
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("%s: no damage was noticed", codec)
		}
	}
}

// TestHostileFootersAllocateLittle: what a footer of a few bytes announces is not allocated.
func TestHostileFootersAllocateLittle(t *testing.T) {
	for _, footer := range [][]byte{
		{0x29, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00}, // a schema of 2²⁴ nodes
		{0x49, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00}, // row groups
		{0x18, 0xff, 0xff, 0xff, 0xff, 0x07},       // a text of 2 GiB
	} {
		mem := memoryWith(t, framed(footer))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := collect(Scan(context.Background(), mem, storage.Info{Key: "raw/f.parquet"}, ScanOptions{}))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%x: %d bytes allocated, %v", footer, after.TotalAlloc-before.TotalAlloc, err)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add(eventsFile(f, 250))
	f.Add(eventsFile(f, 30, parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDataPageVersion(parquet.DataPageV2)))
	f.Add(eventsFile(f, 30, parquet.WithCompression(compress.Codecs.Gzip), parquet.WithDictionaryDefault(false)))
	f.Add(framed(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		mem := memoryWith(t, body)
		info := storage.Info{Key: "raw/f.parquet"}
		rows := 0
		o := ScanOptions{Columns: []Want{{Name: "user"}, {Name: "item", Optional: true, Type: String}}, Time: "at", Unit: time.Second, Local: time.UTC, Window: seconds(0, 1000)}
		for b, err := range Scan(context.Background(), mem, info, o) {
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn) {
					t.Fatalf("an error of no kind: %v", err)
				}
				break
			}
			if err := b.check(b.Schema); err != nil {
				t.Fatal(err)
			}
			if rows += b.N; rows > 1<<20 {
				break // a small file may say that it repeats one value for ever
			}
		}
		if _, err := Stat(context.Background(), mem, info, ScanOptions{Time: "at", Unit: time.Second}); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

// hostileRead reads a part of any bytes, of which its manifest says that they are right: an ErrCorrupt, or as many rows as it has.
func hostileRead(t *testing.T, s Schema, body []byte) (failed bool) {
	t.Helper()
	if len(body) == 0 {
		return true
	}
	mem := memoryWith(t, body)
	rows := int64(300)
	m := manifestOf(t, "raw/f.parquet", body, s, rows)
	for _, o := range []ReadOptions{{}, {Dictionaries: true, BatchRows: 100, Columns: []string{"ids", "names", "near"}}} {
		got := int64(0)
		for b, err := range Read(context.Background(), mem, m, o) {
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%v", err)
				}
				return true
			}
			if err := b.check(b.Schema); err != nil {
				t.Fatal(err)
			}
			got += int64(b.N)
		}
		if got != rows {
			t.Fatalf("%d rows", got)
		}
	}
	return false
}

// TestReadBadPages overwrites bytes of a part's pages, and of its footer, at random: an error of the part or other values, never a panic.
func TestReadBadPages(t *testing.T) {
	for _, codec := range []string{"zstd", "snappy", "none"} { // none, so that damage reaches what stands behind the codec
		mem := storage.NewMemory(nil)
		r := rand.New(rand.NewPCG(12, 1))
		b, _ := layouts(r, 300)
		b.Cols[3].Valid = slices.Repeat([]bool{true, true, false}, 100)
		o := WriteOptions{Ordered: true, RowGroup: 120, Codec: codec}
		w := NewWriter(mem, "t", b.Schema, o)
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(context.Background(), mem, m.Parts[0].Object)
		if err != nil {
			t.Fatal(err)
		}
		if hostileRead(t, b.Schema, body) {
			t.Fatal("the part itself is refused")
		}
		failed := 0
		for range 300 {
			bad := slices.Clone(body)
			for range 1 + r.IntN(4) {
				bad[4+r.IntN(len(bad)-12)] = byte(r.Uint32())
			}
			if hostileRead(t, b.Schema, bad) {
				failed++
			}
		}
		if failed < 20 {
			t.Errorf("%s: %d damages of 300 were noticed", codec, failed)
		}
	}
}

// TestPagesAnnounceTheirSize: a packed page that would unpack to more than its header says is refused before a byte is allocated for it.
func TestPagesAnnounceTheirSize(t *testing.T) {
	for _, name := range []string{"zstd", "snappy"} {
		codec, err := compress.GetCodec(compressions[name])
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 40, 100, 255, 256, 300, 5000, 65_791, 65_792, 200_000} {
			text := []byte(strings.Repeat("ab\x00", n/3+1)[:n])
			packed := codec.EncodeLevel(make([]byte, codec.CompressBound(int64(n))), text, 1)
			if f, err := frames(packed); name == "zstd" && (err != nil || !zstdFrames(packed) || f.most < uint64(n) || f.exact && f.most != uint64(n)) {
				t.Errorf("%d bytes are taken for %+v: %v", n, f, err)
			}
			if name == "snappy" && zstdFrames(packed) {
				t.Errorf("%d bytes of snappy are taken for zstd's", n)
			}
			for _, size := range []int{n, n - 1, n + 1, 2 * n} {
				p := page{size: size, body: packed}
				err := guard(func() error {
					raw, err := p.decompress(codec, nil)
					if err == nil && string(raw) != string(text[:size]) {
						t.Errorf("%s: %d bytes are others", name, n)
					}
					return err
				})
				if size != 0 && (err == nil) != (size == n) || err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s: %d bytes announced as %d: %v", name, n, size, err)
				}
			}
		}
	}
}

// allocates is how many bytes f allocates.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// streamOf packs text as a stream does, which does not say how long it is, with a flush behind each so many bytes.
func streamOf(t *testing.T, text []byte, each int) []byte {
	t.Helper()
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := codec.(compress.StreamingCodec).NewWriter(&out)
	for part := range slices.Chunk(text, each) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.(interface{ Flush() error }).Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestPagesUnpackToTheirSize: frames that do not say their size, several of them, and those that are skipped are read, and a page that would unpack to more
// than its header says is refused without memory for what it would unpack to.
func TestPagesUnpackToTheirSize(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 2))
	text := make([]byte, 300_000)
	for i := range text {
		text[i] = "abcdefgh"[r.IntN(8)]
	}
	codecs := map[string]compress.Codec{}
	for _, name := range []string{"zstd", "snappy"} {
		codec, err := compress.GetCodec(compressions[name])
		if err != nil {
			t.Fatal(err)
		}
		codecs[name] = codec
	}
	zstd := codecs["zstd"]
	frame := func(b []byte) []byte { return zstd.EncodeLevel(make([]byte, zstd.CompressBound(int64(len(b)))), b, 1) }
	skipped := append([]byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, "abc"...)
	for name, body := range map[string][]byte{
		"a frame": frame(text), "a stream": streamOf(t, text, len(text)), "a stream of small blocks": streamOf(t, text, 100),
		"two frames": append(frame(text[:1000]), frame(text[1000:])...), "a frame and a skipped one": append(frame(text), skipped...),
		"a skipped one and a stream": append(slices.Clone(skipped), streamOf(t, text, 150_000)...),
	} {
		if f, err := frames(body); err != nil || f.most < uint64(len(text)) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		for _, size := range []int{len(text), len(text) - 1, len(text) + 1, 100} {
			p := page{size: size, body: body}
			err := guard(func() error {
				raw, err := p.decompress(zstd, nil)
				if err == nil && !bytes.Equal(raw, text) {
					t.Errorf("%s: other bytes", name)
				}
				return err
			})
			if (err == nil) != (size == len(text)) || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, announced as %d: %v", name, size, err)
			}
		}
		for n := range min(len(body), 40) {
			if f, err := frames(body[:n]); err == nil && n > 0 && !bytes.Equal(body[:n], skipped) {
				t.Errorf("%s, cut off behind %d bytes: %+v", name, n, f)
			}
		}
	}

	zeros := make([]byte, 64<<20)
	long := streamOf(t, zeros, len(zeros))
	wide := slices.Clone(long)
	wide[5] = 19 << 3 // a window of 512 MiB
	for name, p := range map[string]struct {
		codec string
		page
	}{
		"snappy of 2 GiB":            {"snappy", page{size: 100, body: append(binary.AppendUvarint(nil, 1<<31), "\x00abcdef"...)}},
		"snappy, and so announced":   {"snappy", page{size: 200 << 20, body: append(binary.AppendUvarint(nil, 200<<20), "\x00abcdef"...)}},
		"a stream of 64 MiB":         {"zstd", page{size: 100, body: long}},
		"a window of 512 MiB":        {"zstd", page{size: 100, body: wide}},
		"a long frame behind":        {"zstd", page{size: 100, body: append(frame(text[:100]), frame(zeros)...)}},
		"a stream behind":            {"zstd", page{size: 100, body: append(frame(text[:100]), long...)}},
		"less than is announced":     {"zstd", page{size: maxPage, body: frame(text[:100])}},
		"less than it might be":      {"zstd", page{size: maxPage, body: streamOf(t, text[:100], 100)}},
		"a frame that says too much": {"zstd", page{size: maxPage, body: []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x10, 1, 0, 0}}},
	} {
		var err error
		// A stream's decoder, which is kept, takes a window and what belongs to it.
		if n := allocates(func() {
			err = guard(func() error {
				_, err := p.decompress(codecs[p.codec], nil)
				return err
			})
		}); !errors.Is(err, ErrCorrupt) || n > 24<<20 {
			t.Errorf("%s: %d bytes allocated, %v", name, n, err)
		}
	}
}

// TestFewBytesOfManyValues: a page whose bytes cannot hold the values that it announces makes no memory for them.
func TestFewBytesOfManyValues(t *testing.T) {
	const n = 50_000_000
	deltas := append(binary.AppendUvarint([]byte{0x80, 1, 4}, n), 0, 0, 0, 0, 0, 0)
	run := binary.AppendUvarint(nil, 1000<<1)
	for name, read := range map[string]func() error{
		"deltas":       func() error { _, _, err := unpackDeltas(nil, deltas, n); return err },
		"codes":        func() error { _, err := indexes(nil, append([]byte{8}, append(run, 0)...), n, 10); return err },
		"packed codes": func() error { _, err := indexes(nil, []byte{8, 0xff, 0xff, 0xff, 0x7f, 1, 2}, n, 10); return err },
		"no codes":     func() error { _, err := indexes(nil, nil, n, 10); return err },
		"levels": func() error {
			_, _, _, err := cutLevels(append([]byte{3, 0, 0, 0}, append(run, 1)...), n, nil)
			return err
		},
		"packed levels": func() error { _, _, _, err := cutLevels([]byte{3, 0, 0, 0, 0xff, 0x7f, 1}, n, nil); return err },
	} {
		var err error
		if took := allocates(func() { err = read() }); !errors.Is(err, ErrCorrupt) || took > 1<<20 {
			t.Errorf("%s: %d bytes allocated, %v", name, took, err)
		}
	}
	// What they do hold is read.
	const most = 3 * unseen
	codes, err := indexes(nil, append(append([]byte{8}, binary.AppendUvarint(nil, most<<1)...), 9), most, 10)
	if err != nil || len(codes) != most || codes[most-1] != 9 {
		t.Errorf("%d codes, %v", len(codes), err)
	}
	levels := binary.AppendUvarint([]byte{0, 0, 0, 0}, (most-8)<<1)
	levels = append(levels, 1, 1<<1|1, 0x55)
	levels[0] = byte(len(levels) - 4)
	if _, valid, values, err := cutLevels(levels, most, nil); err != nil || values != most-4 || !valid[most-2] || valid[most-1] {
		t.Errorf("%d values, %v", values, err)
	}
}

// TestLongPagesAreTheLibrarys: a page of a raw file that repeats one value more often than any writer does is read a batch at a time.
func TestLongPagesAreTheLibrarys(t *testing.T) {
	for _, n := range []int{maxPlainValues, maxPlainValues + 1} {
		r := chunkReader{chunkOptions: chunkOptions{typ: Int64}, pages: []page{{values: n, encoding: encodingPlain}}}
		if r.known() != (n == maxPlainValues) {
			t.Errorf("%d values", n)
		}
	}
}
