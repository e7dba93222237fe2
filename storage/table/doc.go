// Package table reads Parquet as it is found, writes Rapport's own tables, names them by a digest of their rows, and commits them.
//
// A table is a Schema and rows. It stands in the bucket as Parquet parts listed by a Manifest; a Manifest becomes visible only inside
// a Commit, the body of the object done/<step key>, which is written create-only. Ref names a table by the step that made it;
// Store.Resolve finds where its rows stand now.
//
//	Scan      raw files, of any writer, column by declared column
//	Stat      what a raw file holds, from its footer
//	TimeReader  times that are text
//	Writer    buffers rows by shard, sorts them, stores parts, verifies them, returns a Manifest
//	Read      the rows of a Manifest
//	Digester  the digest of rows, whatever file they stand in
//	Store     done objects: commit, supersede, resolve, list
//	Every     calendar intervals and their labels
//
// # Design
//
// Which library does what. Scan uses arrow-go's column readers (parquet/file): of the two Go implementations it is the one that is
// tested against files of many writers, it accepts INT96, FLOAT16, old converted types and every codec, its page sizes can be bounded, and
// its typed readers give us values, not Arrow arrays: pqarrow would build arrays that we would only take apart again, and links gRPC
// and Flight. Parts are written with arrow-go's column writers too, which take our slices as they stand. Read uses parquet-go, whose
// pages hand out whole slices and whose dictionaries are visible, so that a string that occurs a million times is allocated once a
// dictionary: 200,000 events of four columns take half of Scan's time and a 20th of its allocations (BenchmarkRead200k, Scan200k). And so
// one library checks what the other wrote, in every test and every run. Rejected: parquet-go's writer, which
// takes each value boxed (24 bytes) when the row type is not known at compile time.
//
// Privacy decides how Scan reads. It never asks the bucket for a byte of a column that was not declared: the footer is read exactly (8
// bytes, then its length), not by the usual speculative read of the last 64 KiB, which would take data pages along; ranges are joined
// only where declared columns touch; and the decoder works on a source that holds nothing but these ranges. The cost is one more small
// request a file.
//
// Nested rows. A column is named by what it means, not by the levels that a writer puts between: "items[].sku" whether the file says
// items.list.element.sku, items.bag.array_element.sku or items.sku. Scan explodes one list, by the levels of the declared columns
// alone: nothing is assembled into rows of structs, lists of any length are read in bounded memory, and no byte of a column that was not declared is needed to know how
// many elements a row has. Maps, and lists in lists, are refused by name: which of their entries is meant is no question of reading. (Rejected:
// pqarrow's nested arrays, see above; parquet-go's row readers, which read every column of the schema that they are given and panic where a file's
// schema is not quite it.)
//
// Local times. A reading that a change of clocks skips or repeats is taken by the offset before the change: one rule for both changes, on both sides of
// Greenwich (time.Date has none), which keeps events in the order of their readings but for the hour that is repeated.
//
// Statistics prune only when they can be trusted: both bounds present, of the right width, in order, from a writer not known to have
// got them wrong. arrow-go's typed statistics are not used for this: with one bound absent they report it as zero.
//
// Hostile bytes. The footer's structure is walked before it is decoded (a list longer than the bytes behind it is refused, since the
// decoder allocates by the announced length), offsets and sizes are checked against the object, the sizes that pages announce are bounded, and a panic of a
// decoder is an ErrCorrupt of that file, not the end of the process. Not bounded: a zstd page that decompresses to more than it announces
// (the codec's own limit applies), and time, since a run-length page may repeat one value two billion times; a scan ends with its context.
//
// Digests are logical. A row's hash is SHA-256 of its canonical encoding; an unordered table's digest is built on the sum of its row
// hashes modulo 2²⁵⁶ and their count, so that shards digest in parallel and any split or order gives the same. The sum detects change by
// accident, by a bug or by another engine; it is no defence against somebody who may choose rows freely (k-sum attacks on additive
// hashes are sub-exponential): that is what the SHA-256 of each part beside it is for. Rejected: a digest of the files (a
// library upgrade would change every key), a Merkle tree (needs one total order across shards), xor (a row twice would vanish).
//
// Writer holds a table's rows in memory until Finish: a part is sorted as a whole, and one interval of one table is what a step
// handles. Parts are content-addressed, so that writing one twice is harmless.
//
// Shorter intervals than a day are spans of physical time counted in UTC; a day and its multiples follow the calendar of the zone.
// Rejected: hours of the zone, of which one a year would happen twice and one not at all.
package table
