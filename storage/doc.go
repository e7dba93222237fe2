// Package storage hides where objects live: in an S3-compatible store, in a local directory, or in memory. It knows keys and bytes,
// and no domain type.
//
// Open returns a Bucket for a URL. Probe proves that the bucket honours write conditions. Commit writes a pointer: one small
// conditional Put, safe against lost responses. Acquire takes a lease with a fence. Glob finds keys by pattern.
//
// # Design
//
// The bucket is the only durable state of Rapport, so everything rests on two promises: a Put is atomic, and a conditional Put is
// honoured. Both are in the contract, both are in the conformance suite (storagetest.TestBucket), and Probe checks the second one
// on the operator's own server, because some servers ignore the headers and answer 200.
//
// Sizes are always known. minio-go allocates half a GiB for a stream of unknown size, and a lost response can only be retried from
// a body that can be read again: hence Body{Size, io.ReaderAt} and not io.Reader.
//
// Conditions are refused on multipart uploads, locally and with an error: several servers ignore them when the upload is completed.
// Big objects go under keys that name their content; the small object that points at them is committed conditionally.
//
// Lost responses. minio-go repeats a request whose response was lost; the second attempt of a conditional Put then meets the first
// one's object and is told 412. Commit therefore reads back after a failure and compares bytes. Bodies hold a writer's nonce, so
// equal bytes mean "my own write". AWS answers 409 while another conditional write runs; that is retried, three times at most.
//
// An if-match Put on an absent key is ErrPrecondition everywhere (S3 says 404): whoever compares and swaps asks one question.
//
// Leases are objects that are never deleted: a fence that grows by one with every acquisition must outlive its holders. Expiry is
// judged by the clock of whoever asks, so clocks must agree to well within a lease's time; the fence, not the clock, is what keeps a
// zombie from committing. A holder that was killed would block its successor until its lease expires, so AcquireFrom asks the caller, who
// knows processes, whether the holder has died. A lease on an advisory lock or in a lock service was rejected: the bucket is all that a
// deployment needs.
//
// The directory bucket writes a temporary file under .rapport/tmp, syncs it, and links or renames it into place under a file lock
// (flock, released by the kernel when a process dies). On Linux the disk is told to begin while the file is still written, so that the sync, during which one of
// Go's processors stands still, waits for less. ETags there are size, modification time and inode number. They cost one
// stat, which matters because a listing of a large tree must not read the files; they work for files that others dropped into the
// directory; they need no sidecar file and no extended attribute, neither of which survives a plain copy. What makes them safe for
// compare-and-swap: every Put sets the file's modification time to a stamp that grows strictly over the whole bucket (the last one
// is kept as the modification time of the lock file), so two writes never share a tag even where the kernel's clock ticks in
// 4 ms steps and inode numbers are reused at once. A file system that cannot hold microseconds is refused at the first Put. The
// price: a copied tree has new tags, and a foreign program that rewrites a file in place, within one clock tick and to the same
// size, goes unnoticed. A content hash was rejected for its cost. Access goes through os.Root: neither a key nor a symbolic link leaves
// the directory. The package needs a Unix system.
//
// S3 reads resume: a response that breaks off is asked for again from the byte reached, with If-Match on the first ETag, so that a
// reader sees one object or an error, never a mixture. Listings with a delimiter hold one level in memory, because S3 sends keys and
// prefixes of a page in two separate runs while the contract promises one byte order.
package storage
