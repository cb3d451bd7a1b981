"""Networks as torchvision builds them, with random weights, exported by PyTorch: here and in onnxruntime."""

import json
import statistics
import subprocess
import time

from comparing import alternate, ratio, table

# The sizes that they are known for; squeezenet and the two mobilenets are what small devices run.
NETWORKS = ["resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"]
RUNS = 10


def exported(name, folder):
    """The network's ONNX file in a folder, with an image as `input_0.pb`."""
    import torch
    from onnx import numpy_helper
    from torchvision import models

    torch.manual_seed(1)
    model = getattr(models, name)(weights=None)
    # Statistics of batch normalisation that fit the weights: without, values vanish from layer to layer.
    with torch.no_grad():
        for _ in range(6):
            model(torch.rand(8, 3, 224, 224))
    model.eval()
    image = torch.rand(1, 3, 224, 224)
    torch.onnx.export(model, (image,), str(folder / "model.onnx"), dynamo=False, opset_version=18)
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(image.numpy()).SerializeToString())
    return folder / "model.onnx", image.numpy()


def times(infer, work):
    """Milliseconds of one image on one thread."""
    import onnxruntime

    rows = []
    for name in NETWORKS:
        folder = work / name
        folder.mkdir()
        path, image = exported(name, folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def here():
            command = [infer, "run", path, "--inputs", folder, "--out", folder, "--repeat", str(RUNS), "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return json.loads(done.stdout)["median_us"] / 1e3

        def there():
            measured = []
            for _ in range(RUNS + 1):
                started = time.perf_counter()
                session.run(None, {session.get_inputs()[0].name: image})
                measured.append(1e3 * (time.perf_counter() - started))
            return statistics.median(measured[1:])

        values = alternate({"here": here, "onnxruntime": there})
        for side, measured in values.items():
            spread = f"{min(measured):.1f} to {max(measured):.1f}"
            share = ratio(values["here"], values["onnxruntime"]) if side == "onnxruntime" else ""
            rows.append([name, side, f"{statistics.median(measured):.1f} ms", spread, share])
    return table(["network", "", "median", "range", "here / there"], rows)
