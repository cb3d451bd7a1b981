# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.19.1", "onnxruntime==1.32.0", "onnxscript==0.7.2", "torch==2.13.0"]
# ///
"""Networks that PyTorch exports in the usual ways, adopted, verified and used.

Each is trained for a few seconds on MNIST, exported, and adopted with golden data from PyTorch. Then its accuracy must be
onnxruntime's on the original file exactly, its probabilities PyTorch's within 1e-5, `infer verify` must hold, and `infer
predict` must know a seven.

usage: check_adopt.py [FOLDER OF zoo and infer]; by hand, because torch is large
"""

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from export_torch import export
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug").resolve()


def digits(split):
    folder = ROOT / "datasets/mnist"
    images = np.frombuffer(gzip.open(folder / f"{split}-images-idx3-ubyte.gz").read()[16:], np.uint8)
    labels = np.frombuffer(gzip.open(folder / f"{split}-labels-idx1-ubyte.gz").read()[8:], np.uint8)
    return torch.from_numpy(images.reshape(-1, 1, 28, 28).copy()), torch.from_numpy(labels.astype(np.int64))


class View(nn.Module):
    """`view` with the batch's size, as many tutorials have it; log-softmax at the end."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 5), nn.Conv2d(8, 16, 5)
        self.fc1, self.fc2 = nn.Linear(256, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = x.view(x.size(0), -1)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


def logits():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(64, 10),
    )


def depthwise():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.Hardswish(), nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
        nn.BatchNorm2d(16), nn.Hardswish(), nn.Conv2d(16, 32, 1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(32 * 49, 10), nn.Softmax(1),
    )


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 10))


def old(model, images, path):
    export(model, images, path)


def dynamo(model, images, path):
    export(model, images, path)
    batch = torch.export.Dim("batch")
    torch.onnx.export(model, (images,), str(path), dynamo=True, external_data=False, dynamic_shapes=({0: batch},))


def external(model, images, path):
    export(model, images, path)
    batch = torch.export.Dim("batch")
    torch.onnx.export(model, (images,), str(path), dynamo=True, external_data=True, dynamic_shapes=({0: batch},))
    assert list(path.parent.glob("*.data")), "no external data were written"


def one_image(model, images, path):
    """A batch of one, fixed; golden data are of one image too."""
    export(model, images[:1], path)
    torch.onnx.export(model, (images[:1],), str(path), dynamo=False, opset_version=17)


def one_image_dynamo(model, images, path):
    export(model, images[:1], path)
    torch.onnx.export(model, (images[:1],), str(path), dynamo=True, external_data=False)


KINDS = {
    "logits": (logits, old),
    "view-log-softmax": (View, old),
    "dynamo": (logits, dynamo),
    "external-data": (View, external),
    "fixed-batch": (View, one_image),
    "fixed-batch-dynamo": (logits, one_image_dynamo),
    "depthwise-dilated": (depthwise, old),
    "perceptron": (perceptron, dynamo),
}


def train(model, images, labels):
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for part in torch.cat([torch.randperm(10000) for _ in range(2)]).split(100):
        output = model(images[part])
        if isinstance(model, View):
            loss = F.nll_loss(output, labels[part])
        elif isinstance(model[-1], nn.Softmax):
            loss = F.nll_loss(torch.log(output + 1e-9), labels[part])
        else:
            loss = F.cross_entropy(output, labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def run(program, *arguments):
    done = subprocess.run([BIN / program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {' '.join(map(str, arguments))}: {done.stderr}"
    return done.stdout


def probabilities(output):
    if np.all(output <= 1e-6) and np.allclose(np.exp(output).sum(1), 1, atol=1e-3):
        return np.exp(output)
    if np.all(output >= 0) and np.allclose(output.sum(1), 1, atol=1e-3):
        return output
    shifted = np.exp(output - output.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def check(kind, work, images, labels, test, truth):
    build, write = KINDS[kind]
    torch.manual_seed(2)
    model = train(build(), images, labels)
    folder = work / kind
    folder.mkdir()
    path = folder / "model.onnx"
    write(model, images[:16], path)
    zoo = work / "zoo"
    arguments = ["--name", kind, "--dataset", "mnist", "--datasets", ROOT / "datasets", "--zoo", zoo]
    arguments += ["--like", "torchvision", "--mean", MEAN, "--std", STD, "--golden", folder]
    manifest = json.loads(run("zoo", "adopt", path, *arguments, "--json"))["manifest"]
    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    fixed = isinstance(session.get_inputs()[0].shape[0], int)
    parts = [test[i : i + 1] for i in range(10000)] if fixed else test.split(500)
    expected = np.concatenate([session.run(None, {name: part.numpy()})[0] for part in parts])
    right = int((expected.argmax(1) == truth.numpy()).sum())
    assert manifest["test"]["correct"] == f"{right}/10000", (manifest["test"]["correct"], right)
    run("infer", "verify", kind, "--zoo", zoo, "--datasets", ROOT / "datasets")
    said = run("infer", "predict", ROOT / "docs/seven.png", "--model", kind, "--zoo", zoo)
    assert ": 7 " in said, said
    adopted = onnxruntime.InferenceSession(str(zoo / "models" / kind / "1/model.onnx"))
    pixels = TEST[:500].numpy()
    with torch.no_grad():
        by_torch = probabilities(model(test[:500]).numpy())
    difference = np.abs(adopted.run(None, {"image": pixels})[0] - by_torch).max()
    assert difference < 1e-5, difference
    changes = "; ".join(manifest["origin"]["adopted"]["changes"])
    print(f"{kind}: {right}/10000 as onnxruntime, probabilities within {difference:.0e}; {changes}")


raw, LABELS = digits("train")
TEST, TRUTH = digits("t10k")
MEAN, STD = 0.1306604762738429, 0.3081078038564627


def normalised(pixels):
    return (pixels.float() / 255 - MEAN) / STD


with tempfile.TemporaryDirectory() as folder:
    for kind in KINDS:
        check(kind, Path(folder), normalised(raw[:10000]), LABELS, normalised(TEST), TRUTH)
    print(f"{len(KINDS)} kinds of export adopted")
