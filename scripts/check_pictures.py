# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "pillow==12.3.0",
# ]
# ///
"""Measures what `infer` makes of pictures as people send them, and holds it to what is promised.

Run it as `uv run scripts/check_pictures.py [FOLDER OF PROGRAMS] [--each N] [--model NAME] [--keep DIR] [--only KIND]`.
Digits and numbers are drawn in fonts and strokes (`pictures.py`, `picture_kinds.py`), garments are Fashion-MNIST's test
images on other grounds. Prints a table of kinds as Markdown; the exit status is 1 if a kind falls short.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import picture_kinds as kinds
import pictures
from programs import ROOT

# Least share of right answers, or of refused pictures.
DIGITS, GARMENTS, REFUSED, AUROC = 0.95, 0.90, 0.99, 0.98
NUMBERS = {"number_clean": 0.90, "number_in_shadow": 0.80, "number_on_lines": 0.80}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="?", default=ROOT / "target/debug")
    parser.add_argument("--each", type=int, default=60, help="pictures of each kind")
    parser.add_argument("--digits", help="model for digits [default: infer's]")
    parser.add_argument("--garments", help="model for garments")
    parser.add_argument("--zoo", default=ROOT / "zoo")
    parser.add_argument("--wrong", action="store_true", help="name the pictures that are not read right")
    parser.add_argument("--keep", help="folder to leave the pictures in")
    parser.add_argument("--only", help="kinds whose name contains this")
    parser.add_argument("--skip-limits", action="store_true", help="print the table only")
    return parser.parse_args()


def run(args, command, folder, model):
    options = ["--zoo", args.zoo, "--json", *(["--model", model] if model else [])]
    options += ["--top-k", "256"] if command == "predict" else []
    process = subprocess.run([Path(args.programs) / "infer", command, folder, *options], capture_output=True, text=True)
    if process.returncode not in (0, 2) or not process.stdout:
        sys.exit(process.stderr)
    answers = json.loads(process.stdout)
    return {Path(a["file"]).name: a for a in answers["predictions" if command == "predict" else "readings"]}


def save(image, path):
    if image.getexif():
        image.save(path.with_suffix(".jpg"), exif=image.getexif(), quality=92)
        return path.with_suffix(".jpg").name
    image.save(path.with_suffix(".png"))
    return path.with_suffix(".png").name


def draw_one(folder, kind, content, seed, number):
    name = content if isinstance(content, str) else str(number)
    return save(kind(content, np.random.default_rng([seed, number])), folder / f"{number:04}-{name}")


class Drawings:
    """Pictures of a kind, drawn by other processes while the program looks at those that are there."""

    POOL = ProcessPoolExecutor()

    def __init__(self, folder, kind, contents, seed):
        self.folder = folder / kind.__name__
        self.folder.mkdir(parents=True, exist_ok=True)
        count = len(contents)
        self.names = self.POOL.map(draw_one, [self.folder] * count, [kind] * count, contents, [seed] * count, range(count),
                                   chunksize=10)

    def made(self):
        """Numbers of the pictures by file name."""
        return {name: number for number, name in enumerate(self.names)}


def idx(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes())[header:], np.uint8)


def auroc(inside, outside):
    """The probability that one of the images inside has the higher score."""
    scores = np.concatenate([inside, outside])
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    return (ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside))


def score(answer):
    """How much a prediction says; see `Unlike` in zoo/src/confidence.rs. Nothing, or several things, on an image say
    nothing about its class."""
    if answer is None or answer["status"] in ("empty", "several"):
        return 0.0
    probabilities = np.array([c["probability"] for c in answer["classes"]], np.float32)
    return -np.log(np.maximum(probabilities, 1e-30)).mean()


class Table:
    def __init__(self):
        self.short = []
        print("| kind | pictures | share | least | statuses of the others |\n|---|---|---|---|---|")

    def row(self, name, good, total, least, note=""):
        share = good / total
        self.short += [name] if share < least else []
        print(f"| {name} | {total} | {100 * share:.1f} % | {100 * least:.1f} % | {note} |", flush=True)


def counts(statuses):
    return ", ".join(f"{status} {statuses.count(status)}" for status in sorted(set(statuses)))


def main():
    args = arguments()
    wanted = lambda kind: not args.only or args.only in kind.__name__
    temporary = tempfile.TemporaryDirectory()
    out = Path(args.keep or temporary.name)
    table = Table()

    def drawings(kinds, first_seed, contents):
        return [(kind, Drawings(out, kind, contents(seed), first_seed + seed)) for seed, kind in enumerate(kinds) if wanted(kind)]

    def numbers(seed):
        rng = np.random.default_rng(1000 + seed)
        return ["".join(str(d) for d in rng.integers(0, 10, 2 + n % 5)) for n in range(max(args.each, 100))]

    digits = drawings(kinds.DIGITS, 0, lambda _: [str(n % 10) for n in range(args.each)])
    rows = drawings(kinds.NUMBERS, 100, numbers)
    nothing = drawings(kinds.REFUSED, 200, lambda _: [None] * max(args.each, 200))

    for kind, drawn in digits:
        made = drawn.made()
        answers = run(args, "predict", drawn.folder, args.digits)
        right = {f: f.split("-")[1][0] == answers.get(f, {}).get("label") for f in made}
        other = [answers[f]["status"] if f in answers else "refused" for f in made]
        if args.wrong:
            print(*(f"{f}:{answers.get(f, {}).get('label')}" for f, is_right in right.items() if not is_right))
        table.row(kind.__name__, sum(right.values()), len(made), DIGITS, counts([s for s in other if s != "ok"]))

    for kind, drawn in rows:
        made = drawn.made()
        answers = run(args, "read", drawn.folder, args.digits)
        right = sum(f.split("-")[1].split(".")[0] == answers.get(f, {}).get("text") for f in made)
        table.row(kind.__name__, right, len(made), NUMBERS[kind.__name__])

    for kind, drawn in nothing:
        made = drawn.made()
        for what, model in (("digits", args.digits), ("garments", args.garments or "fashion-robust")):
            answers = run(args, "predict", drawn.folder, model)
            statuses = [answers[f]["status"] if f in answers else "refused" for f in made]
            refused = [s for s in statuses if s not in ("ok",)]
            table.row(f"{kind.__name__}, {what}", len(refused), len(made), REFUSED, counts(refused))

    if not args.only or args.only in "garments":
        garments(args, out, table)
    if not args.only or args.only in "unlike":
        unlike(args, out, table)
    if table.short and not args.skip_limits:
        sys.exit(f"short of what is promised: {', '.join(table.short)}")


def as_it_is(image, _):
    return pictures.Image.fromarray(image)


def letter(text, rng):
    return pictures.camera(pictures.on_paper(kinds.p.placed(pictures.by_font(text, rng, 240), rng, 480, 360), rng), rng)


def test_images(name):
    return idx(ROOT / "datasets" / name / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)


def unlike(args, out, table):
    """Whether what is of no class is told from the test split, by the score and by the status."""
    count = 10 * args.each
    digits, clothes = (args.digits or "mnist-robust"), (args.garments or "fashion-robust")
    letters = list(pictures.LETTERS) * (count // len(pictures.LETTERS) + 1)
    mnist, fashion = test_images("mnist"), test_images("fashion-mnist")
    scored = {}
    for seed, (what, kind, contents, model) in enumerate([
        ("MNIST's test images", as_it_is, mnist[: 2 * count], digits),
        ("Fashion-MNIST's test images", as_it_is, fashion[: 2 * count], clothes),
        ("letters for a digit model", letter, letters[:count], digits),
        ("clothing for a digit model", as_it_is, fashion[:count], digits),
        ("digits for a clothing model", as_it_is, mnist[:count], clothes),
    ]):
        drawn = Drawings(out / f"unlike-{seed}", kind, list(contents), 400 + seed)
        made = drawn.made()
        answers = run(args, "predict", drawn.folder, model)
        scored[what] = np.array([score(answers.get(f)) for f in made])
        statuses = [answers[f]["status"] if f in answers else "refused" for f in made]
        if seed < 2:
            accepted = sum(s not in ("unlike", "empty", "refused") for s in statuses)
            table.row(f"{what}, accepted", accepted, len(made), 0.98, counts([s for s in statuses if s != "ok"]))
        else:
            inside = scored["Fashion-MNIST's test images" if model == clothes else "MNIST's test images"]
            area = auroc(inside, scored[what])
            table.row(f"{what}, AUROC", area * len(made), len(made), AUROC, counts(statuses))


def garments(args, out, table):
    model = args.garments or "fashion-robust"
    images = test_images("fashion-mnist")
    labels = idx(ROOT / "datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz", 8)
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

    own = None
    drawings = [(kind, Drawings(out, kind, list(images[: max(args.each, 200)]), 300 + seed))
                for seed, kind in enumerate([as_it_is, *kinds.GARMENTS])]
    for kind, drawn in drawings:
        made = drawn.made()
        answers = run(args, "predict", drawn.folder, model)
        right = sum(names[labels[number]] == answers.get(f, {}).get("label") for f, number in made.items())
        own = right if own is None else own
        table.row(f"garments {kind.__name__}", right, len(made), GARMENTS * own / len(made))


if __name__ == "__main__":
    main()
