package event

import (
	"math"

	"github.com/rapport-ml/rapport/features/policy"
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
}

// admission is what is known of one raw id.
type admission struct {
	canonical string
	subject   policy.Subject // 0 until the subject has a number
	erased    int64          // µs of the latest erasure, or noErasure
}

func newAdmitter(d *policy.Decisions, ids *Identities, sup *Suppressions, oldest int64) *admitter {
	return &admitter{decisions: d, ids: ids, sup: sup, oldest: oldest, seen: map[string]*admission{}}
}

func (a *admitter) of(canonical string) *admission {
	if v, ok := a.seen[canonical]; ok {
		return v
	}
	v := &admission{canonical: canonical, erased: noErasure}
	if at, ok := a.sup.ErasedAt(canonical); ok {
		v.erased = at
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
	why := a.decisions.Judge(v.subject, t, a.oldest)
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
