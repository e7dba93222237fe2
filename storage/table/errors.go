package table

import (
	"errors"
	"fmt"
)

// Errors that callers test with errors.Is. Each comes wrapped with the object, the column or row group, and what to do.
var (
	// ErrColumn says that a column is missing from a file, or of a type that does not fit.
	ErrColumn = errors.New("column does not fit")
	// ErrCorrupt says that the bytes of an object are not what they should be: no Parquet, cut off, damaged.
	ErrCorrupt = errors.New("corrupt file")
)

// guard runs f and turns a panic into an ErrCorrupt: decoders of third parties panic at some damaged files.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the decoder failed: %v", ErrCorrupt, r)
		}
	}()
	return f()
}
