// Command benchfeatures measures the feature engine against DuckDB: the same files, the same machine, as many threads, and the same answer,
// compared cell by cell.
//
//	benchfeatures [-size full|ci] [-only limits,a,b,way,nightly,linear] [-events N] [-keep DIR]
//
//	limits   how fast the machine reads memory
//	a        one view, one window, three aggregates by subject, against DuckDB
//	b        six views, four windows, by subject and by item, against DuckDB
//	way      from raw files through the privacy boundary, with consent, to six views
//	nightly  a night that goes on from the state of the night before, against one that reads all events
//	linear   what an event costs from 1 M to 100 M events, within a budget of memory
//
// Events are generated, the same each time, as a table a day with 13 columns: 20 M events of 893,000 subjects (sparse), and of subjects that
// come again and again in bursts (dense); a and b read them with ids as numbers and as text, packed with snappy and with zstd. Size full ends
// with a line for each target, "target NAME VALUE >=|<= GOAL ok|short". Size ci is the same over a small world, with all comparisons of answers,
// and prints no target.
//
// # Design
//
// Each measured piece of work is a process of its own, ours too (the program calls itself), so that peak memory is the kernel's figure of that
// work alone, and neither side profits from the other's heap. It is the address space's own high-water mark: that of rusage begins with the
// parent's. Sides run in turn, with files in the page cache, and the median counts. Each keeps the rows of its answer in memory: DuckDB as
// tables, we as columns. What comes after, writing the peer's answer and comparing it, is not timed.
//
// The peer is asked in the best way found. Each key is one pass with all its aggregates. Windows are a FILTER each, or sums of a grouping by key
// and shortest window; which window holds an event is told by its time, or by the file that it stands in, which spares DuckDB the column of times as
// zone maps spare us; distinct values are grouped by key and value first, once for both keys, or counted by count(DISTINCT …) FILTER. Ways are
// tried in untimed passes, and the quickest is timed. Rejected: streaming the peer's rows through database/sql, which boxes each value, and
// letting it write Parquet within the time, which we don't.
//
// DuckDB stands in a module of its own (folder duckdb), since it is cgo and 67 MB: nothing of the product's go.mod knows it.
//
// A target that falls short does not fail the run: it is a measurement. An answer that differs does.
package main
