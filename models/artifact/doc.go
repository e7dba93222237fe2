// Package artifact reads and writes model artifacts: weights.safetensors holds the tensors, model.json everything else, and both are
// deterministic to the byte.
//
// # Format
//
// weights.safetensors is a plain safetensors file: u64 little-endian header length, a JSON header padded with spaces to a multiple of
// 8, then the tensors, C-order and little-endian, without holes. Tensors are ordered by descending element size, then by name, so that
// each one starts at a multiple of its element size. A tensor's name is its section's path, a slash, and its own name.
//
// model.json is canonical JSON (keys sorted, no white space, numbers as encoding/json prints them, a final newline):
//
//	{"format":1,
//	 "sections":{"":{"model":"blend","values":{"weights":[1,0.5]}},
//	             "parts/als":{"model":"als","strings":{"items":["a","b"]},"values":{"params":{"dim":64}}}},
//	 "weights":{"sha256":"…","size":1234}}
//
// The digest of an artifact is what `sha256sum model.json weights.safetensors | sha256sum` prints: anybody can check it.
//
// # Design
//
// Two files, because each is then readable by people's own tools: safetensors by every tensor library, JSON by every other program.
// The manifest binds the weights by size and SHA-256, so that files of two artifacts cannot be mixed. Readers take the bytes as
// untrusted: sizes are checked before anything is allocated from them, a manifest that is not canonical is refused (one content, one
// encoding), and so is a newer format. Values that are not finite are refused on both sides: a diverged model is never stored, and the
// bits of a NaN never decide whether two artifacts are equal.
//
// Rejected: gob and pickle (a reader must trust them), one zip file (timestamps, compressor versions), strings as tensors (unreadable,
// and item ids compress well in transit anyway), protocol buffers (encoding is not canonical).
package artifact
