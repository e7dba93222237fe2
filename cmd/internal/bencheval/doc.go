// Command bencheval measures what evaluation costs.
//
//	bencheval [-size full|ci] [-only ml1m,many,scan,alarms,power,gaps,years] [-evidently PYTHON]
//
// ml1m is an evaluation of MovieLens 1M's size: 6,040 subjects, 3,700 items ranked in full, a candidate, the live version, two baselines and two parts, all
// metrics at 10 and 20, 12 cohorts of four levels, exposure by provider, content and price, 1,000 replicates. Its target is of two cores.
//
// many is a million subjects and 50,000 items, with a candidate and a baseline: what counts is that its memory is that of a tenth of them.
//
// scan streams 200 columns of ten million rows through the drift check's bins once. alarms judges 300 stationary weeks, and its target is how many of them
// are called; power is how often changes of several sizes are called in shops of several sizes, and gaps what a budget says of gaps between cohorts in the same way.
// years lets five years pass in which nothing changes, each week judged by twenty budgets on the pool of four: the target is how many verdicts of the worst
// of them are failures. With -evidently PYTHON (make compat-drift) the defaults of Evidently are asked about the same weeks: its preset for drift, which
// chooses a test or a distance a column by the number of rows, over the seven days as reference.
//
// # Design
//
// Scores are one addition each, so that what is measured is ranking, measuring and resampling, and not a model. Each part runs in a process of its own,
// whose peak memory the kernel knows.
package main
