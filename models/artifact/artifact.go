// Package artifact reads and writes model artifacts: one safetensors file of tensors and one JSON manifest, both deterministic to the byte.
package artifact

// Writer collects the tensors and JSON values of one artifact under slash-separated section names.
// The owner of this package replaces this scaffold.
type Writer struct{}
