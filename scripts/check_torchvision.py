# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.19.1", "onnxruntime==1.32.0", "onnxscript==0.7.2", "torch==2.13.0", "torchvision"]
# ///
"""Networks as torchvision builds them, with random weights, through `infer run` and onnxruntime: they must agree to 1e-4.

usage: check_torchvision.py [FOLDER OF infer]; by hand, because torch is large
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torchvision import models

ROOT = Path(__file__).resolve().parent.parent
INFER = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug").resolve() / "infer"
NETWORKS = {
    "resnet18": models.resnet18,
    "mobilenet_v3_small": models.mobilenet_v3_small,
    "squeezenet1_1": models.squeezenet1_1,
    "efficientnet_b0": models.efficientnet_b0,
    "shufflenet_v2_x0_5": models.shufflenet_v2_x0_5,
}

with tempfile.TemporaryDirectory() as folder:
    for name, build in NETWORKS.items():
        torch.manual_seed(1)
        model = build(weights=None)
        # Statistics of batch normalisation that fit the weights: without, values vanish from layer to layer.
        with torch.no_grad():
            for _ in range(12):
                model(torch.rand(8, 3, 224, 224))
        model.eval()
        image = torch.rand(1, 3, 224, 224)
        for dynamo in (False, True):
            work = Path(folder) / f"{name}-{dynamo}"
            work.mkdir()
            path = work / "model.onnx"
            options = {"external_data": False} if dynamo else {"opset_version": 18}
            torch.onnx.export(model, (image,), str(path), dynamo=dynamo, **options)
            (work / "input_0.pb").write_bytes(numpy_helper.from_array(image.numpy()).SerializeToString())
            command = [INFER, "run", path, "--inputs", work, "--out", work]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"{name}: {done.stderr}"
            tensor = onnx.TensorProto()
            tensor.ParseFromString((work / "output_0.pb").read_bytes())
            found = numpy_helper.to_array(tensor)
            session = onnxruntime.InferenceSession(str(path))
            [expected] = session.run(None, {session.get_inputs()[0].name: image.numpy()})
            difference = np.abs(found - expected).max() / np.abs(expected).max()
            print(f"{name}, {'dynamo' if dynamo else 'script'}: {difference:.1e}")
            assert difference < 1e-4, name
