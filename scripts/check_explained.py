"""Whether docs/guide/explained.md says what the studies say; with --write, its tables are written anew from their reports.

A table stands between `<!-- study NAME -->` and `<!-- end -->`: the reports of `studies/NAME` and `studies/NAME-fashion`, the
seconds that 1000 training images take (`timing.json` of `studies/NAME`), and of a grid of two knobs the means of its
combinations.
In the text of a section (up to the next heading), every number with ` %` or ` points` must be one of the section's reports,
rounded to as many decimals as it has. What comes from elsewhere is named in `<!-- not from a study: 94.5, 93.7 -->`.
"""

import csv
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/guide/explained.md"
TABLE = re.compile(r"<!-- study (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])([-−+]?\d[\d,]*(?:\.\d+)?)(?= (?:%|points?\b))")
MARKS = {"effect": "", "negligible": " (=)", "not decided": " (?)"}


def report(name):
    path = ROOT / "studies" / name / "report.json"
    return json.loads(path.read_text()) if path.exists() else None


def reports(name):
    return [found for found in (report(name), report(f"{name}-fashion")) if found]


def values(found):
    """Name, accuracies and difference of each value of a study's only knob."""
    [knob] = found["knobs"]
    for value in knob["values"]:
        name = value["value"] + (" (base)" if value["is_base"] and value["value"] != "base" else "")
        yield name, value


def mean_and_deviation(numbers):
    mean = sum(numbers) / len(numbers)
    squares = sum((number - mean) ** 2 for number in numbers)
    return mean, (squares / max(len(numbers) - 1, 1)) ** 0.5


def cells(value):
    if value is None:
        return ["–", ""]
    if value["problems"] and not value["accuracies"]:
        return [value["problems"][0].split(":")[0], ""]
    mean, deviation = mean_and_deviation(value["accuracies"])
    accuracy = f"{mean:.2f} ± {deviation:.2f}"
    difference = value["difference"]
    if difference is None:
        return [accuracy, ""]
    points, half = difference["points"], difference["half_width"]
    if half is None:
        return [accuracy, f"{points:+.2f}"]
    return [accuracy, f"{points:+.2f} ({points - half:+.2f} to {points + half:+.2f}){MARKS[difference['verdict']]}"]


def table(name):
    both = [report(name), report(f"{name}-fashion")]
    rows = grid if len(next(found for found in both if found)["knobs"]) == 2 else list_of_values
    links = [
        f"[{dataset}](../../studies/{study}/report.md)"
        for study, dataset, found in zip([name, f"{name}-fashion"], ["MNIST", "Fashion-MNIST"], both)
        if found
    ]
    return f"{rows(both)}\nReports: {', '.join(links)}.\n"


def list_of_values(both):
    knobs = [dict(values(found)) if found else {} for found in both]
    order = list(dict.fromkeys([*knobs[0], *knobs[1]]))
    first = next(found for found in both if found)
    [knob] = first["knobs"]
    times = seconds(first["name"])
    names = [knob["knob"], "MNIST, %", "difference", "Fashion-MNIST, %", "difference", *(["s / 1000 images"] if times else [])]
    text = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    for name in order:
        row = [cell for found in knobs for cell in cells(found.get(name))]
        if times:
            value = next(found[name] for found in knobs if name in found)
            time = times.get("base" if value["is_base"] else f"{knob['knob']} {value['value']}")
            row.append("" if time is None else f"{time:.2f}")
        text += f"| {name} | {' | '.join(row)} |\n"
    return text


def seconds(study):
    """Seconds for 1000 training images, by combination; the base's are those of its value too."""
    path = ROOT / "studies" / study / "timing.json"
    if not path.exists():
        return {}
    return {one["combination"]: one["per_1000_images"] for one in json.loads(path.read_text())["combinations"]}


def combinations(found):
    """Mean and deviation of each combination of a grid's two knobs, in %."""
    names = [knob["knob"] for knob in found["knobs"]]
    accuracies = {}
    with (ROOT / "studies" / found["name"] / "results.csv").open() as file:
        for row in csv.DictReader(file):
            key = tuple(row[name] for name in names)
            accuracies.setdefault(key, []).append(100 * float(row["validation_accuracy"]))
    return {key: mean_and_deviation(of) for key, of in accuracies.items()}


def grid(both):
    columns, rows = ([value["value"] for value in knob["values"]] for knob in both[0]["knobs"])
    [across, down] = [knob["knob"] for knob in both[0]["knobs"]]
    text = f"| dataset | {down} | {' | '.join(f'{across} {value}' for value in columns)} |\n|---|---|{'---|' * len(columns)}\n"
    for dataset, found in zip(["MNIST, %", "Fashion-MNIST, %"], both):
        means = combinations(found) if found else {}
        for row in rows if found else []:
            cells = ["{:.2f} ± {:.2f}".format(*means[column, row]) for column in columns]
            text += f"| {dataset} | {row} | {' | '.join(cells)} |\n"
    return text


def numbers(found):
    """Every number that a report has."""
    known = []
    for knob in found["knobs"]:
        means = []
        for value in knob["values"]:
            if value["accuracies"]:
                mean, deviation = mean_and_deviation(value["accuracies"])
                known += [mean, deviation, value["train_accuracy"], value["train_accuracy"] - mean]
                means.append(mean)
            if difference := value["difference"]:
                points, half = difference["points"], difference["half_width"] or 0
                known += [points, points - half, points + half]
        known += [a - b for a in means for b in means]
        known += [knob["deviation"] or 0]
    if len(found["knobs"]) == 2:
        means = [mean for mean, _ in combinations(found).values()]
        known += means + [a - b for a in means for b in means]
    return known + [found["matters"] or 0]


def check_text(title, text):
    """Numbers of a section's text that its studies do not have."""
    studies = {name for name in re.findall(r"studies/([\w-]+)/report", text) if report(name)}
    if not studies:
        return []
    allowed = ",".join(re.findall(r"<!-- not from a study: (.*?) -->", text)).split(",")
    allowed = {number.strip() for number in allowed}
    known = [abs(number) for name in studies if (found := report(name)) for number in numbers(found)]
    prose = re.sub(r"<!--.*?-->", "", TABLE.sub("", text), flags=re.DOTALL)
    wrong = []
    for said in NUMBER.findall(prose):
        plain = said.lstrip("-−+").replace(",", "")
        decimals = len(plain.partition(".")[2])
        if plain not in allowed and not any(f"{number:.{decimals}f}" == plain for number in known):
            wrong.append(f"{title}: {said} is in none of {', '.join(sorted(studies))}")
    return wrong


def main():
    text = PAGE.read_text()
    write = "--write" in sys.argv[1:]
    wrong = []

    def fresh(match):
        new = f"<!-- study {match[1]} -->\n{table(match[1])}<!-- end -->\n"
        if new != match[0] and not write:
            wrong.append(f"the table of {match[1]} is not what its reports say; write it anew with --write")
        return new

    assert TABLE.search(text), f"{PAGE}: no table of a study"
    new = TABLE.sub(fresh, text)
    if write:
        PAGE.write_text(new)
    for section in re.split(r"(?m)^(?=#)", new):
        wrong += check_text(section.partition("\n")[0].strip("# "), section)
    for line in wrong:
        print(line)
    print(f"{len(TABLE.findall(text))} tables, {len(wrong)} differences")
    sys.exit(bool(wrong))


main()
