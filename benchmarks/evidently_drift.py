# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["evidently==0.7.23", "pandas>=2.3,<3", "pyarrow>=25"]
# ///
"""Evidently's drift report over the rows of benchmarks/monitoring.py, which runs this in an environment of its own.

Rows are in memory before time counts, and nothing is drawn: it is the computation alone that is compared.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender")
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore")
    usual, current = (pd.read_parquet(folder / f"{name}.parquet") for name in ("usual", "current"))
    strings = [name for name in usual if not pd.api.types.is_numeric_dtype(usual[name])]
    numbers = [name for name in usual if name not in strings]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=strings)
    report = Report([DataDriftPreset()])
    few = 500
    report.run(_dataset(current.head(few), definition), _dataset(usual.head(few), definition))  # libraries start
    started = time.perf_counter()
    found = report.run(_dataset(current, definition), _dataset(usual, definition)).dict()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "drifted": int(found["metrics"][0]["value"]["count"])}))


def _dataset(rows: pd.DataFrame, definition: DataDefinition) -> Dataset:
    return Dataset.from_pandas(rows, data_definition=definition)


main()  # unguarded: `make bench` runs every file that has a guard, and this one needs another environment
