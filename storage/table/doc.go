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
//	Read      the rows of a Manifest: some columns, row groups by time, text as codes of its dictionary
//	Digester  the digest of rows, whatever file they stand in
//	Store     done objects: commit, supersede, resolve, list
//	Every     calendar intervals and their labels
//
// # Design
//
// Which library does what. The reading of Parquet's footers, and the codecs, are arrow-go's: of the two Go implementations it is the one that is
// tested against files of many writers, and it accepts INT96, FLOAT16, old converted types and every codec. Parts are written by this package alone
// (encode.go, chunkencoder.go, pack.go): the library's column writers look at each value several times over, for statistics, for a dictionary that they may give up, for
// runs, where the codes that a layout is chosen by are those that are written, and statistics of a dictionary are those of its column. Pages are read by this package (chunk.go, page.go) where they are as Writer makes them, and as most writers do: of the first version, at most one level, plain,
// with a dictionary, or as differences. That is all of Read, and Scan's columns of 64-bit numbers, times in UTC and text; whatever else a
// raw file holds is read by arrow-go's column readers (not by pqarrow, which would build arrays that we would only take apart again, and links gRPC
// and Flight). The reason is speed: a library hands out a value at a time, or a page with a level for each row, where a page without nulls is one copy,
// and keeps the dictionary to itself, whose codes are what a group-by wants. A million rows of four columns of numbers take a fifth of the processor time
// that parquet-go's pages took, a scan of a million events a quarter of that of arrow-go's readers (BenchmarkRead1M, BenchmarkScan1M). Both libraries read
// in tests what Writer wrote, so that two other readers check each layout (TestLayouts, TestWrittenFilesAreParquet). Rejected: parquet-go's writer, which takes
// each value boxed (24 bytes) when the row type is not known at compile time.
//
// Layouts. What a codec has to undo is what reading costs: zstd takes 20 to 30 ns for an integer of 8 bytes that it has packed. So a column stands as what
// leaves it little: codes of a dictionary where values recur, differences where integers lie close to each other, the lengths of text apart from it, else plain
// (layout.go). The files are as small as before, the codec's share falls to a tenth, and any reader of Parquet reads them.
// Unless a codec is named, a chunk of which zstd saves less than an eighth, as of codes or sums that are packed already, stands without it; a piece of 16 KiB tells so of a long one.
// Of the rows of views, which are made anew every night, only text has a codec: zstd makes a dense night's 16.9 MB of rows 12.3, and snappy 13.4, which takes a fifth and an eighth of the
// whole night's time, as long as it takes to send what is saved over a network of 100 MB/s.
//
// What is verified. The manifest holds the SHA-256 of a part, by which it is named and read back when it is written, and that of its footer; the footer holds
// a CRC-32C of each column chunk. A read of some columns fetches the footer and their chunks, and checks both. CRC-32C finds what disks, networks and
// stores do to bytes, at 20 GB/s, and a read of the whole part trusts it as well; it is no defence against somebody who may write to the bucket, who could as well write the manifest.
// Rejected: a SHA-256 for each chunk, which without the processor's own instructions runs at 0.25 to 0.45 GB/s and would take as long as all of the
// reading, once more; a checksum of each chunk in the manifest (40 columns by 8 row groups by 16 shards are half a megabyte of JSON).
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
// decoder is an ErrCorrupt of that file, not the end of the process. What a page of zstd or snappy unpacks to is found from the headers of its frames and blocks
// before it is unpacked, and values are counted in their runs before there is memory for them (unpack.go, page.go). Not bounded: pages that
// the library reads, to what their codec makes of them, and time, since a run-length page may repeat one value two billion times; a scan ends with its context.
//
// Digests are logical. A row's hash is SHA-256 of its canonical encoding, 16 rows side by side where the processor can (internal/sha); an unordered table's digest is built on the sum of its row
// hashes modulo 2²⁵⁶ and their count, so that shards digest in parallel and any split or order gives the same. The sum detects change by
// accident, by a bug or by another engine; it is no defence against somebody who may choose rows freely (k-sum attacks on additive
// hashes are sub-exponential): that is what the SHA-256 of each part in the manifest is for. Rejected: a digest of the files (a
// library upgrade would change every key), a Merkle tree (needs one total order across shards), xor (a row twice would vanish).
//
// Writer holds a table's rows in memory until Finish: a part is sorted as a whole, and one interval of one table is what a step
// handles (Writer.Held says how much that is). They wait in blocks of 8,192, from which the order of a part takes them, so that nothing is copied to grow.
// Parts are content-addressed, so that writing one twice is harmless. A part's SHA-256 is one long chain that no other processor can help with; those of a
// table's parts go side by side, as rows do, which takes a third of the processor time of one after another, and about as long as on processors of their own;
// where the processor has instructions for SHA-256 only if they are six or more.
//
// Memory is lent from one Read to the next (lend.go): an engine reads the 90 files of a quarter by 90 reads, and what each would allocate anew,
// a few MB for bytes as they are fetched and as they are unpacked, made the collector run half as often again. What rows that are read consist of is never lent.
// Writers lend each other the columns that rows wait in, those that a part stands in while it is encoded, and what digests encode rows in: a page of
// memory that is touched for the first time costs as much as 6 KB that are hashed, and a written night touched 55,000, now 45,000.
//
// Shorter intervals than a day are spans of physical time counted in UTC; a day and its multiples follow the calendar of the zone.
// Rejected: hours of the zone, of which one a year would happen twice and one not at all.
package table
