// Package configs reads project files: strictly, with every fault at once, and as far as jobs that can run.
//
// Load decodes a file, fills in defaults and checks all that can be checked without reaching anything. Open then reaches the storage, the
// online store and the sources, and resolves each entry under jobs: into a jobs.Job. Template holds the files that `rapport init` and
// `rapport import` write.
//
// # Design
//
// A project file decides whose data is used for what, so nothing in it may be misread: an unknown key, a key given twice, a value of
// another type, an anchor or a second document is a fault. Each fault tells file, line and key, and what to write instead; the nearest
// known name is offered. Decoding does not stop at the first, and validation goes on after it, but what only follows from another fault
// (a key that is missing because it was misspelt) is not told: a reader who mends each line that is named should be done.
//
// What stands under pseudonyms is never repeated in a fault: somebody may have pasted the secret itself.
//
// The decoder walks the tree of goccy/go-yaml itself, by reflection over plain structs whose field names are the keys. The library's own
// strict decoding was rejected, since it stops at the first fault; so were struct tags, since the snake_case of a field's name already is
// its key, and a JSON Schema as the only check, since it can't say that a view reads a column that a purpose does not.
//
// Concrete algorithms, engines' baselines and their defaults are named here (parts.go) and in cmd, and nowhere below.
package configs
