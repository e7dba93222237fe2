// Package peers trains recommenders of the Python libraries implicit (ALS by conjugate gradients and by Cholesky, BPR) and LightFM (WARP), so
// that ours can be measured beside them on the same data. A peer takes a matrix of what each subject had, and gives back vectors of subjects
// and items whose products are its scores: judging is left to one evaluator, ours, for all.
//
// # Design
//
// The libraries stand in a virtual environment of their own, in the user's cache, made from pinned versions (requirements.txt) when it is
// missing: nothing of the system's Python is used but the interpreter. Its folder is named by the digest of the pins, so that new pins make
// a new one. LightFM has no wheels and is built from source; where that fails, the rest goes on and the output says so.
//
// Each fit is a process of its own: the script peer.py reads one JSON task and answers with one JSON object; the matrix and the vectors
// are plain binary files in the machine's byte order. The process is started without the environment variables by which a BLAS or OpenMP can
// be slowed (OPENBLAS_CORETYPE and the like). implicit runs its own OpenMP threads on all cores, and advises one thread for the BLAS below;
// both are tried on a slice of the data, and the quicker one is taken. Its items start from the vectors that the task gives, its subjects, from
// which conjugate gradients alone start, from draws of its own. A fit tells each epoch that ends on its standard error, which Open's progress gets.
//
// # The same problem
//
// implicit minimizes Σ c_ui·(p_ui − x_u·y_i)² + λ'·(‖X‖² + ‖Y‖²) over all pairs, with p = 1 and c_ui = c where the pair was seen, p = 0 and
// c_ui = 1 elsewhere. Ours is Σ_S (ŷ − 1)² + α₀·Σ ŷ² + λ·(‖W‖² + ‖H‖²), with ν = 0. Completing the square, a seen pair of theirs costs
// (c−1)·(ŷ − t)² + ŷ² and a constant, with t = c/(c−1). With X = √t·W and Y = √t·H, all of theirs is t²·(c−1) times ours and a constant, for
//
//	α₀ = 1/(c−1)    λ = λ'/c
//
// so the two are one problem, whose factors differ by √t. (This needs one confidence for all seen pairs: with several, theirs has several
// targets t, and no choice of ours has the same minimum.)
package peers
