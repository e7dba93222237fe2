// Package online holds what serving systems read: immutable generations of keys and values behind one pointer, and a deny set
// outside them. Store is the contract; OpenEmbedded is the store that needs no server; onlinetest proves that an implementation
// keeps the contract. What stands under which key, and in which encoding, is decided in layout.go and nowhere else.
//
// # The embedded store
//
// A folder on a local file system. Format 1:
//
//	live                    one framed line of JSON: the format, the live pointer, and the finished generations with file, size,
//	                        entries and digest of each. Replaced by rename: every change of the store is one rename.
//	gen-NUMBER-NONCE.sst    one finished generation: a sorted table (pebble's sstable, table format v7, snappy, CRC-32C a block).
//	                        Key 'd'+key → uvarint(len(owner)) owner varint(expires µs) value. Key 't', the last: JSON trailer
//	                        {format, generation, entries, digest}, which must agree with what live says of the file.
//	denied                  the deny log: framed lines {"format":1}, then {"deny":[…]} or {"allow":[…]}. Appended in place and
//	                        synced; rewritten by rename when it is long, when its tail is torn, and by every erasure.
//	fallback                one framed line of JSON: format, since, by, why; there is such a file while the fallback is on.
//	load-NUMBER-NONCE/      a generation being loaded: sorted runs, then the merged table. Its file alive is locked while
//	                        the loader lives.
//	lock, denied.lock       file locks (flock) of writers. Readers take no lock and write nothing.
//
// A framed line is eight hex digits of the CRC-32C of the payload, a space, the payload, a newline.
//
// A reader opens the live table once, keeps it open, and asks with one stat a lookup whether live is still the same file (it holds the file
// open, so that its inode number cannot come back), and for an owned row with a second one whether denied has grown or been replaced.
// The unfinished tail that a killed writer leaves in denied is ignored: it was never acknowledged. Any other damage is refused by
// the file's name: with a damaged deny log no owned row is served, while rows without an owner still are.
//
// An erased owner is kept denied by the SHA-256 of its name (ErasedName), and its name is written nowhere. Files are deleted,
// not overwritten: the file system may keep freed blocks until it reuses them, and a reader of another process that stays idle holds the old file
// until its next lookup. Put the folder on an encrypted volume where that matters. NFS is not supported: the store relies on
// flock and on attributes that are not cached.
//
// # Design
//
// Why not a pebble database (or bbolt, badger, SQLite): its lock lets one process in, even to read, so that `recommend` beside `serve`
// would fail; and deleted keys live on in its log and manifest, where an erasure cannot reach them. Immutable sorted files have no such
// places, can be read by any number of processes, and make a rollback one rename.
//
// Why one file for the pointer and the list of generations: an erasure rewrites several tables, and a single rename must turn all of
// them over at once, or a crash could bring an erased row back.
//
// Why digests are sums of row hashes: a store that cannot sort (Redis) can compute the same one in any order.
//
// Why tables have no owner index: erasures come in batches, and a batch reads each table once and in order; an index would
// double the keys of every generation.
package online
