// Package features says what a feature is: a [View] of windowed aggregates as of one moment, the point-in-time rule, and the [Engine] contract
// that every engine proves with features/enginetest.
//
// # What a row means
//
// A view has one key, the subject or the item. Its table as of End holds one row for every key that has at least one event in
// [End−Wmax, End), Wmax being the view's longest window, sorted by the key, and one column for every feature and window. A subject column
// (Int64) holds the bits of an unsigned number and is sorted as such; items are sorted by their bytes.
//
// The point-in-time rule: an event counts by its own time t alone, and a window W holds the events with End−W ≤ t < End. An event exactly at
// End is the future, an event exactly at End−W still counts.
//
//   - Nulls: a null value is no value (Sum, Mean, Min, Max, Distinct and Decayed over a column skip it); the event itself still counts for Count,
//     Recency, ShareOf and Decayed without a column. A null kind passes no filter but an absent one. An event without a time, or without the
//     view's key, belongs to no row and is counted in Stats.Refused.
//   - NaN, infinities, and magnitudes above [MaxValue] are refused: taken as null, and counted in Stats.Refused by view and feature, never silently.
//   - Ties: no operator depends on the order of events, so equal times need no rule.
//   - Duplicates: an event that comes twice counts twice. Which rows are one event is decided where events are read (features/event).
//   - Late events: an engine knows no arrival time. An event that arrives after a build enters at the next build of an interval whose windows
//     hold it; until then the committed table stays as it is.
//   - Negative zero is zero.
//
// # Design
//
// Every operator is a commutative, associative aggregate with an exact state, so a table depends only on the set of events: not on their order,
// the batches they come in, or the number of workers. Floating-point sums keep that promise because they are defined as the exact sum of
// the float64 terms, rounded once to the nearest float64 ([Total]). Rejected: sorting an entity's events before a plain sum (it needs all events of the
// window in memory, and a state that can't be merged from parts), and compensated summation (close, yet dependent on order).
//
// Windows are sliding durations, not calendar units: "7d" is 168 h whatever the zone, because a model that reads views_7d wants equal
// exposure, and the interval's end already follows the project's calendar.
//
// Rejected: one table per window (joins everywhere), and a row for every known key (mostly nulls; a missing row already says "no events").
package features
