"""Measures what every published version costs in time and writes zoo/costs.json, which the table of results shows.

Run it as `python3 benchmarks/costs.py --infer BINARY`, where nothing else computes; then `zoo index` prints the table
anew. Versions are measured in turns, and what is written is the median of the rounds. Predictions have
rounds of their own: right after a training on both cores they are slower.
"""
import argparse
import datetime
import json
import statistics

from comparing import alternate
from machine import ROOT, machine, run, speed

ROUNDS = 5


def core_hours(trainer, recipe):
    command = [trainer, "throughput", recipe, "--datasets", ROOT / "datasets", "--zoo", ROOT / "zoo", "--json"]
    return json.loads(run(command)[0])["core_hours"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infer", required=True, help="the binary to measure, as it is shipped")
    parser.add_argument("--trainer", default=ROOT / "target/debug/trainer", help="the binary to measure")
    arguments = parser.parse_args()
    folders = sorted(manifest.parent for manifest in (ROOT / "zoo/models").glob("*/*/manifest.yaml"))
    folders = {f"{folder.parent.name}@{folder.name}": folder for folder in folders}
    # One image to a call, one thread.
    predictions = {v: lambda v=v: speed(arguments.infer, v, 1, 1, 0.5)["p50_us"] for v in folders}
    # Weights from elsewhere were not trained by a recipe, even where one lies beside them.
    trained = [version for version, folder in folders.items() if (folder / "history.csv").exists()]
    trainings = {v: lambda v=v: core_hours(arguments.trainer, folders[v] / "recipe.yaml") for v in trained}
    versions = {v: {} for v in folders}
    for what, sides in [("microseconds", predictions), ("core_hours", trainings)]:
        for version, values in alternate(sides, ROUNDS).items():
            versions[version][what] = float(f"{statistics.median(values):.3g}")
    costs = {"machine": machine(), "date": str(datetime.date.today()), "versions": versions}
    (ROOT / "zoo/costs.json").write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
