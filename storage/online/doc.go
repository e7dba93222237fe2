// Package online holds what serving systems read: immutable generations of keys and values behind one pointer, and a deny set
// outside them. Store is the contract; OpenEmbedded is the store that needs no server, Open gives one in a Redis as well; onlinetest proves that
// an implementation keeps the contract. What stands under which key, and in which encoding, is decided in layout.go and nowhere else.
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
//	horizon                 one framed line of JSON: format, and at (µs since the epoch), from when no owned row is served; there is such a file while an end of
//	                        consent is known that live rows do not carry.
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
// # The store in a Redis
//
// One server of version 6 or later (tests: 7.0), or a proxy before one. All keys of a project begin with {project}: — the braces keep them in one
// slot of a cluster. Format 1:
//
//	{p}:format          1
//	{p}:live            hash, the live pointer: generation, fence, meta, and id, which is in the names of the generation's buckets
//	{p}:generations     hash: number of each finished generation → JSON {id, entries, digest, sum, bytes, full}
//	{p}:gNUMBER-ID:HH   hash, one of 256 buckets of a generation: entry's key → row. HH is the first two hex digits of SHA-1(entry's key)
//	{p}:denied          set: names of denied owners, and the empty name, which says that the set is whole
//	{p}:erased          set: hex SHA-256 of erased owners
//	{p}:erasures        how many erasures there have been
//	{p}:fallback        the switch, JSON; there is such a key while it is on
//	{p}:horizon         from when no owned row is served (µs since the epoch); there is such a key while an end of consent is known that live rows do not carry
//	{p}:load:NUMBER     the id of the loader of a generation that is not finished; expires
//	{p}:stage:…         owners of one large change of the deny set; expires
//
// A row is u16 len(owner) ‖ owner ‖ i64 expires (µs since the epoch, 0 = never) ‖ value, big-endian. A reader in any language looks a key K up with
//
//	HMGET {p}:live generation id         → G, I; nothing is live if they are nil
//	HGET {p}:gG-I:HH K                   → the row; begin again if it is nil and live has changed
//	and, if the row has an owner O, serves it only if
//	SISMEMBER {p}:denied ""              is 1 (0: the deny set was lost: serve nobody's row)
//	SISMEMBER {p}:denied O               is 0
//	SISMEMBER {p}:erased SHA256HEX(O)    is 0
//	EXISTS {p}:fallback                  is 0
//	GET {p}:horizon                      is nil or later than now
//
// and if expires is 0 or later than now; else it serves the row of the key unprofiled. Our own readers do all of it in one script, lua/get.lua, which
// is atomic and which others may use too: EVAL with the text of lua/prelude.lua and lua/get.lua, KEYS[1] = {p}:live.
//
// Every change is one script (folder lua), so that it happens whole or not at all, and every script may be run twice, since an answer can get lost.
// An ACL user needs ~{p}:* +@read +@write +@scripting, +select for another database than 0, and should have +info and +ping; +bgrewriteaof and +bgsave let an erasure have the
// server's files written anew at once. A reader needs ~{p}:* +@read +@scripting.
//
// Loading: batches, four under way at a time; Put waits while the server is slower. Each is sent until it is acknowledged, so that a server may
// restart under it. The rows of an unfinished load expire by themselves unless its loader, every few minutes, renews them; Finish checks that as many
// rows stand there as were sent, reads some back, and makes them stay. What is finished never expires: generations that no rollback needs are dropped
// by the publisher, not by a clock that goes on while nothing is published.
//
// What was lost is noticed. An empty server has no live pointer: ErrNoGeneration. A deny set without the empty name, beside rows: ErrCorrupt for every
// row with an owner, until RestoreDenied. A bucket that the record says is full, and is not there: ErrCorrupt; a generation with fewer rows than its record
// says is not listed, cannot be swapped to, and goes with the next swap. A load into a server that may evict is refused.
//
// A server with appendfsync everysec may lose its last second when it is killed, denials too, and so may a failover to a replica or the restoring of a backup:
// every run, and `rapport online load`, denies again whom the policy journal denies. Denials and erasures that must survive that second want appendfsync always.
// Rows of somebody who is erased while a generation is loading stand there, unread, until the load finishes or expires.
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
//
// Why 256 buckets a generation in Redis: one hash of all rows would be freed, or expire, in one go, which stops the server for seconds; a key a row takes
// half as much memory again, and must be found to be dropped. With a fixed number, dropping, keeping and counting are a few commands, whatever the size.
//
// Why a generation's buckets carry an id beside its number: a load that is repeated must not meet the rows of the one before, and a reader between two commands must
// not mix them.
//
// Why the script of a lookup is told whose row it probably is: erased owners are known by SHA-256 alone, which Redis cannot compute. The last part of nearly every
// key is its owner; where it is not, the script says so and is asked again.
//
// Why writes begin by deleting a key that is not there: Redis refuses commands that take memory when it is full, but not in a script that has written already. A
// denial must not fail for that.
package online
