// Package enginetest is what every features.Engine must pass: golden scripts with hand-computed rows, and generated events against an oracle
// written straight from the definitions in package features. An engine's own test is one line:
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, local.Engine{}) }
//
// # Parts
//
// Each part is a subtest of its own, so that one that an engine does not do yet fails alone:
//
//	script   the golden scripts
//	oracle   each operator, by keys of every kind, behind every kind of filter, against the definitions
//	order    permuted, split, written as dictionaries, with any number of processors: the same bits, of states too
//	time     edges of windows to the microsecond, of calendars, and the future
//	text     any bytes
//	read     what is asked of the source: once, no other column, no time and no split that isn't needed
//	errors   of sources, columns, plans, outputs: as they are, and nothing is put out
//	prior    chains of builds that go on from the one before, against builds from all events, to the bit; damaged states
//	budget   tiny budgets, to the bit; no file stays behind
//	join     point-in-time joins against the definition
//
// # Scripts
//
// A script (testdata/*.txt, embedded) is a text of lines; # begins a comment, fields are separated by blanks, - is null, "" is an empty text.
//
//	end 2026-03-08T00:00:00Z              as of when
//	column device String                  a context column of the events (Int64, Float64, String, Bool, Time); created is one
//	view activity subject 7d 1d hop=1h    name, key (subject, device, subject+item), windows; one feature a line follows:
//	  recent  decayed column=value half_life=1d kinds=buy,cart
//	  cheap   count where=device:phone|web where=value:..10 not=value:2..4
//	  signal  sum column=value weights=view:1,rate:0.5 explicit=rate
//	  path    sequence n=3                (top: n; quantile: q; share: share=buy,cart)
//	events                                one event a line: subject item time kind value [context columns]
//	  1 apple -12h buy 2.5 phone          times are offsets from the end (d, h, m, s, ms, us), 0 is the end itself
//	expect activity                       the whole table of a view: a header of column names, then the rows, in any order
//	  entity recent_1d recent_7d
//	  1      1.7677    2/3                floats may be quotients, lists are JSON arrays
//	refused activity.recent 1             Stats.Refused, complete
//	outside 2                             Stats.RowsOutside
//	examples                              of a join, whose anchor is the end: a header, the first column an id, then the rows
//	  id subject time
//	joined                                its rows
//	  id subject time activity__recent_1d activity__recent_7d
//
// # Design
//
// Every check is a function that returns an error, so this package's own test can show that broken engines fail it: a suite that can't fail
// proves nothing. Oracle and engine share no code beyond package features' names and types; the oracle sums in 2,200-bit floats, so it is exact
// where the engine claims to be. Integers and text must agree exactly, floats to 1e-12 relative (decayed: of the sum of magnitudes), quantiles
// to 1 %, estimates of distinct counts to 6 % or 3; reordering, splitting, GOMAXPROCS, budgets and priors must not change a bit.
//
// A source of the suite is as mean as the contract lets it be: its splits come in any order and yield exactly the columns asked for in an order of
// their own, empty batches among them, text now plain and now as codes of dictionaries with values that no row has; it overwrites each batch
// when it takes it back, and notes what it was asked for. Keys, values and times are those at which engines go wrong (generate.go).
//
// Priors are compared with builds from all events by the same engine, not with the oracle: those are compared with it elsewhere, and only so can every
// bit be asked for.
//
// Views, events and ends at random, by fixed seeds, are a test of this package with the engine of package local (random_test.go), and no part of the suite:
// each of the mutants would repeat them.
package enginetest
