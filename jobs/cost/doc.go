// Package cost measures what a piece of work takes: time, processor time, memory, requests and bytes.
//
// # Design
//
// A Meter belongs to one run. Requests and bytes are counted by the bucket that it wraps, so they are the run's alone, and a step's are the
// difference between two readings of one counter: the figures of steps add up to those of their run, less what lies between steps.
//
// Processor time (getrusage) and memory are known of the process only: a thread works for whoever asks. A Cost says so (Shared) if another
// meter of the process was open at any time of it. Guessing shares was rejected: a figure that is wrong by a factor is worse than one
// that says of what it is.
//
// The peak of memory is the kernel's own: VmHWM of /proc/self/status, the most that was resident, which 5 written to
// /proc/self/clear_refs sets back to what is resident now. At each beginning and end of a measured piece the mark is read, counted for
// every open piece, and set back, so nested and overlapping pieces each get their own peak. Where a system refuses
// (no /proc, or one that may not be written to), the peak is the largest of the samples taken at these moments and by Sample, and the Cost says Sampled.
package cost
