package online

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"syscall"

	"github.com/rapport-ml/rapport/storage"
)

// formatNumber is the format of the embedded store that this code writes, and the newest that it reads.
const formatNumber = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends payload, which holds no newline, as a framed line.
func appendFrame(dst, payload []byte) []byte {
	dst = fmt.Appendf(dst, "%08x ", crc32.Checksum(payload, castagnoli))
	dst = append(dst, payload...)
	return append(dst, '\n')
}

// parseFrame returns the payload of a line (without its newline), and whether its checksum holds.
func parseFrame(line []byte) (payload []byte, ok bool) {
	sum, payload, found := bytes.Cut(line, []byte{' '})
	if !found || len(sum) != 8 {
		return nil, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	return payload, err == nil && uint32(want) == crc32.Checksum(payload, castagnoli)
}

// checkFormat refuses files of a newer Rapport.
func checkFormat(format int) error {
	if format > formatNumber {
		return fmt.Errorf("written in format %d by a newer Rapport, this one reads up to %d: upgrade it", format, formatNumber)
	}
	if format < 1 {
		return fmt.Errorf("%w: no format number", ErrCorrupt)
	}
	return nil
}

// writing adds what an operator can do to the error of a write.
func writing(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some room and run again: %w", storage.ErrFull, err)
	}
	return err
}

// damaged turns an error of reading a file's content into ErrCorrupt. Errors of the operating system stay what they are.
func damaged(err error) error {
	var pathError *fs.PathError
	var errno syscall.Errno
	if err == nil || errors.Is(err, ErrCorrupt) || errors.As(err, &pathError) || errors.As(err, &errno) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
