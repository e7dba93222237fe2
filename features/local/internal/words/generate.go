package words

// The assembly is written by a module of its own; make lint compares.

//go:generate go run -C asm . kernels -out ../kernels_amd64.s -stubs ../kernels_stubs_amd64.go -pkg words
