package table

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

func digestOf(t testing.TB, d *Digester, bs ...*Batch) Digest {
	t.Helper()
	for _, b := range bs {
		if err := d.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	return d.Sum()
}

// TestDigestByHand computes the digest of two rows from its definition, with big integers and no code of the package.
func TestDigestByHand(t *testing.T) {
	s := Schema{{"n", Int64}, {"t", String}}
	b := &Batch{Schema: s, N: 2, Cols: []Column{{Int: []int64{258, 0}, Valid: []bool{true, false}}, {Str: []string{"ab", "\x00"}}}}
	row1 := sha256.Sum256([]byte{1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2, 'a', 'b'}) // 258 = 0x0102
	row2 := sha256.Sum256([]byte{0, 1, 1, 0})                                // null, then text of length 1: NUL
	number := func(h [32]byte) *big.Int {
		slices.Reverse(h[:])
		return new(big.Int).SetBytes(h[:])
	}
	sum := new(big.Int).Add(number(row1), number(row2))
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 256))
	var le [32]byte
	sum.FillBytes(le[:])
	slices.Reverse(le[:])

	head := "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x01n\x01" + "\x01t\x03" + "\x02\x00\x00\x00\x00\x00\x00\x00"
	want := sha256.Sum256([]byte("rapport table 1\n\x00" + head + string(le[:])))
	if got := digestOf(t, NewDigester(s), b); got != Digest(hex.EncodeToString(want[:])) {
		t.Errorf("unordered: %s, want %x", got, want)
	}
	link1 := sha256.Sum256(append(make([]byte, 32), row1[:]...))
	link2 := sha256.Sum256(append(link1[:], row2[:]...))
	want = sha256.Sum256([]byte("rapport table 1\n\x01" + head + string(link2[:])))
	if got := digestOf(t, NewOrderedDigester(s), b); got != Digest(hex.EncodeToString(want[:])) {
		t.Errorf("ordered: %s, want %x", got, want)
	}
}

// TestDigestGolden holds the digests that committed tables carry: a change of this file is a change of every key.
func TestDigestGolden(t *testing.T) {
	one := &Batch{Schema: testSchema, N: 3, Cols: []Column{
		{Int: []int64{1, -1, math.MinInt64}},
		{Int: []int64{0, 1483574400000000, -1}},
		{Str: []string{"", "a\x00b", "ä"}},
		{Float: []float64{math.NaN(), math.Copysign(0, -1), math.Inf(-1)}},
		{Int: []int64{1, 0, 0}, Valid: []bool{true, true, false}},
	}}
	var out strings.Builder
	for name, bs := range map[string][]*Batch{"empty": nil, "three rows": {one}, "six rows": {one, one}} {
		fmt.Fprintf(&out, "%s unordered %s\n", name, digestOf(t, NewDigester(testSchema), bs...))
		fmt.Fprintf(&out, "%s ordered %s\n", name, digestOf(t, NewOrderedDigester(testSchema), bs...))
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	slices.Sort(got)
	golden := filepath.Join("testdata", "digests.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "\n")+"\n" != string(want) {
		t.Errorf("digests changed:\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestDigestProperties(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := randomBatch(r, 1+r.IntN(60))
		whole := digestOf(t, NewDigester(testSchema), b)

		perm := r.Perm(b.N)
		shuffled := pickRows(b, perm)
		if got := digestOf(t, NewDigester(testSchema), shuffled); got != whole {
			t.Fatalf("seed %d: a permutation has another digest", seed)
		}
		cut := r.IntN(b.N + 1)
		left, right := pickRows(b, perm[:cut]), pickRows(b, perm[cut:])
		dl, dr := NewDigester(testSchema), NewDigester(testSchema)
		digestOf(t, dl, left)
		digestOf(t, dr, right)
		if err := dl.Merge(dr); err != nil {
			t.Fatal(err)
		}
		if dl.Sum() != whole || dl.Rows() != int64(b.N) {
			t.Fatalf("seed %d: merged halves have another digest", seed)
		}
		if digestOf(t, NewDigester(testSchema), b, b) == whole {
			t.Fatalf("seed %d: rows given twice have the same digest", seed)
		}
		ordered := digestOf(t, NewOrderedDigester(testSchema), left, right)
		if got := digestOf(t, NewOrderedDigester(testSchema), shuffled); got != ordered {
			t.Fatalf("seed %d: batches are visible in an ordered digest", seed)
		}
		if differ := !slices.Equal(lines(pickRows(b, perm)), lines(pickRows(b, seq(b.N)))); differ != (ordered != digestOf(t, NewOrderedDigester(testSchema), b)) {
			t.Fatalf("seed %d: order changed: %v, ordered digest says otherwise", seed, differ)
		}
	}
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// TestDigestTellsApart changes one thing at a time.
func TestDigestTellsApart(t *testing.T) {
	text := func(a, b string) *Batch {
		return &Batch{Schema: Schema{{"x", String}, {"y", String}}, N: 1, Cols: []Column{{Str: []string{a}}, {Str: []string{b}}}}
	}
	number := func(name string, typ Type, v int64, valid bool) *Batch {
		return &Batch{Schema: Schema{{name, typ}}, N: 1, Cols: []Column{{Int: []int64{v}, Valid: []bool{valid}}}}
	}
	float := func(v float64) *Batch {
		return &Batch{Schema: Schema{{"x", Float64}}, N: 1, Cols: []Column{{Float: []float64{v}}}}
	}
	seen := map[Digest]string{}
	for name, b := range map[string]*Batch{
		"ab|c": text("ab", "c"), "a|bc": text("a", "bc"), "a NUL|c": text("a\x00", "c"), "a|NUL c": text("a", "\x00c"), "|": text("", ""),
		"0": number("x", Int64, 0, true), "null": number("x", Int64, 0, false), "other name": number("y", Int64, 0, true),
		"time": number("x", Time, 0, true), "bool": number("x", Bool, 0, true), "null time": number("x", Time, 0, false),
		"0.0": float(0), "NaN": float(math.NaN()), "+Inf": float(math.Inf(1)), "-Inf": float(math.Inf(-1)),
	} {
		d := digestOf(t, NewDigester(b.Schema), b)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have one digest", name, other)
		}
		seen[d] = name
	}
	if digestOf(t, NewDigester(float(0).Schema), float(math.Copysign(0, -1))) != digestOf(t, NewDigester(float(0).Schema), float(0)) {
		t.Error("-0 and 0 differ")
	}
	if digestOf(t, NewDigester(float(0).Schema), float(math.Float64frombits(0xfff8000000000123))) != digestOf(t, NewDigester(float(0).Schema), float(math.NaN())) {
		t.Error("two NaNs differ")
	}
}

func TestDigestRefuses(t *testing.T) {
	d := NewDigester(testSchema)
	if err := d.Add(&Batch{Schema: testSchema[:1], N: 1, Cols: []Column{{Int: []int64{1}}}}); err == nil {
		t.Error("a batch of another schema was digested")
	}
	short := newBatch(testSchema)
	short.N = 1
	if err := d.Add(short); err == nil {
		t.Error("a batch without its values was digested")
	}
	if err := NewOrderedDigester(testSchema).Merge(NewOrderedDigester(testSchema)); err == nil {
		t.Error("ordered digests were merged")
	}
	if err := d.Merge(NewDigester(testSchema[:1])); err == nil {
		t.Error("digests of two schemas were merged")
	}
}

// TestDigestWithoutSomeRows: what a manifest says suffices to digest its table without some rows, and what was tampered with is not taken for that.
func TestDigestWithoutSomeRows(t *testing.T) {
	s := Schema{{Name: "a", Type: Int64}, {Name: "b", Type: String}}
	rows := func(ids ...int64) *Batch {
		b := &Batch{Schema: s, N: len(ids), Cols: make([]Column, 2)}
		for _, id := range ids {
			b.Cols[0].Int, b.Cols[1].Str = append(b.Cols[0].Int, id), append(b.Cols[1].Str, fmt.Sprint("row ", id))
		}
		return b
	}
	describe := func(parts ...*Batch) (m Manifest) {
		d := NewDigester(s)
		for _, b := range parts {
			if err := d.Add(b); err != nil {
				t.Fatal(err)
			}
		}
		m.Schema = s
		d.Describe(&m)
		return m
	}
	m := describe(rows(1, 2, 3, 3, 4, 5))
	for _, gone := range [][]int64{{}, {2}, {3, 3}, {5, 1, 3}, {1, 2, 3, 3, 4, 5}} {
		var stay []int64
		left := slices.Clone(gone)
		for _, id := range []int64{1, 2, 3, 3, 4, 5} {
			if i := slices.Index(left, id); i >= 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			stay = append(stay, id)
		}
		d, ok := m.Digested()
		if !ok {
			t.Fatal("the manifest does not tell what it was made of")
		}
		if err := d.Remove(rows(gone...)); err != nil {
			t.Fatal(err)
		}
		got := Manifest{Schema: s}
		if d.Describe(&got); got.Digest != describe(rows(stay...)).Digest || got.Sum != describe(rows(stay...)).Sum || got.Rows != int64(len(stay)) {
			t.Errorf("without %v: %+v", gone, got)
		}
	}
	d, _ := m.Digested()
	if err := d.Remove(rows(1, 2, 3, 4, 5, 6, 7)); err == nil {
		t.Error("more rows are taken out than there are")
	}
	for name, spoil := range map[string]func(*Manifest){
		"no sum": func(m *Manifest) { m.Sum = "" }, "short": func(m *Manifest) { m.Sum = m.Sum[2:] }, "no hex": func(m *Manifest) { m.Sum = "zz" + m.Sum[2:] },
		"another": func(m *Manifest) { m.Sum = describe(rows(1)).Sum }, "rows": func(m *Manifest) { m.Rows++ }, "negative": func(m *Manifest) { m.Rows = -1 },
	} {
		bad := m
		if spoil(&bad); bad.Sum == m.Sum && bad.Rows == m.Rows {
			t.Fatal(name)
		}
		if _, ok := bad.Digested(); ok {
			t.Errorf("%s: taken for the sum of the rows", name)
		}
	}
	ordered, plain := NewOrderedDigester(s), Manifest{Schema: s}
	if err := ordered.Add(rows(1, 2)); err != nil {
		t.Fatal(err)
	}
	if ordered.Describe(&plain); plain.Sum != "" || plain.Digest != ordered.Sum() {
		t.Errorf("an ordered table: %+v", plain)
	}
	if err := ordered.Remove(rows(1)); err == nil {
		t.Error("a row is taken out of an order")
	}
}
