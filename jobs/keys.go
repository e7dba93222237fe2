package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/rapport-ml/rapport/storage/table"
)

// The logic number of each step: it goes up when the step's output changes for equal inputs, and nothing else does. Golden digests
// (testdata/logic.golden) fail when an output changes and its number does not.
const (
	logicSnapshot = 1
	logicIngest   = 2 // 2: rows that are none are quarantined
	logicBuild    = 2 // 2: a decayed sum is defined so that it moves exactly with time
	logicDrift    = 6 // 2: text in views is compared; 3: a p under a thousandth is told as such; 4: units are told of days of few rows; 5: when events became known is not compared; 6: rows of a view by a column are of values of it
	logicAssemble = 1
	logicTrain    = 4  // 2: rows of als are solved otherwise, those of large data by steps; 3: als knows new items and people by their attributes, and the inverse of ease sums in another order; 4: als holds the neighbours that related lists may name
	logicRefuse   = 3  // 2: the report shows days that were refused before; 3: and what the events were expected to be and are not
	logicEvaluate = 14 // 2: the report answers more, says which ranking ships, and nothing of a split of few; 3: more metrics, cold splits, whom lists show and what; 4: the report tells of the drift and the budgets of the runs before it; 5: and of those that were refused, of the days that there are, and of no ledger that knows more; 6: groups of few are one row without their names, and an item that no catalog has and few took is in nobody else's list; 7: a version is judged beside the one of its interval that it replaces, and the report says what was learned from, and what stood in for a live version; 8: and what was made coarser; 9: of how few a figure is not, and how few were left out or have lists of equal scores, is not told; 10: without a catalog, what is rarest stands in nobody else's list; 11: verdicts allow for few hits, ratios are judged by Fieller's interval, pools are of whole days and count people, and what is undecided stays so over nights that judged nothing; 12: better and worse are called by the corrected p; 13: a ratchet judges the interval of the difference, and a rule says what its pool leaves out; 14: the report tells what the events were expected to be and are not
	logicTrust    = 5  // 2: the rate of consent is of the people on record; 3: levels of few people are not named; 4: what may not be kept is a gap; 5: an erasure is one, however often it was begun
	logicLoad     = 5  // 2: entries say why they deserve little trust; 3: meta names the build of the rows; 4: an item that no catalog has and few took is in nobody else's list, and meta names the keys of the people; 5: without a catalog too, but for what lists could not be filled without
)

// logicState is the number of the form in which builds keep states and tiles. It is in no key: what another form has is not read, and the result is the same.
const logicState = 3 // 2: one table for all views of a key; 3: what a count and a share have in common stands once, in whatever order they name it

// stepKey names the output of a step: NAME/LABEL/SPEC-INPUTS, where SPEC hashes the step's logic number, its interval (two zones have days
// of one label) and the part of the job that it reads, and INPUTS its logical inputs (keys of other steps, fingerprints, policy digests), in
// order. The spec stands apart so that what was made for one label under one spec can be listed whatever its inputs were. A snapshot has the
// zero interval.
func stepKey(name, label string, iv table.Interval, logic int, spec any, inputs ...string) string {
	return specPrefix(name, label, iv, logic, spec) + hash(inputs)[:24]
}

func specPrefix(name, label string, iv table.Interval, logic int, spec any) string {
	return fmt.Sprintf("%s/%s/%s-", name, label, hash(struct {
		Logic      int
		Start, End int64
		Spec       any
	}{logic, table.Micros(iv.Start), table.Micros(iv.End), spec})[:16])
}

// hash is the hex SHA-256 of v's JSON. Only values whose JSON is canonical (structs, sorted maps, no floats from computation) are hashed.
func hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("jobs: a key part cannot be encoded: %v", err)) // a programmer's error: specs are plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
