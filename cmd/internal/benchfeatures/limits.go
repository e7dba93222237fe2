package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// limits says how fast the machine reads memory: no scan is faster.
func (b *bench) limits(context.Context) error {
	words := make([]uint64, 1<<26) // 512 MiB: far more than any cache
	if b.CI {
		words = words[:1<<22]
	}
	for i := range words {
		words[i] = uint64(i)
	}
	one, all := readBandwidth(words, 1), readBandwidth(words, runtime.GOMAXPROCS(0))
	b.Say("limits", "memory is read at %.1f GB/s by one core, %.1f GB/s by %d", one/1e9, all/1e9, runtime.GOMAXPROCS(0))
	return nil
}

// readBandwidth is bytes a second at which cores sum words side by side; the best of three.
func readBandwidth(words []uint64, cores int) float64 {
	best := 0.0
	sums := make([]uint64, cores)
	for range 3 {
		began := time.Now()
		var wg sync.WaitGroup
		for c := range cores {
			wg.Go(func() { sums[c] = sum(words[len(words)*c/cores : len(words)*(c+1)/cores]) })
		}
		wg.Wait()
		best = max(best, float64(len(words)*8)/time.Since(began).Seconds())
	}
	return best
}

// sum adds words in eight chains, so that loads and not additions are what it waits for.
func sum(words []uint64) uint64 {
	var s [8]uint64
	for len(words) >= 8 {
		w := words[:8]
		s[0] += w[0]
		s[1] += w[1]
		s[2] += w[2]
		s[3] += w[3]
		s[4] += w[4]
		s[5] += w[5]
		s[6] += w[6]
		s[7] += w[7]
		words = words[8:]
	}
	for _, w := range words {
		s[0] += w
	}
	return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7]
}

// decompression says how long one core takes to decompress, and to do no more than that, the pages of the columns that views read.
type decompression struct {
	packed, plain int64 // bytes
	seconds       float64
}

func (d decompression) String() string {
	return fmt.Sprintf("bare decompression of the columns read: %.0f MB become %.0f MB in %.2f s of processor time, %.0f MB/s",
		float64(d.packed)/1e6, float64(d.plain)/1e6, d.seconds, float64(d.plain)/1e6/d.seconds)
}

// decompress measures it over every tenth file, and scales it up.
func decompress(d *dataset, columns []string, codec string) (decompression, error) {
	var total decompression
	files := d.files()
	step := max(1, min(10, len(files)/3))
	sampled := 0
	for i := 0; i < len(files); i += step {
		body, err := os.ReadFile(files[i])
		if err != nil {
			return total, err
		}
		pages, err := pagesOf(body, columns)
		if err != nil {
			return total, fmt.Errorf("%s: %w", files[i], err)
		}
		var c compress.Codec = &zstd.Codec{}
		if codec == "snappy" {
			c = &snappy.Codec{}
		}
		var plain []byte
		began, _ := benchmark.Usage() // of the processor: a busy machine takes longer by the clock
		for _, p := range pages {
			if plain, err = c.Decode(slices.Grow(plain[:0], p.plain)[:p.plain], p.body); err != nil {
				return total, fmt.Errorf("%s: %w", files[i], err)
			}
			total.packed += int64(len(p.body))
			total.plain += int64(len(plain))
		}
		ended, _ := benchmark.Usage()
		total.seconds += ended - began
		sampled++
	}
	scale := float64(len(files)) / float64(sampled)
	return decompression{int64(float64(total.packed) * scale), int64(float64(total.plain) * scale), total.seconds * scale}, nil
}

// packedPage is a page as it stands in a file, and its size when it is decompressed.
type packedPage struct {
	body  []byte
	plain int
}

// pagesOf finds the pages of columns in a file.
func pagesOf(body []byte, columns []string) ([]packedPage, error) {
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	var out []packedPage
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			m := c.MetaData
			if !slices.Contains(columns, m.PathInSchema[0]) {
				continue
			}
			from := m.DataPageOffset
			if m.DictionaryPageOffset != 0 {
				from = min(from, m.DictionaryPageOffset)
			}
			chunk := body[from : from+m.TotalCompressedSize]
			for len(chunk) > 0 {
				r := bytes.NewReader(chunk)
				var h format.PageHeader
				if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(r)).Decode(&h); err != nil {
					return nil, err
				}
				chunk = chunk[len(chunk)-r.Len():]
				out = append(out, packedPage{chunk[:h.CompressedPageSize], int(h.UncompressedPageSize)})
				chunk = chunk[h.CompressedPageSize:]
			}
		}
	}
	return out, nil
}
