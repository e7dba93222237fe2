package online

import "testing"

// The digests were computed by another program, from the formula in Digester's comment.
func TestDigester(t *testing.T) {
	entries := []Entry{
		{Key: "meta", Value: []byte("{}")},
		{Key: "list/o1", Owner: "o1", Expires: 1234567, Value: []byte("v")},
		{Key: "k"},
	}
	want := []string{
		"fb5fcf6ff30ee475c5acc0a8d0c0c21a4bc586e5ccc5f2fae61444cf4f7a9b2e",
		"1d9fdcc56457d57d653bf798ce8aaa33ac27d3bf9691442480def0ea4497d06e",
		"e3ef4a1be16e6019807b45c137762eb433c23344d6dace352d9369e4be6ef40a",
		"baccfc0dd95d0941a8001904c4d697f4a33a7375dec43a6e9b493118e8f34116",
	}
	for n := range want {
		var forward, backward Digester
		for i := range n {
			forward.Add(entries[i])
			backward.Add(entries[n-1-i])
		}
		if forward.Sum() != want[n] || backward.Sum() != want[n] || forward.Len() != uint64(n) {
			t.Errorf("%d entries: %s forward, %s backward, want %s", n, forward.Sum(), backward.Sum(), want[n])
		}
	}
	if got, want := ErasedName("o1"), "erased:2352da7280f1decc3acf1ba84eb945c9fc2b7b541094e1d0992dbffd1b6664cc"; got != want {
		t.Errorf("ErasedName: %s, want %s", got, want)
	}
}

// The sum of row hashes is mod 2²⁵⁶: carries run through all words and the last one falls off.
func TestDigesterCarry(t *testing.T) {
	var d Digester
	for i := range 4 {
		d.sum[i] = ^uint64(0)
	}
	var one Digester
	e := Entry{Key: "k"}
	d.Add(e) // −1 + h = h − 1
	one.Add(e)
	one.sum[3]--
	if d.sum != one.sum {
		t.Errorf("−1 + h = %x, want %x", d.sum, one.sum)
	}
}
