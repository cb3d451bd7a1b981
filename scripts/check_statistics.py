# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1", "statsmodels==0.15.0"]
# ///
"""Every committed study's tests, differences and verdicts, computed again by statsmodels from its results.csv.

usage: check_statistics.py [STUDY...]   (folders of studies; default: all in studies/)
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.multitest import multipletests

ROOT = Path(__file__).resolve().parent.parent
ERROR = 0.01
CLOSE = 1e-6


class Study:
    def __init__(self, folder: Path):
        self.report = json.loads((folder / "report.json").read_text())
        runs = pd.read_csv(folder / "results.csv", dtype={"finished": str})
        self.knobs = [knob["knob"] for knob in self.report["knobs"]]
        for knob in self.knobs:
            runs[knob] = runs[knob].astype(str)
        self.design = self.report["design"]
        diverged = runs[runs.finished.str.startswith("diverged")][self.knobs].apply(tuple, axis=1)
        runs = runs[~runs[self.knobs].apply(tuple, axis=1).isin(set(diverged))]
        runs = runs[runs.finished == "true"].copy()
        runs["value"] = 100 * runs.validation_accuracy
        # The base, and values that are the base's, are the same runs.
        runs = runs.drop_duplicates("recipe_sha256")
        for knob in self.report["knobs"]:
            runs.loc[runs[knob["knob"]] == "base", knob["knob"]] = knob["reference"]
        order = {seed: index for index, seed in enumerate(dict.fromkeys(runs.seed))}
        runs["index"] = runs.seed.map(order)
        self.runs = runs
        self.looks = len(self.report["looks"])
        self.step = 100 / self.report["validation_images"]

    def noise(self, squares, freedom, step=None):
        """Not below what rounding makes."""
        return max(squares / freedom, (step or self.step) ** 2 / 12) if freedom > 0 else None

    def view(self, knob, seeds):
        """Runs, their model with and without the knob, and the noise that these are judged by."""
        runs = self.runs[self.runs["index"] < seeds]
        name = {knob: f"k{i}" for i, knob in enumerate(self.knobs)}
        runs = runs.rename(columns=name)
        others = [name[k] for k in self.knobs if k != knob]
        references = {name[k["knob"]]: k["reference"] for k in self.report["knobs"]}
        if self.design == "one_at_a_time":
            for other in others:
                runs = runs[runs[other] == references[other]]
            others = []
        runs = runs.assign(point=runs[list(name.values())].agg("|".join, axis=1))
        term = f"C({name[knob]}, Treatment(reference={references[name[knob]]!r}))"
        blocks = ["C(seed)"] if runs.seed.nunique() > 1 else []
        if self.design == "random":
            effects = smf.ols("value ~ " + " + ".join([*blocks, "C(point)"]), runs).fit()
            first = sorted(runs.point)[0]
            means = {p: effects.params.get(f"C(point)[T.{p}]", 0.0) for p in runs.point.unique() if p != first}
            means[first] = 0.0
            runs = runs.drop_duplicates("point").assign(value=lambda r: r.point.map(means))
            blocks = []
        added = [f"C({other})" for other in others]
        fit = smf.ols("value ~ " + " + ".join([*blocks, *added, term]), runs).fit()
        without = smf.ols("value ~ " + (" + ".join([*blocks, *added]) or "1"), runs).fit()
        judged = smf.ols("value ~ C(seed) + C(point)", runs).fit() if self.design == "grid" else fit
        variance = self.noise(judged.ssr, judged.df_resid)
        return runs, name[knob], term, fit, without, variance, judged.df_resid

    def own(self, runs, column, reference):
        """Differences within seeds, where their variances are too different to be taken together."""
        if self.design != "one_at_a_time":
            return {}
        table = runs.pivot(index="seed", columns=column, values="value")
        own = {}
        for level in table.columns.drop(reference):
            pairs = (table[level] - table[reference]).dropna()
            if len(pairs) < 2:
                return {}
            own[level] = (pairs.mean(), max(pairs.var(ddof=1), self.step**2 / 6), len(pairs))
        if len(own) < 2:
            return {}
        low, high = min(own.values(), key=lambda v: v[1]), max(own.values(), key=lambda v: v[1])
        chance = stats.f.sf(high[1] / low[1], high[2] - 1, low[2] - 1) * len(own) * (len(own) - 1)
        return own if chance < 0.01 else {}

    def differences(self, knob, reference, seeds):
        runs, column, term, fit, _, variance, freedom = self.view(knob, seeds)
        own = self.own(runs, column, reference)
        found = {}
        for level in sorted(set(runs[column]) - {reference}):
            if own:
                mean, var, count = own[level]
                found[level] = (mean, np.sqrt(var / count), count - 1)
            else:
                parameter = f"{term}[T.{level}]"
                error = fit.bse[parameter] / np.sqrt(fit.mse_resid) * np.sqrt(variance)
                found[level] = (fit.params[parameter], error, freedom)
        chances = [2 * stats.t.sf(abs(d) / e, f) for d, e, f in found.values()]
        holm = multipletests(chances, method="holm")[1]
        return {
            level: (d, e * stats.t.ppf(1 - ERROR / self.looks / 2, f), min(1, p * self.looks))
            for (level, (d, e, f)), p in zip(found.items(), holm, strict=True)
        }, bool(own)

    def check(self):
        said = {}
        for knob in self.report["knobs"]:
            _, _, _, fit, without, variance, freedom = self.view(knob["knob"], self.report["seeds"])
            df = without.df_resid - fit.df_resid
            statistic = max(without.ssr - fit.ssr, 0) / df / variance
            said[knob["knob"]] = (statistic, df, freedom, stats.f.sf(statistic, df, freedom))
        holm = multipletests([v[3] for v in said.values()], method="holm")[1] * self.looks
        for knob, corrected in zip(self.report["knobs"], np.minimum(holm, 1), strict=True):
            name, test = knob["knob"], knob["test"]
            statistic, df, freedom, chance = said[name]
            expect(name, "F", test["statistic"], statistic)
            expect(name, "freedom", test["freedom"], [df, freedom])
            expect(name, "p", test["probability"], chance)
            expect(name, "corrected p", test["corrected"], corrected)
            verdicts = []
            for value in knob["values"]:
                if (difference := value["difference"]) is None:
                    continue
                again, uneven = self.differences(name, knob["reference"], difference["seeds"])
                d, half, p = again[value["value"]]
                what = f"{name} {value['value']}"
                expect(what, "difference", difference["points"], d)
                expect(what, "half width", difference["half_width"], half)
                expect(what, "corrected p", difference["corrected"], p)
                matters = self.report["matters"]
                if matters and abs(d) + half <= matters:
                    verdict = "negligible"
                else:
                    verdict = "effect" if p < ERROR else "not decided"
                expect(what, "verdict", difference["verdict"], verdict)
                verdicts.append(verdict)
            _, uneven = self.differences(name, knob["reference"], self.report["seeds"])
            expect(name, "uneven", knob["uneven"], uneven)
            clear = "effect" in verdicts if uneven else corrected < ERROR
            if verdicts and set(verdicts) == {"negligible"}:
                expected = ["negligible"]
            elif clear:
                expected = ["effect"]
            else:
                # An effect that an earlier look found stays.
                expected = ["not decided", "effect"] if self.looks > 1 else ["not decided"]
            if knob["verdict"] not in expected:
                raise AssertionError(f"{name}: verdict {knob['verdict']}, expected {expected}")


def expect(where, what, found, expected):
    same = found == expected if isinstance(expected, str) else np.allclose(found, expected, rtol=1e-5, atol=CLOSE)
    if not same:
        raise AssertionError(f"{where}: {what} {found}, statsmodels {expected}")


def main():
    folders = [Path(arg) for arg in sys.argv[1:]]
    folders = folders or sorted(path.parent for path in (ROOT / "studies").glob("*/report.json"))
    assert folders, "no study has a report.json"
    for folder in folders:
        Study(folder).check()
        print(f"{folder.name}: as statsmodels")
    print(f"{len(folders)} studies: tests, differences and verdicts are those of statsmodels and scipy")


main()
