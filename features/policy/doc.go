// Package policy decides whose data may be used for what: records of consent or objection become spans, spans become decisions.
//
// It is pure: no input or output, no clock, no key. The caller gives the records, the erasures and the point in time that counts as
// now, and the same arguments give the same decisions in any order of the records.
//
// # Design
//
// State at a time. The whole of consent is one function: the state of a subject and purpose at time t is the last record, in a
// total order (effective, recorded, denials last, id), that is effective by t. It is valid if the record grants and has not expired by
// t. A span is a maximal run of valid time. Renewal, expiry, ties and records that arrive out of order need no rule of their own,
// and the test oracle is this sentence.
//
// Current span only. An event counts if it lies in the unbroken span that contains now. Earlier spans, closed by a withdrawal or an
// expiry, do not revive when the subject consents again: the withdrawal ended that use. (Rejected: any span that was valid at the
// event's time, which would use events that the subject has since withdrawn.)
//
// Erasure outlasts silence. A subject who was erased comes back only by a grant recorded after the erasure, on either basis: a person
// who asked to be forgotten has not become "unopposed" by saying nothing more. Denials recorded earlier still deny.
//
// Future records. Records recorded after now do not exist. Records that are known but take effect later do not act yet; they bound
// Decision.Expires, so that an online row of a subject whose withdrawal is scheduled ends with it.
//
// Churn. What became of a basis in a week (Changes) is counted at the moments at which records become known, not at those that they speak of: a withdrawal
// that is recorded late could be heeded by nobody before, and a week that has been counted must not change for it.
//
// Digest. A step's key holds the digest of who may be used, restricted to the step's window, so that a subject who joined after the
// window re-opens nothing. It lists who is admitted under consent (default: no) and who is an exception under a legitimate interest
// (default: yes). Erased subjects stand in neither list: the same digest holds while an erasure is pending and when it is done.
package policy
