package sha

import (
	"crypto/sha256"
	"encoding/binary"
)

// Size is that of a sum, in bytes.
const Size = sha256.Size

// Lanes is how many messages are hashed at once at most: fewer in a call leave lanes idle.
const Lanes = 16

// Sums sets sums[i] to the SHA-256 of messages[i]; there are as many of both. It allocates nothing.
func Sums(sums [][Size]byte, messages [][]byte) {
	sums = sums[:len(messages)]
	if level == portable || len(messages) < fewest {
		for i, m := range messages {
			sums[i] = sha256.Sum256(m)
		}
		return
	}
	sideBySide(sums, messages)
}

const (
	blockSize = sha256.BlockSize
	// A message that is no longer with its padding is hashed from a copy, in one run of blocks; of a longer one the last blocks are.
	copied = 4 * blockSize
	// What follows a message at least: a byte with a bit set, and the length.
	padding = 1 + 8
	// The runtime cannot stop a goroutine within a kernel: it takes so many blocks at a time, a tenth of a millisecond.
	maxBlocks = 256
)

// lane is a message of which blocks are left: those that come next, and the last ones, a copy, if these come later.
type lane struct {
	message      int
	blocks, last []byte
}

// sideBySide hashes with the kernels. Messages are in lanes [0, n). (It stores into arrays by their names, so that the compiler keeps them on the stack.)
func sideBySide(sums [][Size]byte, messages [][]byte) {
	var (
		s      state
		from   [Lanes]*byte
		lanes  [Lanes]lane
		copies [Lanes][copied]byte
	)
	n := min(len(messages), width())
	next := 0
	for i := range n {
		blocks, size := pad(&copies[i], messages[next])
		lanes[i] = lane{next, blocks, copies[i][:size]}
		s.begin(i)
		next++
	}
	for n > 0 {
		blocks := maxBlocks
		for i := range n {
			if len(lanes[i].blocks) == 0 {
				lanes[i].blocks, lanes[i].last = lanes[i].last, nil
			}
			blocks = min(blocks, len(lanes[i].blocks)/blockSize)
			from[i] = &lanes[i].blocks[0]
		}
		for i := n; i < Lanes; i++ {
			from[i] = from[0] // idle, and must read something
		}
		kernel(&s, &from, blocks, n)
		// From the highest lane on: what moves down has been looked at.
		for i := n - 1; i >= 0; i-- {
			lanes[i].blocks = lanes[i].blocks[blocks*blockSize:]
			if len(lanes[i].blocks)+len(lanes[i].last) > 0 {
				continue
			}
			s.sum(&sums[lanes[i].message], i)
			if next < len(messages) {
				blocks, size := pad(&copies[i], messages[next])
				lanes[i] = lane{next, blocks, copies[i][:size]}
				s.begin(i)
				next++
				continue
			}
			n--
			lanes[i] = lanes[n] // no message begins any more: copies stay where they are
			s.move(i, n)
		}
	}
}

// pad returns the blocks of a message that are hashed where they are, and copies those behind them, padded (FIPS 180-4, 5.1.1), of size bytes.
func pad(last *[copied]byte, message []byte) (blocks []byte, size int) {
	rest := message
	if len(message) > copied-padding {
		whole := len(message) / blockSize * blockSize
		blocks, rest = message[:whole], message[whole:]
	}
	size = (len(rest) + padding + blockSize - 1) / blockSize * blockSize
	n := copy(last[:], rest)
	last[n] = 0x80
	clear(last[n+1 : size-8])
	binary.BigEndian.PutUint64(last[size-8:], uint64(len(message))*8)
	return blocks, size
}

// state is that of the lanes, word by word.
type state [8][Lanes]uint32

// initial is the state before the first block (FIPS 180-4, 5.3.3).
var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

func (s *state) begin(lane int) {
	for k, v := range initial {
		s[k][lane] = v
	}
}

func (s *state) move(to, from int) {
	for k := range s {
		s[k][to] = s[k][from]
	}
}

func (s *state) sum(to *[Size]byte, lane int) {
	for k := range s {
		binary.BigEndian.PutUint32(to[4*k:], s[k][lane])
	}
}
