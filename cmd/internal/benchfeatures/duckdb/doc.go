// Command duckdb is the peer of benchfeatures: it runs statements in DuckDB and tells how long they took and how much memory the process
// had at the most.
//
//	duckdb < job.json
//
// The job names settings, the statements that are timed together, and those that afterwards store the answer; it comes as one JSON object on
// the standard input, and the facts go as one to the standard output.
//
// # Design
//
// A module of its own, so that nothing of the product links or downloads DuckDB (cgo, a binary of 67 MB). A process of its own, so that its
// peak memory is the kernel's figure; that figure is taken before the answer is stored, which is not part of the task.
package main
