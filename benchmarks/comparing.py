"""Measuring sides in turns, and what may be said about their ratio."""
import math
import statistics
import sys

ROUNDS = 7


def alternate(sides, rounds=ROUNDS):
    """Values of every side, a list of `rounds` each, measured in turns."""
    values = {name: [] for name in sides}
    for number in range(rounds):
        for name, measure in sides.items():
            values[name].append(measure())
        print(f"  round {number + 1}: " + ", ".join(f"{n} {v[-1]:.4g}" for n, v in values.items()),
              file=sys.stderr, flush=True)
    return values


def interval(values):
    """The narrowest pair of ordered values that holds the median with at least 95 %, whatever the distribution
    (of the sign test): of 7 values the smallest and the largest, with 98.4 %; of 15 the fourth from each end, with 96.5 %."""
    values, count = sorted(values), len(values)
    outside = lambda rank: 2 * sum(math.comb(count, k) for k in range(rank + 1)) / 2**count
    rank = max((rank for rank in range(count // 2) if outside(rank) <= 0.05), default=0)
    return values[rank], values[-1 - rank]


def ratio(ours, theirs, digits=2):
    """The median of each round's ratio, and its interval."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, high = interval(ratios)
    return f"{statistics.median(ratios):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(header, rows):
    line = lambda cells: "| " + " | ".join(map(str, cells)) + " |"
    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)]) + "\n"


def compared(values, unit, ours="here"):
    """A row for each side, with our share of it."""
    rows = []
    for name, measured in values.items():
        share = "" if name == ours else ratio(values[ours], measured)
        rows.append([name, f"{statistics.median(measured):.3g} {unit}", f"{min(measured):.3g} to {max(measured):.3g}", share])
    return table(["", "median", "range", "here / there"], rows)
