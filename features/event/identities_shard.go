package event

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// wireIdentity is a row as it is stored, with its key id as text.
type wireIdentity struct {
	key         string
	floor       uint8
	mac, online mac
}

// A shard is one object, little-endian:
//
//	"RPID" | u16 version 1 or 2 | u16 number of key ids | each: u8 length, text
//	u32 rows | each: u64 subject number, u8 key, 16 bytes HMAC, 16 bytes online key, in version 2 u8 floor, ascending by number
//	SHA-256 of all before
//
// Version 2 is written only where a row has a floor: somebody was numbered after a key was lost.
const (
	shardMagic   = "RPID"
	shardVersion = 2
	shardRow     = 8 + 1 + 16 + 16
	maxShard     = storage.MaxCommit
)

func encodeShard(rows map[policy.Subject]wireIdentity) ([]byte, error) {
	ids := map[string]int{}
	version := uint16(1)
	for _, r := range rows {
		ids[r.key] = 0
		if r.floor > 0 {
			version = 2
		}
	}
	if len(ids) > 256 {
		return nil, fmt.Errorf("rows under %d key ids, more than 256: retire old keys", len(ids))
	}
	out := binary.LittleEndian.AppendUint16([]byte(shardMagic), version)
	out = appendKeyIDs(out, ids)
	out = binary.LittleEndian.AppendUint32(slices.Grow(out, len(rows)*(shardRow+1)+36), uint32(len(rows)))
	for _, s := range slices.Sorted(maps.Keys(rows)) {
		r := rows[s]
		out = binary.LittleEndian.AppendUint64(out, uint64(s))
		out = append(out, byte(ids[r.key]))
		out = append(append(out, r.mac[:]...), r.online[:]...)
		if version == 2 {
			out = append(out, r.floor)
		}
	}
	if out = sealed(out); len(out) > maxShard {
		return nil, fmt.Errorf("%d rows do not fit into the %d bytes of a shard: the identity table is full", len(rows), maxShard)
	}
	return out, nil
}

// appendKeyIDs writes key ids, and sets each to its index.
func appendKeyIDs(out []byte, ids map[string]int) []byte {
	out = binary.LittleEndian.AppendUint16(out, uint16(len(ids)))
	for i, id := range slices.Sorted(maps.Keys(ids)) {
		ids[id] = i
		out = append(append(out, byte(len(id))), id...)
	}
	return out
}

// takeKeyIDs reads what appendKeyIDs wrote, and returns what follows.
func takeKeyIDs(body []byte) (ids []string, rest []byte, err error) {
	if len(body) < 2 {
		return nil, nil, errShard
	}
	ids = make([]string, binary.LittleEndian.Uint16(body))
	body = body[2:]
	for i := range ids {
		if len(body) < 1 || len(body) < 1+int(body[0]) {
			return nil, nil, errShard
		}
		n := 1 + int(body[0])
		ids[i], body = string(body[1:n]), body[n:]
	}
	return ids, body, nil
}

// sealed returns body and its SHA-256.
func sealed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

var errShard = errors.New("the shard is damaged")

// unsealed returns what stands between the head of a sealed body and its SHA-256, and the version that the head gives.
func unsealed(magic string, data []byte) (body []byte, version uint16, err error) {
	if len(data) < len(magic)+8+sha256.Size || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, 0, errShard
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, 0, errShard
	}
	body = body[len(magic):]
	return body[2:], binary.LittleEndian.Uint16(body), nil
}

// shardRead is the rows of a shard as they were read, their keys by name. The zero shardRead is of a shard without an object.
type shardRead struct {
	shardRows
	ids   []string // of keys
	under []int    // how many rows each of them has
}

// openShard verifies the object of a shard, and keeps its bytes.
func openShard(shard int, data []byte) (shardRead, error) {
	out := shardRead{shardRows: shardRows{row: shardRow}}
	body, version, err := unsealed(shardMagic, data)
	if err != nil {
		return shardRead{}, err
	}
	switch {
	case version > shardVersion:
		return shardRead{}, fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", version, shardVersion)
	case version == 2:
		out.row++
	case version < 1:
		return shardRead{}, errShard
	}
	if out.ids, body, err = takeKeyIDs(body); err != nil {
		return shardRead{}, err
	}
	if len(body) < 4 || uint64(binary.LittleEndian.Uint32(body))*uint64(out.row) != uint64(len(body)-4) {
		return shardRead{}, errShard
	}
	out.body, out.under = body[4:], make([]int, len(out.ids))
	var last policy.Subject
	for i := range out.len() {
		s, key := out.subject(i), int(out.body[i*out.row+8])
		if s <= last || identityShard(s) != shard || key >= len(out.ids) {
			return shardRead{}, errShard
		}
		out.under[key]++
		last = s
	}
	for i, n := range out.under {
		if n > 0 && !policy.ValidName(out.ids[i]) {
			return shardRead{}, errShard
		}
	}
	out.indexed()
	return out, nil
}

// wire are the rows by number.
func (r shardRead) wire() map[policy.Subject]wireIdentity {
	out := make(map[policy.Subject]wireIdentity, r.len())
	for i := range r.len() {
		b := r.body[i*r.row:][:r.row]
		w := wireIdentity{key: r.ids[b[8]], mac: mac(b[9:25]), online: mac(b[25:41])}
		if r.row > shardRow {
			w.floor = b[shardRow]
		}
		out[r.subject(i)] = w
	}
	return out
}

// readShard returns the rows of a shard, none if the object is absent.
func (t *Identities) readShard(ctx context.Context, shard int) (shardRead, storage.Info, error) {
	key := identityObject(shard)
	data, info, err := storage.ReadAll(ctx, t.bucket, key)
	if errors.Is(err, storage.ErrNotFound) {
		return shardRead{}, storage.Info{}, nil
	}
	if err != nil {
		return shardRead{}, info, err
	}
	rows, err := openShard(shard, data)
	if err != nil {
		return shardRead{}, info, fmt.Errorf("%s: %w", key, err)
	}
	return rows, info, nil
}

// updateShard reads a shard, lets edit change its rows, and stores them if nobody else did meanwhile, else tries again. It returns the
// rows that stand in the bucket now.
func (t *Identities) updateShard(ctx context.Context, shard int, edit func(map[policy.Subject]wireIdentity) error) (shardRead, error) {
	key := identityObject(shard)
	for range maxRetries {
		read, info, err := t.readShard(ctx, shard)
		if err != nil {
			return shardRead{}, err
		}
		rows, before := read.wire(), read.wire()
		if err := edit(rows); err != nil {
			return shardRead{}, fmt.Errorf("%s: %w", key, err)
		}
		if maps.Equal(rows, before) {
			return read, nil
		}
		body, err := encodeShard(rows)
		if err != nil {
			return shardRead{}, fmt.Errorf("%s: %w", key, err)
		}
		if _, err = storage.Commit(ctx, t.bucket, key, body, replacing(info)); err == nil {
			return openShard(shard, body)
		} else if !errors.Is(err, storage.ErrPrecondition) {
			return shardRead{}, err
		}
	}
	return shardRead{}, fmt.Errorf("%s: other writers came first %d times: run again", key, maxRetries)
}
