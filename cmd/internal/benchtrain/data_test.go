package main

import (
	"os"
	"slices"
	"testing"
)

func TestWorld(t *testing.T) {
	m, err := small.generate()
	if err != nil {
		t.Fatal(err)
	}
	popular, seen := make([]int, small.Items), make([]int, small.Items)
	for s := range small.Subjects {
		items := m.item[m.off[s]:m.off[s+1]]
		if len(items) < leastPairs || len(items) > small.Items/3 {
			t.Fatalf("subject %d has %d pairs", s, len(items))
		}
		for _, i := range items {
			if seen[i] == s+1 {
				t.Fatalf("subject %d has item %d twice", s, i)
			}
			seen[i] = s + 1
			popular[i]++
		}
	}
	if len(m.item) != small.Pairs || m.off[small.Subjects] != small.Pairs {
		t.Errorf("%d pairs, want %d", len(m.item), small.Pairs)
	}
	slices.Sort(popular)
	if top, middle := popular[len(popular)-1], popular[len(popular)/2]; top < 4*middle {
		t.Errorf("the most popular item has %d subjects, the median %d", top, middle)
	}

	b := &bench{data: t.TempDir()}
	path, err := b.ensure(small)
	if err != nil {
		t.Fatal(err)
	}
	back, err := small.read(path)
	if err != nil || !slices.Equal(back.item, m.item) || !slices.Equal(back.off, m.off) {
		t.Errorf("read back: %v", err)
	}
	d := back.dataset()
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := small.read(path); err == nil {
		t.Error("a file cut short is read")
	}
	if _, err := (world{Subjects: 10, Items: 30, Pairs: 300}).generate(); err == nil {
		t.Error("a world without room for its pairs is drawn")
	}
}
