// Command benchjob measures the product as a user meets it: the demo, and one whole night of a project with as many subjects, items and
// events as MovieLens 1M. Wall seconds and peak memory are those of the rapport process, told by the kernel when it ends.
//
//	benchjob [-size full|ci]
//
// Size full ends with a line for each target: "target NAME VALUE <= GOAL ok|short". Size ci runs the same over a small world, for a
// machine that is too busy to judge times: it shows that everything works and prints no target.
//
// # Design
//
// The binary is built first and run as a child, so that neither the compiler nor this program's own memory is counted, and nothing of the
// product is called but its command line. A target that falls short does not fail the run: it is a measurement, and the reader judges it
// by the machine that it names. Rejected: testing.B, which sees one process's allocations and not its resident memory.
package main
