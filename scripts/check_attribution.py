# /// script
# requires-python = ">=3.11"
# dependencies = ["captum==0.9.0", "numpy==2.4.6", "safetensors==0.8.0", "torch==2.13.0"]
# ///
"""The attributions of `trainer pictures` beside Captum's, on the same weights.

usage: check_attribution.py [FOLDER OF trainer]; by hand, because torch is large
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion
from safetensors.torch import load_file
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
MEAN, STD = 0.1306604762738429, 0.3081078038564627  # datasets/mnist/dataset.yaml


def network(weights):
    """The network of `mnist-cnn` without its softmax."""
    layers = {
        "conv1": nn.Conv2d(1, 32, 5),
        "conv2": nn.Conv2d(32, 64, 5),
        "dense1": nn.Linear(1024, 1024),
        "dense2": nn.Linear(1024, 10),
    }
    for name, layer in layers.items():
        layer.load_state_dict({part: weights[f"{name}.{part}"] for part in ("weight", "bias")})
    conv1, conv2, dense1, dense2 = layers.values()
    pool = nn.MaxPool2d(2)
    return nn.Sequential(
        conv1, nn.ReLU(), pool, conv2, nn.ReLU(), pool, nn.Flatten(), dense1, nn.ReLU(), dense2
    ).eval()


def main():
    trainer = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug").resolve() / "trainer"
    model = network(load_file(ROOT / "zoo/models/mnist-cnn/1/model.safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        command = [trainer, "pictures", "mnist-cnn@1", "--out", folder, "--json"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found = load_file(Path(folder) / "attributions.safetensors")
    images = (found["images"] / 255 - MEAN) / STD
    black = torch.full_like(images[:1], -MEAN / STD)
    predicted = model(images).argmax(1)
    gradients = IntegratedGradients(model)
    occlusion = Occlusion(model)
    worst = {}
    for index in range(len(images)):
        image, target = images[index : index + 1], int(predicted[index])
        expected = {
            "integrated_gradients": gradients.attribute(
                image, baselines=black, target=target, n_steps=64, method="riemann_middle"
            ),
            "occlusion": occlusion.attribute(
                image, sliding_window_shapes=(1, 5, 5), baselines=black, target=target
            ),
        }
        for kind, value in expected.items():
            ours = found[f"answer.{kind}"][index]
            difference = float((ours - value[0]).abs().max() / value.abs().max())
            worst[kind] = max(worst.get(kind, 0.0), difference)
    print({kind: f"{value:.1e} of the largest" for kind, value in worst.items()})
    assert len(images) == 12 and all(value < 1e-3 for value in worst.values()), worst
    sums = found["answer.integrated_gradients"].flatten(1).sum(1)
    logits = model(images).gather(1, predicted[:, None])[:, 0] - model(black)[0, predicted]
    assert np.allclose(sums, logits.detach(), rtol=0.02, atol=0.05), "they do not add up to the logits"
    print("integrated gradients and occlusion are Captum's")


main()
