"""Seconds of one epoch of the network of `mnist-cnn` in Python PyTorch, on two threads, after a warm-up.

`--fast`: channels-last and fused Adam. `--peak`: instead, GFLOP/s of a product of matrices.
"""
import gzip
import sys
import time
from pathlib import Path

import numpy
import torch
from torch import nn

IMAGES, BATCH = 55_000, 128
MNIST = Path(__file__).resolve().parent.parent / "datasets/mnist"


def read(name, header):
    return numpy.frombuffer(gzip.decompress((MNIST / name).read_bytes())[header:], numpy.uint8).copy()


def peak():
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    a @ b
    times = []
    for _ in range(10):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * 2048**3 / min(times) / 1e9


def epoch(fast):
    images = torch.from_numpy(read("train-images-idx3-ubyte.gz", 16)).view(-1, 1, 28, 28)
    images = (images.float() / 255 - 0.1307) / 0.3081
    labels = torch.from_numpy(read("train-labels-idx1-ubyte.gz", 8)).long()
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10),
    )
    if fast:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True if fast else None)
    loss_function = nn.CrossEntropyLoss()

    def step(indices):
        batch = images[indices]
        if fast:
            batch = batch.to(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(network(batch), labels[indices])
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(10):
        step(torch.arange(BATCH))
    order = torch.randperm(60_000)[:IMAGES]
    started = time.perf_counter()
    for indices in order.split(BATCH):
        step(indices)
    return time.perf_counter() - started


torch.set_num_threads(2)
print(peak() if "--peak" in sys.argv else epoch("--fast" in sys.argv))
