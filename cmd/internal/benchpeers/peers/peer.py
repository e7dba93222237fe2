"""One fit of a peer: a task as JSON on the standard input, an answer as JSON on the standard output. See doc.go."""

import json
import os
import platform
import resource
import sys
import time
import warnings

import numpy as np
import scipy
import scipy.sparse
import threadpoolctl


def matrix(path, value):
    """Reads rows, columns, entries (int64), row offsets (int64) and columns (int32). Every entry has the same value."""
    with open(path, "rb") as f:
        rows, cols, entries = (int(x) for x in np.fromfile(f, np.int64, 3))
        off = np.fromfile(f, np.int64, rows + 1)
        col = np.fromfile(f, np.int32, entries)
    data = np.full(entries, value, np.float32)
    return scipy.sparse.csr_matrix((data, col, off.astype(np.int32)), shape=(rows, cols))


def als(task, m):
    from implicit.cpu.als import AlternatingLeastSquares

    start = np.fromfile(os.path.join(task["out"], "start"), np.float32).reshape(m.shape[1], task["factors"])

    def fit(m, iterations, callback=None):
        model = AlternatingLeastSquares(
            factors=task["factors"], regularization=task["regularization"], use_cg=task["kind"] == "implicit-cg",
            iterations=iterations, num_threads=task["threads"], random_state=task["seed"],
        )
        # The first half-step of Cholesky needs no subjects; conjugate gradients start from them.
        rng = np.random.default_rng(task["seed"])
        model.user_factors = rng.standard_normal((m.shape[0], task["factors"]), np.float32) * np.float32(task["init_sd"])
        model.item_factors = start.copy()
        model.fit(m, show_progress=False, callback=callback)
        return model

    # One BLAS thread under OpenMP's, or as many as there are cores: what is quicker on a slice.
    slice_ = m[: max(1, m.shape[0] // 20)]
    tried = {}
    for threads in (1, task["threads"]):
        with threadpoolctl.threadpool_limits(threads, "blas"):
            fit(slice_, 1)
            began = time.perf_counter()
            fit(slice_, 1)
            tried[threads] = time.perf_counter() - began
    blas = min(tried, key=tried.get)

    epochs = []

    def ended(_, seconds, __):
        epochs.append(seconds)
        print(f"{task['kind']} d={task['factors']}: epoch {len(epochs)} of {task['iterations']}, {seconds:.1f} s", file=sys.stderr, flush=True)

    with threadpoolctl.threadpool_limits(blas, "blas"):
        clock = Clock()
        model = fit(m, task["iterations"], ended)
        took = clock.stop()
        folded = model.recalculate_user(np.array(task["fold"], np.int64), m[task["fold"]]) if task["fold"] else None
    return model.user_factors, model.item_factors, folded, dict(took, epochs=epochs, blas_threads=blas)


def bpr(task, m):
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=task["factors"], iterations=task["iterations"], num_threads=task["threads"], random_state=task["seed"],
    )
    clock = Clock()
    model.fit(m, show_progress=False)
    return model.user_factors, model.item_factors, None, clock.stop()


def warp(task, m):
    from lightfm import LightFM

    model = LightFM(no_components=task["factors"], loss="warp", random_state=task["seed"])
    clock = Clock()
    model.fit(m.tocoo(), epochs=task["iterations"], num_threads=task["threads"])
    took = clock.stop()
    items = np.column_stack([model.item_embeddings, model.item_biases])
    users = np.column_stack([model.user_embeddings, np.ones(m.shape[0], np.float32)])
    return users, items, None, took


class Clock:
    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), self.used()

    def used(self):
        r = resource.getrusage(resource.RUSAGE_SELF)
        return r.ru_utime + r.ru_stime

    def stop(self):
        return {"seconds": time.perf_counter() - self.wall, "cpu": self.used() - self.cpu}


def facts():
    import implicit

    out = {"python": platform.python_version(), "implicit": implicit.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    try:
        import lightfm

        out["lightfm"] = lightfm.__version__
    except ImportError:
        pass
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas" and "scipy" in os.path.basename(os.path.dirname(pool["filepath"])):
            out["blas"] = f"{pool['internal_api']} {pool['version']} ({pool.get('architecture')})"
    return out


def main():
    task = json.load(sys.stdin)
    warnings.filterwarnings("ignore", message=".*highly recommended.*")
    warnings.filterwarnings("ignore", message="LightFM was compiled without OpenMP.*")
    if task["kind"] == "facts":
        json.dump(facts(), sys.stdout)
        return
    fit = {"implicit-cg": als, "implicit-cholesky": als, "implicit-bpr": bpr, "lightfm-warp": warp}[task["kind"]]
    users, items, folded, answer = fit(task, matrix(task["matrix"], task["confidence"]))
    for name, rows in (("users", users), ("items", items), ("folded", folded)):
        if rows is not None:
            np.ascontiguousarray(rows, np.float32).tofile(os.path.join(task["out"], name))
    answer["width"] = int(users.shape[1])
    json.dump(answer, sys.stdout)


main()
