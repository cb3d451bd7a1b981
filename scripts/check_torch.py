# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.19.1", "safetensors==0.8.0", "torch==2.13.0"]
# ///
"""Weights between PyTorch and the zoo, both ways.

Every published version goes out by `zoo export torch`, loads with strict=True and gives the golden outputs. A network that
PyTorch trains for recipes/mnist-cnn.yaml comes in by `trainer publish --weights`, is verified, and goes out again with the
same bytes of weights.

usage: check_torch.py [FOLDER OF trainer, zoo and infer]; by hand, because torch is large
"""

import gzip
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug").resolve()


def run(program, *arguments):
    done = subprocess.run([BIN / program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {arguments}: {done.stderr}"
    return done.stdout


def module(folder):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def golden(version):
    tensors = []
    for name in ("input_0.pb", "output_0.pb"):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((version / "test_data_set_0" / name).read_bytes())
        tensors.append(numpy_helper.to_array(tensor))
    return tensors


def check_exports(work):
    for version in sorted((ROOT / "zoo/models").glob("*/*")):
        name = version.parent.name
        out = work / f"{name}-{version.name}"
        run("zoo", "export", "torch", out, f"{name}@{version.name}")
        model = module(out / name).load(str(out / name / "model.safetensors"))
        images, expected = golden(version)
        with torch.no_grad():
            found = model(torch.from_numpy(images.copy())).numpy()
        difference = np.abs(found - expected).max()
        print(f"{name}@{version.name}: {difference:.1e}")
        assert difference < 1e-5, name


def digits(split):
    folder = ROOT / "datasets/mnist"
    images = np.frombuffer(gzip.open(folder / f"{split}-images-idx3-ubyte.gz").read()[16:], np.uint8)
    labels = np.frombuffer(gzip.open(folder / f"{split}-labels-idx1-ubyte.gz").read()[8:], np.uint8)
    return torch.from_numpy(images.reshape(-1, 1, 28, 28).copy()), torch.from_numpy(labels.astype(np.int64))


def check_weights(work):
    """A short training in Python: 10,000 images, two epochs."""
    torch.manual_seed(1)
    source = module(work / "mnist-cnn-1/mnist-cnn")
    model = source.Model()
    images, labels = digits("train")
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(2):
        for part in torch.randperm(10000).split(100):
            loss = torch.nn.functional.nll_loss(torch.log(model(images[part]) + 1e-9), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    weights = work / "weights.safetensors"
    save_file(model.state_dict(), str(weights))
    zoo = work / "zoo"
    # A million damaged images say nothing about weights that came from elsewhere.
    recipe = work / "mnist-cnn.yaml"
    text = (ROOT / "recipes/mnist-cnn.yaml").read_text()
    assert text.count(", corruptions: true") == 1, "where the recipe asks for damaged images"
    recipe.write_text(text.replace(", corruptions: true", ""))
    run("trainer", "publish", recipe, "--weights", weights, "--zoo", zoo)
    print(run("infer", "verify", "--zoo", zoo, "--datasets", ROOT / "datasets").strip().splitlines()[-2])
    run("zoo", "export", "torch", work / "again", "mnist-cnn", "--zoo", zoo)
    again = load_file(work / "again/mnist-cnn/model.safetensors")
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())
    images, labels = digits("t10k")
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in images.split(500)])
    right = int((found == labels).sum())
    assert f"{right}/10000" in (zoo / "models/mnist-cnn/1/README.md").read_text(), right
    print(f"trained in Python: {right}/10000 in PyTorch and in the zoo, the same bytes of weights after both ways")


with tempfile.TemporaryDirectory() as folder:
    check_exports(Path(folder))
    check_weights(Path(folder))
