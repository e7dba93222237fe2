// Package storagetest proves that a bucket keeps storage's contract, and makes buckets misbehave on purpose.
//
// TestBucket is the one conformance suite. Faulty, Recording and KillAt wrap any bucket: they fail chosen operations, write down what
// was asked, and call a function (kill -9 of the process, say) around the nth write. StartS3 and NewS3 start a real S3-compatible server.
//
// # Design
//
// The S3 server is a separate process (versitygw), not a fake in this tree: what breaks in production is what a fake would have
// left out. It is built once by `make tools`; a test that needs it fails, and says so, where it is missing, because a skipped test
// proves nothing.
//
// Wrappers forward the optional power storage.Versions. Around a bucket without it they answer as one that keeps no versions, so
// that a test sees the same methods with and without a wrapper.
package storagetest
