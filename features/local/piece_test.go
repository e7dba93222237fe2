package local

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// piecesOf returns the pieces that a partition is written in, with the keys of texts that words don't hold.
func piecesOf(t testing.TB, p *program, pt *partition, number int) (parts []int64, bodies []string) {
	var b pieces
	b.order(&pt.entities, slices.Repeat([]uint64{1}, pt.n))
	var members [][]gathered
	for i := range pt.classes {
		members = append(members, pt.classes[i].finished(pt.n))
	}
	err := b.put(pt, number, 5, func(dst []byte, class int, slots []uint32) []byte {
		return pt.classes[class].appendState(dst, slots, p.end, members[class], b.col[:len(slots)], b.low[:len(slots)])
	}, func(part int64, body string) error {
		parts, bodies = append(parts, part), append(bodies, strings.Clone(body))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return parts, bodies
}

// partitionOf is the partition in which a key belongs: that of the first entity.
func partitionOf(pt *partition) int { return int(hashKey(pt.keys[:pt.words]) >> partShift) }

// alone returns everything's program, and a partition with one entity: a subject, and an item whose name is longer than two words.
func alone(t testing.TB) (*program, *partition) {
	p, _ := everything(t, false)
	pt := newPartition(p, p.groups[0])
	pt.begin()
	long := "a name of more than fifteen bytes"
	words := packText(long)
	var slots [1]uint32
	if err := pt.find([]uint64{1, words.head, words.tail}, 3, []string{long}, make([]uint64, 1), slots[:]); err != nil {
		t.Fatal(err)
	}
	pt.classes[0].room(1)
	return p, pt
}

// A piece of an entity whose members fill it is put out alone, and pieces come in the order of hashes, however entities came.
func TestPieces(t *testing.T) {
	p, pt := everything(t, false)
	var set aggregate.Members
	for i := range 400_000 {
		set = append(set, aggregate.Member{ID: uint64(i), Time: p.end - int64(i)})
	}
	for slot := range uint32(pt.n) {
		pt.classes[0].members[0].addMembers(slot, set, newScratch(pieceRows))
	}
	parts, bodies := piecesOf(t, p, pt, 3)
	if len(parts) != 2 || parts[0] != 3<<partShift || parts[1] != 3<<partShift|1 {
		t.Fatalf("pieces %x", parts)
	}
	for i, body := range bodies {
		if _, err := open([]byte(body), 5, parts[i]); err != nil {
			t.Error(err)
		}
		if _, err := open([]byte(body), 5, parts[1-i]); err == nil {
			t.Error("a piece is taken for another")
		}
		if _, err := open([]byte(body), 6, parts[i]); err == nil {
			t.Error("a piece is taken for one of other views")
		}
	}

	order := func(keys ...uint64) (got []uint64) {
		e := entities{words: 1, long: []int{}}
		slots := make([]uint32, len(keys))
		if err := e.find(keys, 1, nil, make([]uint64, len(keys)), slots); err != nil {
			t.Fatal(err)
		}
		var b pieces
		keep := slices.Repeat([]uint64{7}, e.n)
		keep[slices.Index(e.keys, 4)] = 0
		b.order(&e, keep)
		for _, slot := range b.slots {
			got = append(got, e.keys[slot])
		}
		return got
	}
	var keys []uint64
	for i := range uint64(700) {
		keys = append(keys, i)
	}
	want := order(keys...)
	slices.Reverse(keys)
	if got := order(keys...); len(want) != 699 || !slices.Equal(got, want) {
		t.Error("the order of entities depends on that of their coming")
	}
	if !slices.IsSortedFunc(want, func(a, b uint64) int {
		if hashKey([]uint64{a})<<partitionBits < hashKey([]uint64{b})<<partitionBits {
			return -1
		}
		return 1
	}) {
		t.Error("entities are not in the order of their hashes")
	}
}

// A table that has a piece twice, or lacks one, is found out.
func TestWhole(t *testing.T) {
	add := func(w *whole, part int64, total, rows int) bool {
		return w.add(part, int(uint64(part)>>partShift), total, rows)
	}
	w := newWhole()
	for i := range partitions {
		part := int64(uint64(i) << partShift)
		if w.complete() || !add(w, part, 3, 2) || add(w, part, 3, 1) || add(w, part|1, 4, 1) || add(w, part|1, 3, 2) || w.complete() || !add(w, part|1, 3, 1) {
			t.Fatalf("partition %d: what is missing, or too many, is not told", i)
		}
	}
	if !w.complete() {
		t.Error("all pieces have come, and some are missing")
	}
	w = newWhole()
	for i := range partitions - 1 {
		add(w, int64(uint64(i)<<partShift), 0, 0)
	}
	if w.complete() {
		t.Error("a partition without a piece is not missed")
	}
}

// Whatever bytes stand in a piece, reading it ends without a panic; one that was written is read as it was.
func FuzzPiece(f *testing.F) {
	p, pt := alone(f)
	number := partitionOf(pt)
	parts, bodies := piecesOf(f, p, pt, number)
	body, err := open([]byte(bodies[0]), 5, parts[0])
	if err != nil {
		f.Fatal(err)
	}
	col := make([]uint64, pieceRows)
	var b piece
	if err := b.read(p.groups[0], parts[0], body, col); err != nil || b.rows != 1 || b.total != 1 || b.texts[0] != "a name of more than fifteen bytes" || !slices.Equal(b.keys, pt.keys) {
		f.Fatalf("%+v, %v", b, err)
	}
	f.Add(body)
	f.Add(bytes.Replace(body, []byte("fifteen"), []byte("sixteen"), 1))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b piece
		if b.read(p.groups[0], parts[0], body, col) != nil {
			return
		}
		_, pt := alone(t)
		if len(b.sections) != len(pt.classes) || len(b.keys) != b.rows*3 || len(b.texts) != b.rows {
			t.Fatalf("%+v", b)
		}
		for i := range b.rows {
			if isLong(b.keys[i*3+2]) && packText(b.texts[i]) != (packed{b.keys[i*3+1], b.keys[i*3+2]}) {
				t.Fatalf("entity %d has another name than its words say", i)
			}
		}
	})
}
