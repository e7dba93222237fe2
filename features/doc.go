// Package features says what a feature is: a [View] of windowed aggregates as of one moment, the point-in-time rule, and the [Engine] contract
// that every engine proves with features/enginetest.
//
// # What a row means
//
// A view has one key: the subject, the item, the kind, a context column of any type but Float64, or two of them, as subject+item. Its table as
// of End holds one row for every entity, that is, every value of the key (every pair), that has at least one event in [End−Wmax, End), Wmax being the
// view's longest window; and one column for every feature and window. Rows come in any order. A subject column (Int64) holds the bits of an
// unsigned number. Entities are told apart by their bytes: an empty text is a value like any other.
//
// The point-in-time rule: an event counts by its own time t alone, and a window W holds the events with End−W ≤ t < End. An event exactly at
// End is the future, an event exactly at End−W still counts. A Join asks for a view as of many moments: an example at time t sees it as of a, which
// is t, or with a Hop the last one at or before t, counted from the plan's anchor; and of its events those with a−W ≤ time < a that
// were created before t. An event whose creation is null, or that has no such column, is known at its time.
//
// # Which events count
//
// A feature counts an event that passes its filter: its kind is one of Kinds, if there are any, and it passes every condition of Where. In and Share
// compare text (a String column), Min and Max numbers (Float64, Int64, Bool as 0 and 1), both included. A column of another type is an error that
// names it, as is a Float64 key, a Time where a number is wanted, and a column whose type is not the plan's.
//
//   - Nulls: a null value is no value; the event itself still counts for Count, Recency, Share without a column, and the implicit kinds of Weights. A null
//     kind passes no filter by kind but an absent one, and has no weight. A null passes neither a condition nor its opposite. An event without a time,
//     or without the view's key (or one part of it), belongs to no row and is counted in Stats.Refused. In a join, an example without a key
//     has nulls for that view, also where counts are 0 for an entity without an event.
//   - What can't be computed with is refused: NaN, infinities, magnitudes above [MaxValue]; where a number is wanted, integers above [MaxInteger]
//     in magnitude, which a float64 would round (Distinct, ApproxDistinct, Top, Sequence and keys take integers as they are); where Decayed adds
//     them, terms outside 2^±400. It is taken as null, and counted in Stats.Refused by view and feature, never silently. A condition counts nothing: what
//     it can't compare does not pass.
//   - Weights: an event of an implicit kind adds its weight, whatever its column holds; one of an explicit kind its weight times the column, rounded
//     once to a float64. Events of kinds without a weight add nothing.
//   - Ties: of equal times the least value is first, the greatest last, numbers by size, text by its bytes; of equally frequent values in Top the
//     one whose text has the lesser bytes comes first. The other operators don't depend on the order of events.
//   - Duplicates: an event that comes twice counts twice. Which rows are one event is decided where events are read (features/event).
//   - Late events: a build knows no arrival time. An event that arrives after a build enters at the next build of an interval whose windows
//     hold it, for every operator as if it had come in time; until then the committed table stays as it is. In a Join it is seen from its creation on.
//   - Negative zero is zero.
//
// # The operators
//
// Additive: a state holds what happened in a span of time and subtracts exactly, so that a window moves by adding the events that enter and
// taking those away that leave. Timed: a state holds times, and what leaves a window is cut off. "None" is what stands where no event of the
// window has a value.
//
//	op               of column            result            none   exact                         state
//	count            none                 Int64             0      yes                           additive
//	sum              number, weights      Float64           0      exact sum, rounded once       additive
//	mean             number               Float64           null   two roundings                 additive
//	min, max         number               Float64           null   yes                           timed
//	first, last      number, text         Float64, String   null   yes                           timed
//	distinct         any                  Int64             0      yes; text by 64-bit hash      timed
//	approx_distinct  any                  Int64             0      standard error 1.63 %         timed
//	decayed          none, number,        Float64           0      1e-12 of the sum of           additive
//	                 weights                                       magnitudes
//	recency          none                 Float64 (s)       null   yes                           timed
//	share            text (kind)          Float64           null   one rounding                  additive
//	top              number, text         String (JSON)     null   yes                           additive
//	quantile         number               Float64           null   relative error at most 1 %    additive
//	sequence         number, text (item)  String (JSON)     null   yes                           timed
//
// Numbers are Float64, Int64 and Bool columns. First, last, top and sequence put values out, so they take neither subjects nor columns of type Time. Lists are JSON arrays of strings, numbers, or true and false, in valid UTF-8.
//
// # Design
//
// Every operator is a commutative, associative aggregate with an exact state (the estimates too: the state of an estimate is exact), so
// a table depends only on the set of events: not on their order, the splits and batches they come in, the number of workers, a budget of
// memory that parts were spilled to keep, or an earlier state that the build went on from ([Prior]). States and tiles are the same to the bit
// as well, for they are committed beside the tables. Floating-point sums keep that promise because they are defined as the exact sum of
// the float64 terms, rounded once to the nearest float64 ([Total]). Rejected: sorting an entity's events before a plain sum (it needs all events of the
// window in memory, and a state that can't be merged from parts), and compensated summation (close, yet dependent on order).
//
// Decayed moves in time exactly. With the epoch 1970 and the half-life h (both µs), an event at t that weighs w has k = ⌊t/h⌋, r = t − k·h and the
// term m = fl(w·2^(r/h)); with K = ⌊End/h⌋, R = End − K·h and S the exact sum of the m·2^k, the result is fl(fl(S·2^−K)·2^(−R/h)). S does not
// depend on End: yesterday's, less what left and plus what came, is today's to the bit. A window holds at most 500 half-lives and terms lie within 2^±400, so
// that all powers of two are exact. Rejected: multiplying a running sum by 2^(−Δ/h) every night, which rounds every night anew, and can't subtract.
//
// Windows are sliding durations, not calendar units: "7d" is 168 h whatever the zone, because a model that reads views_7d wants equal
// exposure, and the interval's end already follows the project's calendar.
//
// Rejected: one table per window (joins everywhere), a row for every known key (mostly nulls; a missing row already says "no events"), and an order of
// rows in the contract: it costs a sort, and who stores the rows sorts them anyway.
package features
