# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "cleanlab==2.9.0", "mlcroissant==1.1.1", "numpy==2.4.6", "pip==26.3", "pyarrow==26.0.1", "pyyaml==6.0.4",
#   "safetensors==0.8.0",
# ]
# ///
"""A user's own data and other people's programs: the walk-throughs of docs/guide/your-data.md with real packages, Croissant
by mlcroissant, Parquet by pyarrow, wrong labels by cleanlab.

usage: check_own_data.py [FOLDER OF trainer AND infer]
"""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# numpy's sorts for newer processors put equal values into another order than its plain one, and cleanlab rounds by that.
os.environ["NPY_DISABLE_CPU_FEATURES"] = (
    "AVX2 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V3 X86_V4"
)

import mlcroissant
import numpy as np
import pyarrow
import pyarrow.parquet
import yaml
from cleanlab.filter import find_label_issues
from programs import ROOT, program
from safetensors.numpy import load_file

GUIDE = ROOT / "docs/guide/your-data.md"
# Share of the images that are looked at first, and of the planted errors that must be among them.
FIRST, FOUND = 0.015, 0.9


def environment():
    programs = Path(program("trainer")).resolve().parent
    return os.environ | {"PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}


def trainer(folder, *arguments):
    command = [program("trainer").resolve(), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def check_croissant(dataset):
    metadata = mlcroissant.Dataset(jsonld=dataset / "croissant.json")
    assert not metadata.metadata.ctx.issues.errors, metadata.metadata.ctx.issues.report()
    records = list(metadata.records("images"))
    expected = list(csv.DictReader((dataset / "images.csv").open()))
    assert len(records) == len(expected), dataset
    assert records[-1]["images/sha256"].decode() == expected[-1]["sha256"]


def walk_through(number, block, guide):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "recipes").symlink_to(ROOT / "recipes")
        (folder / "docs").mkdir()
        (folder / "docs/seven.png").write_bytes((ROOT / "docs/seven.png").read_bytes())
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        (manifest,) = (folder / "zoo/models").glob("*/1/manifest.yaml")
        right, total = yaml.safe_load(manifest.read_text())["test"]["correct"].split("/")
        (dataset,) = (path.parent for path in (folder / "datasets").glob("*/dataset.yaml"))
        check_croissant(dataset)
        claim = f"{right} of the {total} held-out"
        assert claim in guide, f"the guide does not say {claim!r}"
        print(f"walk-through {number}: {manifest.parent.parent.name}, {claim} images, as the guide says", flush=True)
        if number == 1:
            check_parquet(folder)


def check_parquet(folder):
    """The digits as Parquet, as the Hub's `datasets` writes it, are the same dataset."""
    rows = list(csv.DictReader((folder / "datasets/digits/images.csv").open()))
    names = sorted({row["class"] for row in rows})
    header = 20
    images, start = {}, {"train": 0, "test": 0}
    for split in start:
        raw = next((folder / "datasets/digits").glob(f"{split}-images*")).read_bytes()[header:]
        images[split] = np.frombuffer(raw, np.uint8).reshape(-1, 8, 8)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [("image", kind), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    hub = folder / "hub/data"
    hub.mkdir(parents=True)
    for split, pixels in images.items():
        of_split = [row for row in rows if row["split"] == split]
        table = pyarrow.table(
            {
                "image": [{"bytes": pgm(image), "path": f"{place}.png"} for place, image in enumerate(pixels)],
                "label": [names.index(row["class"]) for row in of_split],
            },
            schema=schema,
        )
        half = table.num_rows // 2
        for shard, part in enumerate([table.slice(0, half), table.slice(half)]):
            pyarrow.parquet.write_table(part, hub / f"{split}-{shard:05d}-of-00002.parquet", row_group_size=100)
    trainer(folder, "import", "hub", "--name", "again", "--datasets", "hub-datasets")
    for name in ["train-images", "train-labels", "test-images", "test-labels"]:
        one, other = (next(folder.glob(f"{of}/*/{name}*")) for of in ("datasets", "hub-datasets"))
        assert one.read_bytes() == other.read_bytes(), name
    print("Parquet of pyarrow: the same bytes as the table", flush=True)


def pgm(image):
    """A picture in a form that `trainer` reads: BMP of 8 bits, rows from below, padded to four bytes."""
    height, width = image.shape
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    rows = b"".join(bytes(row) + bytes(-width % 4) for row in image[::-1])
    offset = 54 + len(palette)
    head = b"BM" + (offset + len(rows)).to_bytes(4, "little") + bytes(4) + offset.to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + width.to_bytes(4, "little") + height.to_bytes(4, "little")
    info += (1).to_bytes(2, "little") + (8).to_bytes(2, "little") + bytes(4) + len(rows).to_bytes(4, "little")
    return head + info + bytes(16) + palette + rows


def values(name, header):
    raw = gzip.decompress((ROOT / "datasets/mnist" / f"{name}-ubyte.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=header)


def check_audit():
    """A hundredth of MNIST's labels changed: which does the audit find, and is it what cleanlab says?"""
    images, labels = values("train-images-idx3", 16).reshape(-1, 28, 28), values("train-labels-idx1", 8)
    test = values("t10k-images-idx3", 16).reshape(-1, 28, 28), values("t10k-labels-idx1", 8)
    chance = np.random.default_rng(1)
    planted = chance.choice(len(labels), len(labels) // 100, replace=False)
    noisy = labels.copy()
    noisy[planted] = (labels[planted] + chance.integers(1, 10, len(planted))) % 10
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.savez(folder / "noisy.npz", x_train=images, y_train=noisy, x_test=test[0], y_test=test[1])
        trainer(folder, "import", "noisy.npz", "--name", "noisy")
        trainer(folder, "audit", "noisy", "--minutes", "1")
        result = folder / "audits/noisy"
        ranking = [row["origin"] for row in csv.DictReader((result / "ranking.csv").open())]
        first = {int(re.search(r"\[(\d+)\]", origin)[1]) for origin in ranking[: int(FIRST * len(labels))]}
        found = len(first & set(planted.tolist())) / len(planted)
        tensors = load_file(result / "probabilities.safetensors")
        given, probabilities = tensors["labels"].astype(int), tensors["probabilities"].astype(np.float64)
        issues = [int(row["index"]) for row in csv.DictReader((result / "issues.csv").open())]
    expected = find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    assert issues == expected.tolist(), f"{len(issues)} issues, of cleanlab {len(expected)}"
    assert found >= FOUND, f"{found:.3f} of the planted errors in the first {FIRST:.1%}"
    print(f"audit: {found:.1%} of {len(planted)} planted errors in the first {FIRST:.1%}, {len(issues)} issues as cleanlab")


guide = GUIDE.read_text()
blocks = re.findall(r"```sh\n(.*?)```", guide.split("## Walk-throughs")[1], re.DOTALL)
assert len(blocks) == 3
for number, block in enumerate(blocks, 1):
    walk_through(number, block, guide)
check_audit()
