"""Prints what the reference implementations say of fixed inputs: compat.py EVAL.json DRIFT.json

Each case holds its inputs, the call that produced its values, and the values, to the last bit. The Go tests read both files and need no Python. Where no
package has a definition, the call is the formula itself in numpy.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import ranx
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.calculations.stattests.wasserstein_distance_norm import _wasserstein_distance_norm
from evidently.legacy.core import ColumnType
from fairlearn.metrics import MetricFrame
from scipy import stats
from scipy.spatial import distance
from sklearn.metrics import ndcg_score, pairwise_distances
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")


class Chance:
    """A generator that is the same in any version of any library."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def unit(self):
        return (self.below(2**30) + 0.5) / 2**30


def pick(r, n, k):
    pool = list(range(n))
    for i in range(k):
        j = i + r.below(n - i)
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:k]


def rankings(cases):
    """Lists of 20 places over 60 items, of 40 people with 1 to 7 relevant items; ranx and scikit-learn score them."""
    r = Chance(1)
    lists = [pick(r, 60, 20) for _ in range(40)]
    relevant = [sorted(pick(r, 60, 1 + r.below(7))) for _ in range(40)]
    lists[0], relevant[0] = list(range(20)), [40, 41]  # nothing is found
    lists[1], relevant[1] = list(range(20)), [0, 1, 2]  # perfect
    qrels = ranx.Qrels({str(q): {str(i): 1 for i in rel} for q, rel in enumerate(relevant)})
    run = ranx.Run({str(q): {str(i): 100.0 - place for place, i in enumerate(l)} for q, l in enumerate(lists)})
    out = {}
    for k in (1, 5, 10, 20):
        for ours, theirs in (("ndcg", "ndcg"), ("recall_all", "recall"), ("precision", "precision"), ("mrr", "mrr"), ("hit", "hit_rate")):
            ranx.evaluate(qrels, run, f"{theirs}@{k}")
            out[f"{ours}@{k}"] = [float(run.scores[f"{theirs}@{k}"][str(q)]) for q in range(40)]
        out[f"recall@{k}"] = [len(set(l[:k]) & set(rel)) / min(k, len(rel)) for l, rel in zip(lists, relevant)]
    cases["rankings"] = {
        "call": "ranx.evaluate(Qrels, Run, 'ndcg@k' | 'recall@k' | 'precision@k' | 'mrr@k' | 'hit_rate@k'), by query; recall: len(set(list[:k]) & set(rel)) / min(k, len(rel))",
        "lists": lists, "relevant": relevant, "values": out,
    }
    truth, score = np.zeros((40, 60)), np.zeros((40, 60))
    for q in range(40):
        truth[q, relevant[q]] = 1
        score[q, lists[q]] = 100 - np.arange(20)
    cases["ndcg"] = {"call": "sklearn.metrics.ndcg_score(y_true, y_score, k=k), the mean over the queries of rankings", "values": {str(k): float(ndcg_score(truth, score, k=k)) for k in (1, 5, 10, 20)}}


def groups(cases):
    """Hits of 400 people in three groups, and in the nine of two attributes."""
    r = Chance(2)
    gender = [("f", "m", "x")[min(r.below(5), 2)] for _ in range(400)]
    age = [("old", "young")[r.below(2)] for _ in range(400)]
    hit = [int(r.unit() < {"f": 0.6, "m": 0.45, "x": 0.2}[g] + (0.1 if a == "old" else 0)) for g, a in zip(gender, age)]

    def frame(features):
        m = MetricFrame(metrics=lambda y_true, y_pred: float(np.mean(y_pred)), y_true=hit, y_pred=hit, sensitive_features=features)
        by = {"|".join(k) if isinstance(k, tuple) else k: float(v) for k, v in m.by_group.items()}
        return {
            "overall": float(m.overall), "by_group": by, "group_min": float(m.group_min()), "group_max": float(m.group_max()),
            "difference": float(m.difference()), "difference_to_overall": float(m.difference(method="to_overall")), "ratio": float(m.ratio()),
        }

    cases["groups"] = {
        "call": "fairlearn.metrics.MetricFrame(metrics=mean of y_pred, y_true=hit, y_pred=hit, sensitive_features=gender | [gender, age]): overall, by_group, group_min(), group_max(), difference(), difference(method='to_overall'), ratio()",
        "gender": gender, "age": age, "hit": hit,
        "values": {"gender": frame(pd.Series(gender, name="gender")), "both": frame(pd.DataFrame({"gender": gender, "age": age}))},
    }


def likeness(cases):
    r = Chance(3)
    had = [r.below(30) if i % 3 else 5 for i in range(50)]
    codes = [[r.below(4), r.below(3)] for _ in range(50)]
    lists = [pick(r, 50, 8) for _ in range(12)]
    live = [pick(r, 50, 8) for _ in range(12)]
    history = [pick(r, 50, 6) for _ in range(12)]
    n = np.asarray(had)
    rarity = -np.log2(np.maximum(n, 1) / 30)
    standing = (stats.rankdata(n, method="average") - 0.5) / len(n)
    unlike = [float(pairwise_distances(np.asarray([codes[i] for i in l]), metric="hamming")[np.triu_indices(8, 1)].mean()) for l in lists]
    steck = []
    for l, h in zip(lists, history):
        p = np.bincount([codes[i][0] for i in h], minlength=4) / len(h)
        q = np.bincount([codes[i][0] for i in l], minlength=4) / len(l)
        steck.append(float(stats.entropy(p, 0.99 * q + 0.01 * p)))
    counts = np.bincount(np.concatenate(lists), minlength=50).astype(float)
    cases["lists"] = {
        "call": "novelty: mean of -numpy.log2(numpy.maximum(had, 1)/30); popularity: mean of (scipy.stats.rankdata(had, 'average') - 0.5)/50; diversity: sklearn.metrics.pairwise_distances(codes of the list, metric='hamming')[numpy.triu_indices(8, 1)].mean(); calibration: scipy.stats.entropy(p, .99*q + .01*p) by the first code; overlap: len(set(a) & set(b))/8; gini: numpy.abs(numpy.subtract.outer(x, x)).mean()/(2*x.mean()), x the lists that hold each item",
        "had": had, "codes": codes, "lists": lists, "live": live, "history": history,
        "values": {
            "novelty": [float(rarity[l].mean()) for l in lists], "popularity": [float(standing[l].mean()) for l in lists], "diversity": unlike, "calibration": steck,
            "overlap": [len(set(a) & set(b)) / 8 for a, b in zip(lists, live)],
        },
        "gini": float(np.abs(np.subtract.outer(counts, counts)).mean() / (2 * counts.mean())),
    }
    pairs = [([0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.25, 0.25]), ([0.1, 0.9], [0.1, 0.9]), ([1.0, 0.0], [0.0, 1.0]), ([0.7, 0.2, 0.1], [0.6, 0.1, 0.3])]
    cases["awrf"] = {"call": "1 - scipy.spatial.distance.jensenshannon(exposure, target, base=2)**2", "pairs": pairs, "values": [float(1 - distance.jensenshannon(p, q, base=2) ** 2) for p, q in pairs]}
    p = [0.001, 0.04, 0.03, 0.2, 0.03]
    cases["holm"] = {"call": "statsmodels.stats.multitest.multipletests(p, method='holm')[1]", "p": p, "values": [float(x) for x in multipletests(p, method="holm")[1]]}
    x = [r.unit() for _ in range(41)]
    cases["quantile"] = {"call": "numpy.quantile(x, [.025, .5, .975])", "x": x, "values": [float(v) for v in np.quantile(x, [0.025, 0.5, 0.975])]}


def drift(cases):
    r = Chance(4)
    shares = [([0.2, 0.3, 0.5, 0.0], [0.25, 0.25, 0.4, 0.1]), ([0.5, 0.5], [0.5, 0.5]), ([1.0, 0.0, 0.0], [0.0, 0.5, 0.5]), ([0.1] * 10, [0.19] + [0.09] * 9)]
    cases["jensen_shannon"] = {"call": "scipy.spatial.distance.jensenshannon(p, q)", "pairs": shares, "values": [float(distance.jensenshannon(p, q)) for p, q in shares]}
    a = [list(range(4))[r.below(4)] for _ in range(500)]
    b = [list(range(4))[min(r.below(5), 3)] for _ in range(700)]
    counts = [np.bincount(x, minlength=4).tolist() for x in (a, b)]
    sa, sb = pd.Series([f"v{x}" for x in a]), pd.Series([f"v{x}" for x in b])
    cases["psi"] = {"call": "evidently.legacy.calculations.stattests.psi._psi(reference, current, ColumnType.Categorical, 0.1)[0]", "reference": counts[0], "current": counts[1], "value": float(_psi(sa, sb, ColumnType.Categorical, 0.1)[0])}
    x = [round(-np.log(r.unit()) * 20, 6) for _ in range(300)]
    y = [round(-np.log(r.unit()) * 24 + 1, 6) for _ in range(220)]
    cases["wasserstein"] = {
        "call": "scipy.stats.wasserstein_distance(x, y); evidently.legacy.calculations.stattests.wasserstein_distance_norm._wasserstein_distance_norm(x, y, ColumnType.Numerical, 0.1)[0]; binned: scipy.stats.wasserstein_distance(edges, edges, p, q), the mass of each bin at its place",
        "x": x, "y": y, "value": float(stats.wasserstein_distance(x, y)), "normed": float(_wasserstein_distance_norm(pd.Series(x), pd.Series(y), ColumnType.Numerical, 0.1)[0]),
    }
    places, wp, wq = [0.0, 1.0, 2.5, 4.0, 10.0], [0.1, 0.2, 0.3, 0.25, 0.15], [0.2, 0.2, 0.1, 0.25, 0.25]
    cases["wasserstein"] |= {"places": places, "p": wp, "q": wq, "binned": float(stats.wasserstein_distance(places, places, wp, wq))}
    ps = [0.001, 0.04, 0.03, 0.2, 0.03, 0.9, 0.011]
    cases["bh"] = {"call": "scipy.stats.false_discovery_control(p, method='bh')", "p": ps, "values": [float(v) for v in stats.false_discovery_control(ps, method="bh")]}


def main():
    ours, theirs = {}, {}
    rankings(ours)
    groups(ours)
    likeness(ours)
    drift(theirs)
    for path, cases in ((sys.argv[1], ours), (sys.argv[2], theirs)):
        with open(path, "w") as f:
            f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in cases.items()) + "\n}\n")


main()
