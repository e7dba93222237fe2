package models

import (
	"errors"
	"fmt"
)

// Limits collects what is wrong with hyperparameters, so that all of it is told at once. The zero Limits is ready.
type Limits struct{ errs []error }

// Want notes that the parameter of a name is value, where that is not ok; want says what would be.
func (l *Limits) Want(ok bool, name string, value any, want string) {
	if !ok {
		l.errs = append(l.errs, fmt.Errorf("%s is %v, want %s", name, value, want))
	}
}

// Err returns all that was noted, or nil.
func (l *Limits) Err() error { return errors.Join(l.errs...) }
