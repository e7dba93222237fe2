package online_test

import (
	"fmt"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
)

func benchRows(n int) []online.Entry {
	entries := make([]online.Entry, n)
	for i := range entries {
		owner := fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)
		entries[i] = online.Entry{Key: "list/" + owner, Owner: owner, Value: fmt.Appendf(nil, "%0400d", i)}
	}
	return entries
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 200_000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			s := open(b, b.TempDir(), online.Options{})
			entries := benchRows(n)
			onlinetest.Load(b, s, 1, entries...)
			if err := s.Swap(b.Context(), online.Pointer{Generation: 1, Fence: 1}); err != nil {
				b.Fatal(err)
			}
			if err := s.Deny(b.Context(), "somebody"); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, _, err := s.Get(b.Context(), entries[i%n].Key, 0); err != nil {
					b.Fatal(err)
				}
				i += 7919
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, tt := range []struct {
		name   string
		memory int64
	}{{"memory", 1 << 30}, {"spilling-8", 12 << 20}} {
		const n = 200_000
		b.Run(fmt.Sprintf("rows=%d/%s", n, tt.name), func(b *testing.B) {
			entries := benchRows(n)
			s := open(b, b.TempDir(), online.Options{LoadMemory: tt.memory})
			b.ReportAllocs()
			for b.Loop() {
				onlinetest.Load(b, s, 1, entries...)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkErase(b *testing.B) {
	const n = 200_000
	s := open(b, b.TempDir(), online.Options{})
	entries := benchRows(n)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		onlinetest.Load(b, s, 1, entries...)
		b.StartTimer()
		if removed, err := s.Erase(b.Context(), entries[7].Owner); err != nil || removed != 1 {
			b.Fatal(removed, err)
		}
		b.StopTimer()
		if err := s.Allow(b.Context(), entries[7].Owner); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
