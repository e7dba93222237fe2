// Package web is the HTTP side of rapport serve: whether it lives, whether it is ready, what it measures, and how things stand.
//
// # Design
//
// Every endpoint but /healthz wants the bearer token, if there is one, from the first endpoint on: what is added later cannot forget it. Without
// a token the server is reachable from its own machine only, and only under a name of that machine, so that a page in a browser cannot reach it
// through a name that an attacker points at 127.0.0.1.
//
// Lookups are POST: a raw id stands in a body, never in an address, which proxies and histories keep. Bodies are JSON by their declared type, so that
// a page of another origin has to ask before it may send one, and what is wrong with one is told without repeating it. Preferences are taken only from
// callers with a token: who may write is told apart from who stands on the same machine. Sec-GPC: 1 gives what everybody is given, before anything is
// looked up.
//
// Metrics have a registry of their own. Their labels are names of the project file (jobs, steps) and words of a fixed list: nothing grows
// with time, and nothing is of a person. What a run did is counted when it ends, from its record in the ledger; how things stand is read from the
// bucket when somebody asks, at most every few seconds however many ask.
package web
