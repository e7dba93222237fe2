// Package event is the privacy boundary: raw rows come in, minimized rows go out.
//
// A raw row has the ids that the source uses and whatever columns its files have. What leaves the package has subject numbers in place
// of subject ids, only columns that a purpose declares, and only rows that count under policy.Decisions. The raw row type is not
// exported, and no error, fact or object of this package holds a raw subject id.
//
//	Keys, Identities       raw id → subject number, online key
//	Journal, Suppressions  what subjects asked for; erased subjects recognized by a mark
//	Source, Files, Ingest  events
//	DataSet, ReadConsent, ReadAttributes  the data sets beside them
//	Records                many records of consent, packed
//	RewriteWithout         a table without some rows: the primitive of erasure and purge
//
// # Design
//
// One meeting point. The identity table alone maps an HMAC of a canonical id to a subject number; everything else holds the number.
// So a key is rotated by wrapping that table anew as people reappear, and an erasure that deletes the row leaves numbers that mean
// nothing. The number is the HMAC when first seen, so that two processes that meet a new subject at once, or a table built again
// from the sources, agree on it without asking each other. (Rejected: counters, which need a lock and number people by arrival; HMACs in
// every object, which a rotation would have to rewrite.) The online key stands beside the number, so that publishing needs no secret.
//
// Millions of people fit. A number begins as its row's HMAC does, so the table is kept as the objects have it and searched by number; maps hold who is new, and the few whose number is
// another. (Rejected: maps of everybody by number and by HMAC, which took four times the memory, and a microsecond a person to fill.) A feed's records are
// packed, and the snapshot is made shard by shard.
//
// Nobody is numbered for nothing. A subject without a basis gets no row: the decision for "no record" needs no number.
//
// The journal is the suppression list. An erasure's entry holds marks (HMACs under an erasure-only key) for ever and subject numbers
// while it is pending: the marks stop the raw id at the boundary, the numbers stop the subject in steps behind it, which have no key.
// Finish redacts the numbers by a conditional write, the one change that entries allow, from withdrawals of the same subject as well. (Rejected:
// numbers in an object of their own, since a crash between two writes would lose either the numbers or the request; a second
// list of suppressions, which could disagree with the journal.)
//
// Identity is exact. Canonical does not trim, fold or normalize text: see there.
//
// A source is what its project says, or the day fails. Kinds that the project does not name, and a column that a live view needs and that no file of a
// day has, are how a producer's release looks from here: left out silently, they would become a worse model with no reason in sight. A few rows of unknown
// kind, and a column that only some files lack, are not worth a night. Errors name columns, files and rows, and never a kind that is unknown: a
// column that was taken for the kind by mistake may hold anything.
//
// A level that is chosen by size is chosen day by day. A value of which few people of a day can be told apart is told by what it is in general, and that is decided where the
// day is read, of the rows that are kept of it and of nothing else: a night and a backfill decide alike, a day stands whatever other days hold, and its key has the
// rule and needs no count. The finest level is in memory until all rows of the day are there, in the memory that its writer would hold them in, so that the source is
// read once; it is written nowhere. So a value may be told as a town on one day and as its region on the next, and who sums over days sums what was
// told. An erasure leaves what is told of the others as it is: to decide anew would tell, by the difference of two days, of whom it was that left; tables
// that are published count again, and withhold what has become too few. A rule looks at one column: what columns tell together is for who publishes. (Rejected: levels by an
// earlier reference, which would make a day depend on another day's files and tell of the first few who are new; levels where tables are published, behind which the
// finest would be stored.)
//
// What a row is worth. Rows are counted as they are found. A file listed twice under two names counts twice: only the source knows
// whether two equal rows are one purchase or two.
package event
