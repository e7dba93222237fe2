// Package popular ranks items by decayed popularity: the share of recently active subjects who chose the item.
//
//	score(i) = Σ_s max_{e ∈ events of s with i} w_e·2^(−(T−t_e)/H)  /  Σ_s max_{e ∈ events of s} w_e·2^(−(T−t_e)/H)
//
// T is the training cut, H the half-life. A subject counts once an item, by its strongest event, so that nobody makes an item popular
// by repetition.
//
// # Design
//
// The artifact holds one number for each item that at least MinSubjects subjects chose, and one number for all others together, their
// mean. A decayed score of an item with a single subject would tell that subject's last event to the second; the tail of a popularity
// list decides nothing that a reader sees. A new item gets the tail's mean too: nothing is known of it but that it is in the catalog.
//
// Rejected: event counts (a bot's item wins), a logarithm of the share (the blend's weights would then mean different things at the
// head and the tail), dropping the decay (last season's items stay on top for a year).
package popular
