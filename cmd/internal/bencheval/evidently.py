"""Reads folders from standard input, a line each, and answers with the columns that Evidently's preset for drift calls: a JSON list a line.

A folder holds reference.csv and current.csv. Nothing is set: which test or distance a column gets, and its threshold, are the package's choice.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

definition = DataDefinition(numerical_columns=["price"], categorical_columns=["kind", "device", "item"])


def read(path):
    return Dataset.from_pandas(pd.read_csv(path, dtype={"kind": str, "device": str, "item": str}), data_definition=definition)


def drifted(metric):
    config = metric["config"]
    distance = "distance" in config["method"] or "divergence" in config["method"] or "PSI" in config["method"]
    return metric["value"] >= config["threshold"] if distance else metric["value"] < config["threshold"]


for line in sys.stdin:
    folder = line.rstrip("\n")
    metrics = Report([DataDriftPreset()]).run(read(folder + "/current.csv"), read(folder + "/reference.csv")).dict()["metrics"]
    called = [m["config"]["column"] for m in metrics if "column" in m["config"] and drifted(m)]
    [count] = [m["value"]["count"] for m in metrics if "drift_share" in m["config"]]
    assert count == len(called), (count, metrics)  # the package's own count of them
    print(json.dumps(called), flush=True)
