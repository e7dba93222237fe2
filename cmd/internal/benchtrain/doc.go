// Command benchtrain measures how models are trained and scored: kernels against OpenBLAS on the same machine with as many threads, and whole
// fits on synthetic data.
//
//	benchtrain [-size full|ci] [-only PART,…] [-keep DIR] [-repeats N]
//
// benchtrain -help lists the parts. Size full ends with a line for each target, "target NAME VALUE >=|<= GOAL ok|short". Size ci is the same
// over a small world, with all comparisons of answers, and prints no target.
//
// # Design
//
// A part is a file: it registers the measured work that it delegates. Work whose memory is measured is a process of its own (the
// program calls itself), so that its peak is the kernel's figure of that work alone. It is the address space's own high-water mark: that of
// rusage begins with the parent's. Sides run in turn, and the median counts.
//
// The kernels are reached through models/modelstest/kernels, since they are internal to models.
//
// OpenBLAS stands in a module of its own (folder openblas), since it is cgo: nothing of the product's go.mod knows it. It is started without
// the environment variables that would make it take another processor for this one.
//
// A target that falls short does not fail the run: it is a measurement. An answer that differs does.
package main
