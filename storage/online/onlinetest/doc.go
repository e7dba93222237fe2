// Package onlinetest is the conformance suite of online stores: every implementation of online.Store passes TestStore.
//
// # Design
//
// Each rule of the contract has a test of its own, whose name says the rule; beside them, random sequences of operations are played on
// the store, through two handles, and on an obvious oracle in memory, and every answer is compared. What depends on how a store is built
// (crashes at each write, damaged files, other processes) is tested beside the implementation.
package onlinetest
