package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// unpacked is what src unpacks to, size bytes, in dst's memory if they fit. A codec allocates by what src says or does, not by what its page announced, so
// that is looked at before: a page that holds more is refused, and no more than a few times its size is allocated for it. The codec may panic at what is damaged,
// which a guard makes an error.
func unpacked(codec compress.Codec, dst, src []byte, size int) ([]byte, error) {
	other := func(n uint64) error {
		return fmt.Errorf("%w: a page announces %d bytes, and its codec %d", ErrCorrupt, size, n)
	}
	if !zstdFrames(src) {
		n, k := binary.Uvarint(src) // snappy's pages begin with the number
		if k > 0 && n != uint64(size) {
			return nil, other(n)
		}
		if size/32 > len(src) { // a copy of 64 bytes takes 3
			return nil, errShort
		}
	} else {
		f, err := frames(src)
		switch {
		case err != nil:
			return nil, err
		case f.exact && f.most != uint64(size):
			return nil, other(f.most)
		case f.most < uint64(size):
			return nil, other(f.most)
		case f.most > 4*uint64(size)+1<<20:
			return streamed(codec, dst, src, size, f.window)
		}
	}
	if cap(dst) < size+overrun {
		dst = make([]byte, 0, size+overrun)
	}
	raw := codec.Decode(dst[:size], src)
	if len(raw) != size {
		return nil, fmt.Errorf("%w: a page has %d bytes where it announces %d", ErrCorrupt, len(raw), size)
	}
	return raw, nil
}

// overrun is how far behind what it unpacks zstd's decoder likes to write: with room for it, it copies 16 bytes at a time.
const overrun = 16

// maxWindow is the largest window that zstd's specification asks every decoder to support. A stream keeps so much of what it has unpacked.
const maxWindow = 8 << 20

// streamed unpacks what may be longer than size, block by block, until it is.
func streamed(codec compress.Codec, dst, src []byte, size int, window uint64) ([]byte, error) {
	stream, ok := codec.(compress.StreamingCodec)
	if !ok || window > maxWindow {
		return nil, fmt.Errorf("%w: a page does not say what it unpacks to, and wants a window of %d bytes for it", ErrCorrupt, window)
	}
	r := stream.NewReader(bytes.NewReader(src))
	defer r.Close()
	dst = resized(dst, size)
	if n, err := io.ReadFull(r, dst); err != nil {
		return nil, fmt.Errorf("%w: a page has %d bytes where it announces %d: %v", ErrCorrupt, n, size, err)
	}
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); err != io.EOF {
		return nil, fmt.Errorf("%w: a page has more bytes than the %d that it announces, or is damaged behind them", ErrCorrupt, size)
	}
	return dst, nil
}

// zstdFrames reports whether a packed page is one of zstd: it begins with the magic number of a frame, or of one that is skipped. (Snappy's begin with a
// length and go on with a literal, which these numbers do not.)
func zstdFrames(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(b)
	return magic == zstdMagic || magic&^0xf == zstdSkipped
}

const (
	zstdMagic   = 0xfd2fb528
	zstdSkipped = 0x184d2a50 // and the 15 numbers behind it
	zstdBlock   = 128 << 10  // bytes that a block unpacks to, at most
)

// frameSizes are what zstd's frames unpack to, by their headers and those of their blocks.
type frameSizes struct {
	most   uint64 // bytes
	exact  bool   // every frame says its size, which the decoder holds it to
	window uint64 // the largest, in bytes
}

// frames walks zstd's frames (RFC 8878, 3.1), and decodes none.
func frames(b []byte) (frameSizes, error) {
	out := frameSizes{exact: true}
	var err error
	take := func(n int) []byte {
		if err != nil || n > len(b) {
			err = errShort
			return make([]byte, min(n, 8)) // of which the headers below take no more
		}
		var head []byte
		head, b = b[:n], b[n:]
		return head
	}
	number := func(n int) (v uint64) {
		for i, c := range take(n) {
			v |= uint64(c) << (8 * i)
		}
		return v
	}
	for len(b) > 0 && err == nil {
		switch magic := number(4); {
		case magic&^0xf == zstdSkipped:
			take(int(number(4)))
			continue
		case magic != zstdMagic:
			return out, errShort
		}
		flags := number(1)
		single := flags>>5&1 == 1
		window := uint64(0)
		if !single {
			w := number(1)
			window = 1 << (10 + w>>3)
			window += window / 8 * (w & 7)
		}
		take([...]int{0, 1, 2, 4}[flags&3]) // the number of a dictionary
		size, known := uint64(0), single || flags>>6 > 0
		if known {
			size = number([...]int{1, 2, 4, 8}[flags>>6])
			if flags>>6 == 1 {
				size += 256
			}
		}
		if single {
			window = size
		}
		blocks := uint64(0)
		for last := false; !last && err == nil; {
			h := number(3)
			last = h&1 == 1
			switch n := h >> 3; h >> 1 & 3 {
			case 0: // as it is
				take(int(n))
				blocks += n
			case 1: // a byte repeated
				take(1)
				blocks += n
			case 2:
				take(int(n))
				blocks += zstdBlock
			default:
				return out, errShort
			}
		}
		if flags>>2&1 == 1 {
			take(4) // a checksum
		}
		if !known {
			size, out.exact = blocks, false
		}
		if size > blocks || out.most > 1<<40 { // more than its blocks can hold
			return out, errShort
		}
		out.most += size
		out.window = max(out.window, window)
	}
	return out, err
}
