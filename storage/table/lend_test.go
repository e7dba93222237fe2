package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/rapport-ml/rapport/storage"
)

func TestWordsClass(t *testing.T) {
	of := map[int]int{} // sizes of classes
	for n := fewWords; n < 1<<20; n += 1 + n/300 {
		class, size := wordsClass(n)
		if was, ok := of[class]; size < n || size > n+n/4 || ok && was != size {
			t.Fatalf("%d words stand in %d, of class %d, whose size is %d", n, size, class, was)
		}
		of[class] = size
		if again, same := wordsClass(size); again != class || same != size {
			t.Fatalf("memory for %d words is of class %d, and %d of class %d when it is given back", size, class, same, again)
		}
		if w := borrowWords(n); len(w) != n || cap(w) != size {
			t.Fatalf("borrowed %d of %d words, want %d of %d", len(w), cap(w), n, size)
		}
	}
}

// Bytes are lent as words are, and what begins or ends within a word is not taken for such.
func TestLentBytes(t *testing.T) {
	for _, n := range []int{1, 8*fewWords - 3, 8 * fewWords, 100_001} {
		b := borrowBytes(n)
		if len(b) < n || len(b) != cap(b) || len(b)%8 != 0 {
			t.Errorf("borrowed %d bytes, with room for %d, for %d", len(b), cap(b), n)
		}
		b[len(b)-1] = 1
		giveBackBytes(b)
	}
	odd := make([]byte, 16*fewWords)
	giveBackBytes(odd[1:])
	giveBackBytes(odd[: 8*fewWords+1 : 8*fewWords+1])
	giveBackBytes(nil)
	if w := borrowWords(2*fewWords - 1); len(w) != 2*fewWords-1 {
		t.Errorf("%d words, want %d", len(w), 2*fewWords-1)
	}
}

// Tables that are written side by side, and one after another, have the rows that were appended to them, whatever memory they lend each other.
func TestTablesLendMemory(t *testing.T) {
	s := Schema{{"id", Int64}, {"n", Int64}, {"x", Float64}, {"ok", Bool}, {"body", Bytes}}
	var side sync.WaitGroup
	for seed := range 4 {
		side.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(seed)))
			for turn := range 6 {
				n := 1 + r.IntN(5<<pileShift)
				b := newBatch(s)
				b.resize(n)
				b.Cols[2].Valid = make([]bool, n)
				for i := range n {
					b.Cols[0].Int[i], b.Cols[1].Int[i], b.Cols[3].Int[i] = int64(r.Uint64()), int64(r.IntN(100)), int64(r.IntN(2))
					b.Cols[2].Float[i], b.Cols[2].Valid[i] = r.Float64(), r.IntN(3) > 0
					b.Cols[4].Str[i] = fmt.Sprint(r.IntN(1000))
				}
				want := NewDigester(s)
				if err := want.Add(b); err != nil {
					t.Error(err)
					return
				}
				memory := storage.NewMemory(nil)
				w := NewWriter(memory, "t", s, WriteOptions{SortBy: []string{"id"}, Shards: 1 << (turn % 3), ShardBy: "id"})
				for at := 0; at < n; at += 1000 {
					if err := w.Append(b.slice(at, min(at+1000, n))); err != nil {
						t.Error(err)
						return
					}
				}
				m, err := w.Finish(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				got := NewDigester(s)
				for rows, err := range Read(t.Context(), memory, m, ReadOptions{}) {
					if err == nil {
						err = got.Add(rows)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
				if m.Digest != want.Sum() || got.Sum() != want.Sum() {
					t.Errorf("%d rows with digest %s were written as %s and read as %s", n, want.Sum(), m.Digest, got.Sum())
				}
			}
		})
	}
	side.Wait()
}

// Text that no codec packs, which goes into the file at once, stands there as what waits for a codec does: page by page.
func TestTextAsItIs(t *testing.T) {
	text := []string{"", "a", strings.Repeat("b", pageText+1), "", strings.Repeat("c", pageText/2), strings.Repeat("d", pageText/2), "e", strings.Repeat("f", 3*pageText), "g"}
	for n := range len(text) + 1 {
		var straight, waiting chunkEncoder
		for _, prefix := range []string{"", "before"} {
			got, m := straight.asItIs([]byte(prefix), text[:n], chunkMeta{})
			waiting.raw, waiting.pages = waiting.raw[:0], nil
			pages := waiting.data(dense{text: text[:n]}, nil, n, Bytes, encodingPlain, 0)
			waiting.pack()
			want, w := waiting.write([]byte(prefix), chunkMeta{pages: pages})
			if !bytes.Equal(got, want) || fmt.Sprint(m) != fmt.Sprint(w) {
				t.Errorf("%d texts are %d bytes and %+v, want %d and %+v", n, len(got), m, len(want), w)
			}
		}
	}
}

// Texts that are valid during Append alone are those that are stored, in blocks of many rows and of few, long ones and short ones; the memory of the copies goes
// from one table to the next.
func TestTextsAreCopied(t *testing.T) {
	s := Schema{{"id", Int64}, {"text", String}, {"body", Bytes}}
	r := rand.New(rand.NewPCG(3, 9))
	for turn, n := range []int{1, 300, 3 << pileShift, 700} {
		memory := storage.NewMemory(nil)
		w := NewWriter(memory, "t", s, WriteOptions{SortBy: []string{"id"}, Shards: 1 << turn, ShardBy: "id", CopyText: true, Codec: "none"})
		want := NewDigester(s)
		for at := 0; at < n; {
			b := newBatch(s)
			b.resize(min(n-at, 1+r.IntN(2000)))
			at += b.N
			b.Cols[1].Valid = make([]bool, b.N)
			var lent []byte
			for i := range b.N {
				b.Cols[0].Int[i], b.Cols[1].Valid[i] = int64(r.Uint64()), r.IntN(3) > 0
				lent = fmt.Appendf(lent, "%d %*d", b.Cols[0].Int[i], 1+r.IntN(30), i)
				if n < 1000 {
					lent = append(lent, bytes.Repeat([]byte{byte(i)}, r.IntN(4000))...)
				}
			}
			each := len(lent) / b.N
			for i := range b.N {
				b.Cols[2].Str[i] = unsafe.String(&lent[i*each], each)
				if b.Cols[1].Str[i] = ""; b.Cols[1].Valid[i] {
					b.Cols[1].Str[i] = unsafe.String(&lent[i*each], 5)[:0]
				}
			}
			if err := want.Add(b); err != nil {
				t.Fatal(err)
			}
			if err := w.Append(b); err != nil {
				t.Fatal(err)
			}
			clear(lent)
		}
		m, err := w.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := NewDigester(s)
		for b, err := range Read(t.Context(), memory, m, ReadOptions{}) {
			if err == nil {
				err = got.Add(b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if m.Digest != want.Sum() || got.Sum() != want.Sum() {
			t.Errorf("%d rows with digest %s were written as %s and read as %s", n, want.Sum(), m.Digest, got.Sum())
		}
	}
}

// A loan ends once, when all has been read and given back that somebody said to keep; where nobody did, never.
func TestLoan(t *testing.T) {
	for steps, want := range map[string]int{"r": 0, "kg": 0, "kgr": 1, "krg": 1, "kkgrg": 1, "kgkgr": 1, "kgkrg": 1, "kr": 0, "kkgr": 0} {
		ended := 0
		l := NewLoan(func() { ended++ })
		for _, s := range steps {
			switch s {
			case 'k':
				l.Keep()
			case 'g':
				l.GiveBack()
			case 'r':
				l.Read()
			}
			if ended > want || ended > 0 && s == 'k' {
				t.Errorf("%q ended the loan at %q", steps, s)
			}
		}
		if ended != want {
			t.Errorf("%q ended the loan %d times, want %d", steps, ended, want)
		}
	}
	var nobodys *Loan
	nobodys.Keep()
	nobodys.GiveBack()
}

// Texts that stand in what was fetched have a loan, and only these; what is given back is read into again.
func TestTextsAreLent(t *testing.T) {
	s := Schema{{"id", Int64}, {"body", Bytes}}
	b := newBatch(s)
	b.resize(400)
	for i := range b.N {
		b.Cols[0].Int[i], b.Cols[1].Str[i] = int64(i)<<56, strings.Repeat(fmt.Sprint(i), 300)
	}
	want := slices.Clone(b.Cols[1].Str)
	for _, codec := range []string{"none", "snappy"} {
		memory := storage.NewMemory(nil)
		w := NewWriter(memory, "t", s, WriteOptions{SortBy: []string{"id"}, Shards: 4, ShardBy: "id", RowGroup: 16, Codec: codec})
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, keeps := range []bool{false, true, true} {
			var kept []string
			var loans []*Loan
			for b, err := range Read(t.Context(), memory, m, ReadOptions{BatchRows: 5}) {
				if err != nil {
					t.Fatal(err)
				}
				if (b.Loan != nil) != (codec == "none") {
					t.Fatalf("codec %s: loan %v", codec, b.Loan)
				}
				if kept = append(kept, b.Cols[1].Str...); keeps {
					b.Loan.Keep()
					loans = append(loans, b.Loan)
				}
			}
			if slices.Sort(kept); !slices.Equal(kept, slices.Sorted(slices.Values(want))) {
				t.Fatalf("codec %s: other texts while they are kept", codec)
			}
			for _, l := range loans {
				l.GiveBack()
			}
		}
	}
}
