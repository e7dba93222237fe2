package event

import (
	"math"
	"sync"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// noErasure is before any time: no event is older than it.
const noErasure = math.MinInt64

// admitter judges rows by the raw id's subject. It asks the identity table and the suppressions once a distinct id. It belongs to one
// goroutine.
type admitter struct {
	decisions *policy.Decisions
	ids       *Identities
	sup       *Suppressions
	oldest    int64
	seen      map[string]*admission

	batch    []*admission // memory of all
	fresh    []*admission
	subjects []policy.Subject
	rules    []policy.Rule
}

// admission is what is known of one raw id.
type admission struct {
	canonical string
	subject   policy.Subject // 0 until the subject has a number
	erased    int64          // µs of the latest erasure, or noErasure
	strange   bool           // that is no erasure of theirs: nobody can tell who they are, since a key was given up
	rule      policy.Rule    // of the subject; of 0, of one without any record, which somebody who gets a number is
}

func newAdmitter(d *policy.Decisions, ids *Identities, sup *Suppressions, oldest int64) *admitter {
	return &admitter{decisions: d, ids: ids, sup: sup, oldest: oldest, seen: map[string]*admission{}}
}

func (a *admitter) of(canonical string) *admission {
	v, ok := a.seen[canonical]
	if !ok {
		v = a.meet(canonical)
		v.rule = a.decisions.Rule(v.subject, a.oldest)
	}
	return v
}

// aside is how many rules are looked up at once beside the work on ids.
const aside = 512

// all returns who the rows of a batch are of: nil where there is no id, or the row is not wanted. It is valid until the next call. The rules of those who are new are looked up together,
// and on another processor if one is free, while the next ids are hashed: most of that is waiting for memory.
func (a *admitter) all(ids *table.Column, n int, wanted func(row int) bool) []*admission {
	a.batch, a.fresh = a.batch[:0], a.fresh[:0]
	if cap(a.subjects) < n { // neither is moved while it is worked on
		a.subjects, a.rules = make([]policy.Subject, 0, n), make([]policy.Rule, n)
	}
	a.subjects = a.subjects[:0]
	var lookups sync.WaitGroup
	asked := 0
	ask := func() {
		from, some := asked, a.subjects[asked:]
		asked = len(a.subjects)
		lookups.Go(func() { a.decisions.RulesOf(a.rules[from:from:from+len(some)], some, a.oldest) })
	}
	for i := range n {
		var v *admission
		if wanted(i) {
			if id, ok := idAt(ids, i); ok {
				if v, ok = a.seen[id]; !ok {
					v = a.meet(id)
					a.fresh, a.subjects = append(a.fresh, v), append(a.subjects, v.subject)
					if len(a.subjects)-asked == aside {
						ask()
					}
				}
			}
		}
		a.batch = append(a.batch, v)
	}
	if len(a.subjects) > asked {
		ask()
	}
	lookups.Wait()
	for i, v := range a.fresh {
		v.rule = a.rules[i]
	}
	return a.batch
}

// meet finds out who an id is that has not been seen.
func (a *admitter) meet(canonical string) *admission {
	v := &admission{canonical: canonical, erased: noErasure}
	if at, marked, ok := a.sup.erased(canonical); ok {
		v.erased, v.strange = at, !marked
	}
	v.subject, _ = a.ids.Find(canonical)
	a.seen[canonical] = v
	return v
}

// judge says whether a row of the subject at time t counts. Number 0, which nobody has, is judged as a subject without any record.
func (a *admitter) judge(v *admission, t int64) policy.Reason {
	if v.erased != noErasure && v.subject == 0 {
		return policy.Erased // erased, and no new record has brought the subject back
	}
	why := v.rule.Judge(t)
	if why == policy.Kept && t < v.erased {
		return policy.Erased
	}
	return why
}

// number returns the subject's number for a row that is kept. Only here does a subject without one get it: nobody is numbered whose
// data is not used.
func (a *admitter) number(v *admission) (policy.Subject, error) {
	if v.subject != 0 {
		return v.subject, nil
	}
	var err error
	v.subject, err = a.ids.Number(v.canonical)
	return v.subject, err
}
