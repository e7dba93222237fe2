// Package registry keeps the versions of a model and says which of them is live.
//
// # Objects
//
// All of them are small JSON objects with a format number, but for the artifacts:
//
//	artifacts/<digest>/<file>              an artifact's files, under the artifact's digest
//	models/<name>/versions/00000007.json   a version: written once
//	models/<name>/keys/<step key>.json     the number that a training step's version has
//	models/<name>/live.json                aliases, pins, split, candidates, journal, fence: the one authority for "live"
//	models/<name>/history/00000001.json    journal entries moved out of live.json, named by the first one's fence
//
// # Design
//
// Everything that decides what is live stands in one object, changed only by reading it and replacing it if nobody else has. So there
// is one order of changes, each with its own fence, and two promoters cannot both believe that they won. Each change carries a nonce:
// a writer whose answer was lost, and whose change was then built upon by others, finds it in the journal and does not make it twice.
// Approvals are entries of the same journal, as they decide what may be promoted; a version's object is never changed.
//
// A number is claimed for a step key before the version is written under it. A crash between the two leaves a claim without a
// version: the next Register of that key uses it, or, if another key has taken the number meanwhile, claims the next. Artifact files are
// written first: a version never names a file that is not there. They are put without a condition, since equal names mean equal
// bytes, and large files can then be uploaded in parts.
//
// A fence counts changes. Online stores accept a pointer only with a higher fence than their own, so a publisher that was overtaken
// cannot put its generation back.
//
// Rejected: a database (the bucket is the only durable state); an alias as an object of its own (a split and a pin must change with it,
// atomically); reading all versions to find a step key (one request a version, each night more).
package registry
