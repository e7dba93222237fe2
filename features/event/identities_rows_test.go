package event

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// TestPeopleAgainstMaps: whoever comes, goes or is stored, rows are found by number and by HMAC as two maps would find them, wherever their numbers lie.
func TestPeopleAgainstMaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	for round := range 60 {
		p := newPeople()
		rows, byMAC := map[policy.Subject]identity{}, map[macUnder]policy.Subject{}
		var ever []policy.Subject
		row := func() (policy.Subject, identity) {
			r := identity{key: uint8(rng.IntN(2)), floor: uint8(rng.IntN(2) * (round % 2))}
			for i := range r.mac {
				r.mac[i], r.online[i] = byte(rng.Uint32()), byte(rng.Uint32())
			}
			s := numberOf(r.mac)
			switch rng.IntN(4) {
			case 0: // wrapped anew since, or displaced
				s = policy.Subject(rng.Uint64())
			case 1: // all in one place of the index
				s = policy.Subject(uint64(rng.IntN(identityShards))<<(64-shardBits) | uint64(rng.IntN(3000)+1))
			}
			return s, r
		}
		for range 2000 {
			switch rng.IntN(5) {
			case 0:
				if len(ever) > 0 {
					s := ever[rng.IntN(len(ever))]
					p.remove(s)
					delete(byMAC, rows[s].under())
					delete(rows, s)
				}
			default:
				s, r := row()
				if _, taken := rows[s]; taken || s == 0 {
					continue
				}
				p.add(s, r)
				rows[s], byMAC[r.under()], ever = r, s, append(ever, s)
			}
			if rng.IntN(100) == 0 { // a shard is stored
				shard, names := rng.IntN(identityShards), []string{"k0", "k1"}
				wires := map[policy.Subject]wireIdentity{}
				for s, r := range rows {
					if identityShard(s) == shard {
						wires[s] = wireIdentity{names[r.key], r.floor, r.mac, r.online}
					}
				}
				body, err := encodeShard(wires)
				if err != nil {
					t.Fatal(err)
				}
				read, err := openShard(shard, body)
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(read.wire(), wires) {
					t.Fatal("what is stored reads otherwise")
				}
				for _, id := range read.ids {
					read.keys = append(read.keys, id[1]-'0')
				}
				p.replace(shard, read.shardRows)
			}
		}
		if got := maps.Collect(p.all()); !maps.Equal(got, rows) || p.n != len(rows) {
			t.Fatalf("round %d: %d rows (it says %d), want %d, or they differ", round, len(got), p.n, len(rows))
		}
		for _, s := range append(ever, 1, 1<<64-1) {
			got, ok := p.of(s)
			if want, known := rows[s]; ok != known || got != want {
				t.Fatalf("round %d, %s: %v, %v", round, s, got, ok)
			}
		}
		for m, want := range byMAC {
			if got, ok := p.find(m); !ok || got != want {
				t.Fatalf("round %d: %s is found as %s, %v", round, want, got, ok)
			}
		}
		if _, ok := p.find(macUnder{mac: mac{1, 2, 3}}); ok {
			t.Fatalf("round %d: somebody is found whom nobody added", round)
		}
	}
}

func TestWhoHasAnOnlineKey(t *testing.T) {
	k := testKeys(t, "k1")
	ids := openIdentities(t, storage.NewMemory(nil), k)
	asked, want := map[string]bool{"": true, "erased:00": true, strings.Repeat("z", 32): true, OnlineKey(k.ServingKey(), person(500)): true}, map[policy.Subject]bool{}
	var all []policy.Subject
	for i := range 300 {
		if i == 200 {
			flush(t, ids)
		}
		s := number(t, ids, person(i))
		if all = append(all, s); i%3 == 0 {
			asked[OnlineKey(k.ServingKey(), person(i))], want[s] = true, true
		}
	}
	if got := ids.HavingOnlineKeys(asked); !maps.Equal(got, want) {
		t.Errorf("%d have one of the keys, want %d, or others", len(got), len(want))
	}
	slices.Sort(all)
	if got := slices.Collect(ids.Subjects()); !slices.Equal(got, all) {
		t.Errorf("%d subjects, want %d ascending", len(got), len(all))
	}
}
