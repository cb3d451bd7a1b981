# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnxruntime==1.32.0", "pyyaml==6.0.4", "scipy==1.17.1"]
# ///
"""`zoo diff` of neighbouring published models of a dataset: answers by onnxruntime, McNemar's exact test by scipy.

usage: check_diff.py [FOLDER OF zoo]
"""

import gzip
import itertools
import json
import subprocess

import numpy as np
import onnxruntime
import yaml
from programs import ROOT, program
from scipy import stats

CLOSE = 1e-9


def values(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes())[header:], np.uint8)


def answers(version, images):
    session = onnxruntime.InferenceSession(str(version / "model.onnx"), providers=["CPUExecutionProvider"])
    batches = [session.run(None, {"image": images[i : i + 500]})[0] for i in range(0, len(images), 500)]
    return np.concatenate(batches).argmax(1)


compared = 0
models = {}
for path in sorted((ROOT / "zoo/models").glob("*/*/manifest.yaml")):
    manifest = yaml.safe_load(path.read_text())
    models.setdefault(manifest["dataset"]["name"], []).append((manifest["name"], manifest["version"], path.parent))
for dataset, versions in models.items():
    folder = ROOT / "datasets" / dataset
    images = values(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = values(folder / "t10k-labels-idx1-ubyte.gz", 8)
    given = {version: answers(version[2], images) for version in versions}
    for a, b in itertools.pairwise(versions):
        names = [f"{name}@{number}" for name, number, _ in (a, b)]
        command = [program("zoo"), "diff", *names, "--zoo", ROOT / "zoo", "--datasets", ROOT / "datasets", "--json"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        right = [given[version] == labels for version in (a, b)]
        only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        test = said["mcnemar"]
        assert (test["only_a"], test["only_b"]) == (only_a, only_b), (names, test, only_a, only_b)
        expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        assert abs(test["probability"] - expected) <= CLOSE * expected, (names, test, expected)
        differing = np.flatnonzero(given[a] != given[b])
        assert [entry["image"] for entry in said["disagreements"]] == differing.tolist(), names
        print(f"{' and '.join(names)}: {only_a} and {only_b} right alone, p = {expected:.3g}")
        compared += 1
assert compared, "no two models of a dataset"
