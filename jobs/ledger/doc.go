// Package ledger keeps the runs: what was asked, which steps were done or skipped, with which figures, and how it ended.
//
// # Design
//
// A run is one attempt at one interval of one job; a step is a keyed piece of work that many runs share, and its proof is the done
// object that storage/table commits, not the ledger. So the ledger is allowed to be the account and never the truth: losing it loses
// history, not work. Each run is one object, runs/<yyyy-mm>/<id>.json, rewritten as the run goes on by the only process that holds its
// lease; a monthly index object holds one short line a run, so that listing costs one GET a month, never one a run. The index is
// changed by compare-and-set, because runs of different jobs share it.
package ledger
