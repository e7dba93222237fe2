package vec

// The assembly is written by a module of its own; make lint compares.

//go:generate go run -C asm . tile -out ../tile_amd64.s -stubs ../tile_stubs_amd64.go -pkg vec
//go:generate go run -C asm . vector -out ../vector_amd64.s -stubs ../vector_stubs_amd64.go -pkg vec
//go:generate go run -C asm . top -out ../top_amd64.s -stubs ../top_stubs_amd64.go -pkg vec
//go:generate go run -C asm . rows -out ../rows_amd64.s -stubs ../rows_stubs_amd64.go -pkg vec
//go:generate go run -C asm . strips -out ../strips_amd64.s -stubs ../strips_stubs_amd64.go -pkg vec
