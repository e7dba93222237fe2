// Package synth makes seeded synthetic shops: events, items, subjects, cohorts and consent records in Parquet, for the demo, for tests and
// benchmarks, and for pilots before real data may be touched. Nobody in them exists.
//
// # What is planted
//
// A recommender, a fairness report and a drift check must have something to find, and know when they have found it:
//
//   - Tastes: every subject belongs mostly to one of 8 latent groups, which prefer different categories, has two favourite categories and, in
//     each category, a favourite brand. Age band and region lean on the group, so attributes say something about a new subject.
//   - Popularity falls as a power law of rank within a category, and categories differ in size.
//   - Habits: half of the categories are consumables whose items have a period of 5 to 40 days. A subject buys its staples again about once a
//     period, with a tenth of jitter: about an eighth of all events, and more than half of what is bought.
//   - Newcomers: 12 % of the items are published, and 15 % of the subjects arrive, while the world runs. Activity is log-normal (σ = 1).
//   - Sessions: views of one category close together, then perhaps a cart and a buy. Cart and buy have an amount, a view has none. Evenings
//     and weekends are busier.
//   - Consent to `recommend`, in exact shares: 3 % refused, 1 % expire and 1 % withdraw within the middle of the world's time, three in ten of
//     those give consent again later. 1 % object to `check_fairness`. Cohorts are missing: a tenth of subjects has no row, a twentieth of the
//     rest no gender, another no age band.
//   - Impressions, if asked for: a view is a choice from a shelf of five, by place and by brand, and what was passed over was seen.
//   - Intent, if asked for: half of what a person looks at is, for three days at a time, of a category that its tastes don't tell.
//   - A minority, if asked for: all of one gender, which nobody else is of, and fond of what others like least in each category.
//   - Drift, if asked for, on one day: see [DriftKind].
//
// # Design
//
// Every subject-day has a random stream of its own, keyed by seed, subject and day, and habits are computed, not remembered. So a day needs no
// day before it: days are generated in parallel, one in memory for each processor, and the bytes are equal at any GOMAXPROCS. Rejected:
// a simulation with state (it would run day after day), and one stream for all (a change anywhere would change everything after it).
//
// parquet-go writes the files, since its row writer needs no detour over Arrow builders.
package synth
