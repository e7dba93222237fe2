// Package local is the features.Engine of one machine.
//
//	engine.go      Build: from a prior state, or from all events; which tables are put out
//	program.go     views → lanes, groups (one a key), classes (one a list of windows), accumulators; what views share is done once; layout.go: where these stand in records and states
//	moves.go       what an event does, by when it was: out of which bucket, into which
//	scan.go        workers read splits side by side
//	lanes.go       columns → words; masks.go: conditions → bits; pack.go: text keys → two words
//	scatter.go     words → records, gathered by partition
//	partition.go   records → states: entities.go, pairs.go and shelves.go (distinct), tallies.go (top, quantile), keepers.go (lists)
//	shared.go      pairs that two keys count; numbering.go: keys → numbers
//	outlet.go      which table is put out when, and by whom; emit.go: states → rows
//	state.go       states ↔ bytes: piece.go, a part of a table; internal/words, its columns; prior.go: going on from them
//	spill.go       beyond the budget; merge.go: back from there
//	join*.go       features as of many moments
//
// # Design
//
// One scan, whatever the number of views. Workers (GOMAXPROCS) take splits; each turns runs of 4,096 rows into lanes of words: a value, a hash, a term,
// 0 where there is none. Conditions become bits of one mask, so that an aggregate is a loop without branches over words and bits: conditions on text cost
// one look-up a value of a dictionary, not one a row. Times are read only where a split is cut by a window's start, or a feature needs them.
//
// Records (key, mask, lanes) are gathered by the top bits of the key's hash into 256 regions a worker; a full region, some hundred records, is added
// to its partition at once. So states need no merge, the loop of each accumulator runs over many records, and where these touch most of a partition it is read
// from its beginning to its end first, as the machine fetches memory best: that, not arithmetic, is what aggregation by key costs. To wait for places at random, even many
// at a time, was a fourth of a view of three aggregates. Where states are far larger than a cache regions
// grow with them, to a sixteenth: four times as many records that meet a partition at once made a build of 100 M events a fourth quicker. A worker that finds a partition taken leaves its region there and goes on: a key that has a tenth of all events does not hold up the others. Nothing depends on who was first, for every state is exact and
// commutative (packages features, features/aggregate).
//
// States are flat words without pointers, one record an entity and class: all cells of one bucket side by side, so that an event touches one or two cache
// lines. An event is added to the bucket of the shortest window that holds it; window b is the sum of buckets 0…b, when a row is put out, column by column. A tile as
// long as the shortest window, a day's on most nights, is that window's bucket, and another has one of its own. Counters are half a word;
// the first of each bucket counts all its events and is the only one that must be watched for overflow (an error, never a wrong number). Sums are pairs
// of floats, with a features.Total beside them in the rare case that 106 bits don't hold one.
//
// Pairs of Distinct are most of what a build holds, so they are small and held once (shelves.go, shared.go). As long as values are below some millions a pair is 4 bytes: tables of 64 entities
// each need few bits for the entity, and are so small that they grow by a quarter, without a large copy beside the old one. Larger values take 8 bytes, and from 2^32 on 12. Where two keys
// count each other's entities under the same conditions and windows, as items of a subject and subjects of an item, the pairs are one set: it stands with one of the keys, the
// other key's entities are numbered as they come, so that they are small values even if they are text, and when all events are in the pairs are counted for both and their memory is
// given back. Then only the counts are left, while rows are put out. A text that is a key is numbered by its 64-bit hash, as Distinct counts it; if two that are keys have one, the
// build begins again without sharing (Plan.Anew takes back what was put out before keys that were spilled were met); and so it does if numbers, which can't be spilled, take a quarter of the budget. At 20 M events in six views this took 0.45 GB, where a table of pairs for each key took 1.05.
//
// Tables are put out by turns: of a partition that is complete the rows of all views of its key, its states and its tile, while it stands in a cache, and then its memory is
// free. What the receiver holds grows as what the engine holds shrinks. It is called by one goroutine at a time; who finds it called leaves a copy there: while two waited
// for each other a third of the processors' time was lost.
//
// A build that goes on from a prior one never holds the states of a table. The pieces of what was kept are fetched, and beside that the records of the events that move
// are gathered, by partition; then each partition is made as a whole: decoded, moved, put out and encoded, in memory that a worker hands on from one to the
// next. Of a night of 140,000 entities that saved a third of the processor time and two fifths of the memory (89 MB at the peak in place of 148). That a prior was not of these events may
// show when others have been put out already: Plan.Anew takes those back.
//
// From a prior state only what moves is touched: new events come in, and at each window's start events pass into the next bucket. An event's move is
// a number in its record, so the same loops serve, with a minus sign. Where a tile of exactly the span was kept, its sums move in place of its events; all that the
// shortest window held moves as it stands, without a tile.
// What
// tells times (min, max, first, last, recency, sequence, distinct) gets new events only and answers by a cut-off. If a count would fall below zero, a sum is
// left where there are no events, a piece fails its check, the spans to be read are half of the longest window, the state is larger than the
// budget, or so large for the events that these cost less to read (prior.go: 32 bytes each): all events are read, into the same bits. In such builds min and max keep lists, and distinct a time for each value, so a build that keeps its
// state costs more than one that doesn't.
//
// Such a build holds a class in columns, a cell of all slots side by side: a column is read where it will stand, is put out from there, and a partition is so
// small that the columns of an event stand in a cache as well. Lists of extremes stand in one array a partition, without pointers. Entities come, and go, in the
// order of their hashes, so that tiles find theirs in one walk and nobody sorts but those that are new. Where there are fewer splits than processors, as in a
// night of one file, a worker shares the runs of its batches with those that have nothing to do; in a build from all events it hands them regions that are full.
//
// What is kept is one table of states, and of tiles, a key, as its views share entities and, where they have the same windows, states. A row is a piece: up to 1,024
// entities of one partition, in the order of their hashes, their states turned into columns. What all words of a column have in common in zeros is left out, and nothing else
// is done: a column is read about as fast as it is copied, codecs would find a sixth more, and a night costs what moves in memory. Pieces come in the order of
// partitions, so that the states of one stand in a cache while it is read, and keys come in the order of their places in its table. The order, and sums as the exact
// numbers that they are, make equal events equal bytes. A table of a row an entity and
// view made a night cost twice as much at 20 M events, most of it in handling rows.
//
// A piece is checked as a whole (a hash of it, its number, all views of the key, the types of the columns that they read, and the state's end): what passes is of this engine
// and of these views, and a table that lacks a piece, or has one twice, is found out, since a piece says how many entities its partition has. That it is of these events
// the caller answers for. What tells nothing any more is not read: the states of windows that all begin after it.
//
// States may hold what regions, readers and the collector leave of the budget: 64 MiB are for the former, or half of a small budget, and the collector lets lie about, in percent of what is
// held, what GOGC says, so that states hold 0.75 of 2 GiB at 10, to which cmd sets it, and 0.41 at 100. Beyond it records go to a file, but for keys that hold so little that it would help nobody; at the end partitions are completed
// some side by side. One that has been completed is put out at once. A partition is 1/256 of the entities, and is completed as a whole: a budget below that is exceeded, and so is one below what the
// largest entity of a skewed key holds. Texts that come out again are held once each, count in the budget, and are not spilled, since states
// hold their numbers: texts that fill the budget alone leave it to the file to hold all else. What was kept and is larger than the budget, as it was written, is of no use: all events are read.
//
// Memory is otherwise proportional to entities × (windows × cells), plus the pairs of Distinct and the values that Top counts; it does not grow with the number
// of events, but for min and max of values that only rise in a build that keeps states.
//
// A join shares lanes and masks, and nothing of the states: it holds the events of a block of examples, sorted by entity and time, and sweeps them (Engine.Join).
//
// Records carry a move of 15 bits, and named values a number of 16: views with more different windows, or named values, are refused.
//
// Rejected: one goroutine that reads and others that aggregate (reading is more than half of the work); a table for each worker, merged at the end (twice the
// memory, and a merge that costs what it saved); sorting events by key (all of them in memory); a general expression engine (views are closed, so their
// loops can be written out); reading the prior state lazily (an entity is touched by a tile of some span on most nights, and all rows are put
// out anew), huge pages for states (a tenth of the page faults, and the same time: it goes into zeroing memory, not into faults), and a column of the table for each word (a footer, a checksum and a page's frame each, for hundreds).
package local
