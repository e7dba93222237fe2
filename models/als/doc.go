// Package als is implicit-feedback matrix factorization by alternating least squares: iALS (Hu, Koren & Volinsky, ICDM 2008) in the
// parametrization of Rendle, Krichene, Zhang & Koren (RecSys 2022, "Revisiting the Performance of iALS on Item Recommendation
// Benchmarks").
//
// Training minimizes, over subject vectors w_u and item vectors h_i of dimension d,
//
//	Σ_{(u,i)∈S} c_ui·(w_u·h_i − 1)²  +  α₀·Σ_{u∈U, i∈I} (w_u·h_i)²  +  λ·(Σ_u #_u^ν·‖w_u‖² + Σ_i #_i^ν·‖h_i‖²)
//
// S holds the pairs that occur, U and I the subjects and items in S. #_u = |I(u)| + α₀·|I| and #_i = |U(i)| + α₀·|U| count pairs, not
// confidences. The confidence of a pair is built from its events before the cut T:
//
//	c_ui = m·ln(1 + s/m),   s = Σ_events weight · 2^(−(T − t)/half-life)
//
// so a single fresh event of weight 1 counts almost 1 and repeats add ever less; m = Saturation (0: c = s).
//
// A query is folded in: its history, decayed to the query's own time, gives w = A⁻¹b with A = α₀·HᵀH + Σ_j c_j·h_j·h_jᵀ + λ·#^ν·I and
// b = Σ_j c_j·h_j, exactly the solve that training makes for a subject. The score of item i is h_i·w, and since b is a sum over the
// history, so is the score: Σ_j c_j·h_iᵀA⁻¹h_j. Explanations are these terms, computed in float64.
//
// Attributes are for rows without history (Attributes "cold", and "auto", the default, where the data's shape allows it): when training is done, A
// and B are ridge regressions of the subjects' and the items' vectors on their features f (models/internal/encode) after a constant 1, with
// the weights r = λ·#^ν of the rows and a penalty κ. An item that training never saw has the vector B·f_i, and a query without history is drawn
// towards A·f_u by the regularizer r_u·‖w_u − A·f_u‖², so that both are scored the moment their attributes are known. Everything else is as
// without attributes, to the bit.
//
// With Attributes "true" the regularizer draws all rows so, in training too: r_u·‖w_u − A·f_u‖² and r_i·‖h_i − B·f_i‖². A and B are refit after
// each half of an epoch, which makes each refit a minimizer of the same objective, and a query's right-hand side gains r·A·f. Constants alone
// ("bias") are what that is ablated against (cmd/internal/coldstart).
//
// # Design
//
// The artifact holds items, item vectors, HᵀH, attribute maps and hyperparameters. Subject vectors are thrown away after training and folded in again
// from allowed history, so that an artifact holds no subject. An item that very few subjects chose has a vector that is nearly a
// multiple of one subject's, so items with fewer than MinSubjects subjects take no part; without attributes they score 0, as do items
// that training never saw: the model says nothing about them, and a blend's other parts rank them. The subjects' map keeps to the same
// rule: a level of fewer subjects has no row.
//
// Maps that are fitted afterwards cost nothing where there is history, and find new items as well as those that training is drawn to, and new
// subjects better (docs/quality.md): a regularizer that expects more of a row than 0 takes from its history what the attributes do not explain.
//
// A new item is not solved for with an empty history, as if everybody had passed it over: nobody could choose it. Its vector is B·f_i itself,
// which finds new items better (nDCG@10 .182 against .126 on a synthetic world). Items that were chosen, by too few people to take part, count in
// the map with a vector of 0: were it fitted to chosen items alone, a new item would be taken for one of the best liked of its kind. Items that
// nobody had chosen yet do not count: nothing says that they were there, and in a back-test many were not.
//
// A subject without history is solved for like any other, drawn to what its attributes say: it has passed by what there is to choose.
//
// λ and d that are left out follow from the data's shape (hyper.go). With λ = 0.003 whatever the data, as before, directions of pure noise were learned
// from small data, and 32 dimensions held them down at the price of tastes: on shops of 1,000 people nDCG@10 of new items rises by about a
// third by the rule, and at 1 and 2 M pairs it stays level (docs/quality.md). ν = 0 and ν = ½ with the same threshold were level on shops
// and worse at MovieLens' shape.
//
// Two items may have near vectors though hardly anybody chose both, and a related list that names them tells what few people did. So the artifact
// holds, for each item, its nearest neighbours among those that MinSubjects subjects have in common with it, found when training is done
// (neighbours.go); lists name no others, but items that training never saw: their vectors follow from attributes. Counting at training costs what two
// epochs do, and makes lists cheaper, which need not compare an item with all others. Rejected: a bit for each of the nearest that passes, as which are the
// nearest may differ by rounding between the machine that trains and the one that serves.
//
// How a row is solved is a matter of cost (plan.go). Small trainings solve every row exactly (Cholesky), as a fold-in does. In larger ones a row
// takes up to three steps of conjugate gradients from where it was (up to ten in the first epoch, which begins nowhere), in the basis in which
// the other side's Gram matrix is diagonal (basis.go). There α₀·FᵀF·w costs d instead of d², and the diagonal, regularizer included, conditions the steps: what is left differs
// from the identity in as many directions as the row has pairs. On 2 M pairs of MovieLens' shape (d = 64, eight epochs) a single such step
// ends at the objective of exact solves, 850,792 against 850,825, and three without the basis at 851,029; where α₀ is ten times smaller
// three are needed. The basis costs one eigendecomposition and four thin products a half. Rows too long to be gathered at once are solved exactly while d is small, since each step would gather them anew. Blocks
// (iALS++) are there on request: they cost more than steps and gained nothing.
//
// Neither exact solves nor steps raise the objective, which is checked in every epoch. It costs no pass over the pairs: each row of an
// item knows its own part, and the parts add up to the sum over S and the sum over U×I. Rows that float32 would solve badly, and steps that leave
// its range, are solved in float64. Every row's sums run in the order of its items, whatever worker takes it, and all other sums run over a
// fixed number of chunks, cut by cost: equal inputs and seed give equal bytes at any GOMAXPROCS.
//
// Early stopping (stop.go) and a warm start (warm.go) are off by default: the first trains twice, the second carries over what its parent learned
// from, which an erasure may have to undo. A warm start ends by what the cold one at the head of its line gained last, not by a number of
// epochs of its own: nobody has to find one, and a line that ends in a cold start loses nothing.
//
// Rejected: keeping subject vectors for a warm start (they would be subject rows in an artifact); negative sampling (BPR), whose
// result depends on a sampler and on the order of updates; features as rows of the factorization (a vector for each level, added to the
// row's own, as LightFM): its solves are as wide as all features together.
package als
