// Package enginetest is what every features.Engine must pass: golden scripts with hand-computed rows, and generated events against an oracle
// written straight from the definitions in package features. An engine's own test is one line:
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, local.Engine{}) }
//
// # Scripts
//
// A script (testdata/*.txt, embedded) is a text of lines; # begins a comment, fields are separated by blanks, - is null.
//
//	end 2026-03-08T00:00:00Z              as of when
//	column device String                  a context column of the events (Int64, Float64, String, Bool)
//	view activity subject 7d 1d           name, key, windows; one feature a line follows:
//	  recent  decayed column=value half_life=1d kinds=buy,cart
//	events                                one event a line: subject item time kind value [context columns]
//	  1 apple -12h buy 2.5 phone          times are offsets from the end (d, h, m, s, ms, us), 0 is the end itself
//	expect activity                       the whole table of a view: a header of column names, then the rows
//	  entity recent_1d recent_7d
//	  1      1.7677    2/3                floats may be quotients
//	refused activity.recent 1             Stats.Refused, complete
//	outside 2                             Stats.RowsOutside
//
// # Design
//
// Every check is a function that returns an error, so this package's own test can show that broken engines fail it: a suite that can't fail
// proves nothing. Oracle and engine share no code beyond package features' names and types; the oracle sums in 2,200-bit floats, so it is exact
// where the engine claims to be. Integers must agree exactly, floats to 1e-12 relative; reordering, splitting, and GOMAXPROCS must not
// change a bit.
package enginetest
