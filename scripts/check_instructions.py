# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Fails if a prediction takes more than 10 % more instructions than benchmarks/instructions.json says.

Counted by valgrind's callgrind, so that it does not depend on the clock or on what else runs: a
whole `infer predict`, and what each further image adds. Counts fall and rise with the compiler:
`--write` records new ones, to be committed with the reason.
Needs valgrind, and infer as it is shipped (`make dist`) in the folder given: in the build for tests,
tract is not optimised, and nothing else would be seen beside it.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benchmarks/instructions.json"
MODELS = ["mnist-cnn", "mnist-lite"]
MORE = 20
ALLOWED = 1.10


def instructions(infer, model, images):
    with tempfile.TemporaryDirectory() as work:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/out", infer, "predict",
                   *[ROOT / "docs/seven.png"] * images, "--model", model, "--zoo", ROOT / "zoo"]
        process = subprocess.run(command, capture_output=True, text=True)
        found = re.search(r"Collected : (\d+)", process.stderr)
        if process.returncode != 0 or not found:
            sys.exit(f"error: {process.stderr}")
        return int(found[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="record the counts instead of comparing")
    arguments = parser.parse_args()
    found = {}
    for model in MODELS:
        one, many = (instructions(arguments.folder / "infer", model, count) for count in (1, 1 + MORE))
        found[model] = {"process": one, "image": (many - one) // MORE}
    if arguments.write:
        RECORD.write_text(json.dumps(found, indent=2) + "\n")
        return
    recorded = json.loads(RECORD.read_text())
    worse = False
    for model, counts in found.items():
        for what, count in counts.items():
            ratio = count / recorded[model][what]
            worse = worse or ratio > ALLOWED
            print(f"{model}, {what}: {count:,} instructions, {ratio:.3f} of those recorded")
    if worse:
        sys.exit(f"error: more than {ALLOWED:.2f} of the instructions recorded in {RECORD.relative_to(ROOT)}\n"
                 "hint: if it is worth it, record them anew with scripts/check_instructions.py --write")


if __name__ == "__main__":
    main()
