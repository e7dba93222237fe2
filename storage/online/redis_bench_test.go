package online_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func BenchmarkRedisLoad(b *testing.B) {
	const n = 100_000
	entries := benchRows(n)
	for _, batch := range []int{64, 256, 1024} {
		b.Run(fmt.Sprintf("rows=%d/batch=%d", n, batch), func(b *testing.B) {
			r := storagetest.StartRedis(b, storagetest.RedisOptions{})
			s := openRedis(b, r, newProject(), online.RedisOptions{Batch: batch})
			b.ReportAllocs()
			for b.Loop() {
				onlinetest.Load(b, s, 1, entries...)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkRedisGet(b *testing.B) {
	const n = 100_000
	r := storagetest.StartRedis(b, storagetest.RedisOptions{})
	s := openRedis(b, r, newProject(), online.RedisOptions{})
	entries := benchRows(n)
	onlinetest.Load(b, s, 1, entries...)
	if err := s.Swap(b.Context(), online.Pointer{Generation: 1, Fence: 1}); err != nil {
		b.Fatal(err)
	}
	for _, state := range []string{"denials", "erasures"} {
		if state == "denials" {
			if err := s.Deny(b.Context(), "somebody"); err != nil {
				b.Fatal(err)
			}
		} else if _, err := s.Erase(b.Context(), "somebody"); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("rows=%d/%s", n, state), func(b *testing.B) {
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
	b.Run(fmt.Sprintf("rows=%d/parallel=16", n), func(b *testing.B) {
		var i atomic.Int64
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := s.Get(b.Context(), entries[int(i.Add(7919))%n].Key, 0); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkRedisErase(b *testing.B) {
	const n = 100_000
	r := storagetest.StartRedis(b, storagetest.RedisOptions{})
	s := openRedis(b, r, newProject(), online.RedisOptions{})
	entries := benchRows(n)
	onlinetest.Load(b, s, 1, entries...)
	i := 0
	for b.Loop() {
		if removed, err := s.Erase(b.Context(), entries[i].Owner); err != nil || removed != 1 {
			b.Fatal(removed, err)
		}
		i++
	}
}
