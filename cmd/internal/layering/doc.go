// Package layering holds no code but a test: who may import whom.
//
// # Design
//
// The rules are checked on what `go list` says, not on text, so that a build tag or a renamed import hides nothing. The test runs a
// subprocess whose reading the test cache does not see: the Makefile runs it with -count=1.
package layering
