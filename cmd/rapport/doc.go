// Command rapport turns a bucket of Parquet events into a recommender that people can trust.
//
//	rapport init DIR     a project folder that runs as it is
//	rapport --help       the verbs
//
// Results go to standard output, as a table or with -o json as JSON; progress, logs and errors go to standard error. Exit codes:
// 0 done or nothing to do, 1 the run failed, 2 usage or config, 3 refused by a gate, 4 another run holds the lease, 5 not found,
// 130 interrupted (the same command resumes).
//
// # Design
//
// main only calls run, which knows neither the process's environment nor its streams but through its arguments, so that a test can be a
// user. Each verb stands in a file of its own and does three things: read flags, call jobs or a package below, print. What a verb
// decides by itself belongs further down.
//
// This is the only place of the wall clock: everything below takes the time, or a func, as an argument. A project of old data pins it.
//
// A failure's exit code is found from the error that it wraps (exitCode), never chosen where it happens, so that two verbs cannot
// give one fault two codes.
//
// Raw ids come from a file or standard input. A flag or an argument would leave them in the shell's history and in the list of processes.
package main
