"""Measures what every published version costs in time and writes zoo/costs.json, which the table of results shows.

Run it as `python3 benchmarks/costs.py`, where nothing else computes; then `zoo index` prints the table anew. Versions are
measured in turns, and what is written is the median of the rounds. Predictions have rounds of their own: right after a training
on both cores they are slower by up to two thirds.
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
    parser.add_argument("--infer", default=ROOT / "target/debug/infer", help="the binary to measure")
    parser.add_argument("--trainer", default=ROOT / "target/debug/trainer", help="the binary to measure")
    arguments = parser.parse_args()
    recipes = {f"{r.parent.parent.name}@{r.parent.name}": r for r in sorted((ROOT / "zoo/models").glob("*/*/recipe.yaml"))}
    # One image to a call, one thread.
    predictions = {v: lambda v=v: speed(arguments.infer, v, 1, 1, 0.5)["p50_us"] for v in recipes}
    trainings = {v: lambda r=r: core_hours(arguments.trainer, r) for v, r in recipes.items()}
    versions = {v: {} for v in recipes}
    for what, sides in [("microseconds", predictions), ("core_hours", trainings)]:
        for version, values in alternate(sides, ROUNDS).items():
            versions[version][what] = float(f"{statistics.median(values):.3g}")
    costs = {"machine": machine(), "date": str(datetime.date.today()), "versions": versions}
    (ROOT / "zoo/costs.json").write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
