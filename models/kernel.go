package models

import "runtime"

// KernelClass names the arithmetic that models are trained with here. Within a class artifacts are byte-identical for equal inputs,
// whatever the number of processors; between classes the last bits differ, since compilers fuse multiply and add on some architectures.
const KernelClass = "portable-" + runtime.GOARCH
