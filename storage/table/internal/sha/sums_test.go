package sha

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
)

// levels runs f with each of the kernels that this machine has.
func levels(t *testing.T, f func(t *testing.T)) {
	best, least := level, fewest
	defer func() { level, fewest = best, least }()
	fewest = 3
	for l, name := range []string{"portable", "avx2", "avx512"} {
		if level = l; !available(l) {
			t.Logf("this machine has no %s", name)
			continue
		}
		t.Run(name, f)
	}
}

func check(t *testing.T, messages [][]byte) {
	t.Helper()
	sums := make([][Size]byte, len(messages))
	Sums(sums, messages)
	for i, m := range messages {
		if want := sha256.Sum256(m); sums[i] != want {
			t.Fatalf("message %d of %d, of %d bytes: %x, want %x", i, len(messages), len(m), sums[i], want)
		}
	}
}

// random returns bytes that begin at any place of memory.
func random(r *rand.Rand, n int) []byte {
	off := r.IntN(64)
	b := make([]byte, off+n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b[off:]
}

// TestLengths compares with crypto/sha256 at every length around the ends of blocks and of copies, as many messages of one length as lanes, fewer and more.
func TestLengths(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for n := range 400 {
			for _, count := range []int{0, 1, 2, 8, 9, 16, 17} {
				messages := make([][]byte, count)
				for i := range messages {
					messages[i] = random(r, n)
				}
				check(t, messages)
			}
		}
	})
}

// TestRagged has messages of many lengths in one call, so that lanes end at different blocks, take others, and move.
func TestRagged(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for count := range 70 {
			for _, most := range []int{100, 300, 3000} {
				messages := make([][]byte, count)
				for i := range messages {
					messages[i] = random(r, r.IntN(most))
				}
				check(t, messages)
			}
		}
		long := [][]byte{nil, random(r, 5*maxBlocks*blockSize+3), {1}, random(r, maxBlocks*blockSize), random(r, 100_000), random(r, 64)}
		check(t, long)
	})
}

// Where the processor has instructions of its own, fewer messages than kernels are worth are hashed by these: sums are the same.
func TestFewest(t *testing.T) {
	best, least := level, fewest
	defer func() { level, fewest = best, least }()
	r := rand.New(rand.NewPCG(3, 3))
	for level = range 3 {
		if !available(level) {
			continue
		}
		for fewest = range 18 {
			for count := range 18 {
				messages := make([][]byte, count)
				for i := range messages {
					messages[i] = random(r, r.IntN(1000))
				}
				check(t, messages)
				if most := Together(count); most < 1 || count < fewest && most != 1 {
					t.Errorf("%d messages are hashed %d at a time where %d are worth it", count, most, fewest)
				}
			}
		}
	}
}

func TestSumsAllocatesNothing(t *testing.T) {
	messages, sums := make([][]byte, 100), make([][Size]byte, 100)
	for i := range messages {
		messages[i] = make([]byte, 3*i)
	}
	if n := testing.AllocsPerRun(10, func() { Sums(sums, messages) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSums cuts bytes into messages, by lengths that are bytes as well, and compares all kernels with crypto/sha256.
func FuzzSums(f *testing.F) {
	f.Add([]byte{3, 0, 64, 55}, []byte("some bytes of which messages are cut, one behind the other, until none are left"))
	f.Add([]byte{119, 120, 247, 248}, make([]byte, 900))
	f.Fuzz(func(t *testing.T, lengths, data []byte) {
		var messages [][]byte
		for _, n := range lengths {
			k := min(int(n), len(data))
			messages, data = append(messages, data[:k]), data[k:]
		}
		messages = append(messages, data)
		best := level
		defer func() { level = best }()
		for level = range avx512 + 1 {
			if available(level) {
				check(t, messages)
			}
		}
	})
}

func BenchmarkSums(b *testing.B) {
	best, least := level, fewest
	defer func() { level, fewest = best, least }()
	fewest = 3
	for _, n := range []int{50, 180, 64 << 10} {
		for _, count := range []int{2, 4, 8, 64} {
			messages, sums := make([][]byte, count), make([][Size]byte, count)
			for i := range messages {
				messages[i] = make([]byte, n)
			}
			for l, name := range []string{"portable", "avx2", "avx512"} {
				if level = l; !available(l) {
					continue
				}
				b.Run(fmt.Sprintf("%dx%dB/%s", count, n, name), func(b *testing.B) {
					b.SetBytes(int64(n * count))
					for b.Loop() {
						Sums(sums, messages)
					}
				})
			}
		}
	}
}
