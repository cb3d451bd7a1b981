# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "onnxruntime==1.32.0",
#     "onnxsim==0.8.1",
#     "onnxslim==0.1.98",
#     "opencv-python-headless==5.0.0.93",
# ]
# ///
"""Our ONNX files through what people pass them through: strict shape inference, onnxslim, onnxsim, OpenCV.

usage: check_tools.py [FOLDER OF trainer]

Every published version, and a network that is trained here for a few seconds: its file names the shapes of its inner values,
which must be those that follow. What comes out of the optimizers gives the golden data.
"""

import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
from onnx import numpy_helper
from programs import ROOT, program

CLOSE = 1e-5


def shapes(values):
    dims = lambda value: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
    return {value.name: dims(value) for value in values}


def check(version, annotated):
    path = version / "model.onnx"
    model = onnx.load(path)
    tensor = lambda name: numpy_helper.to_array(onnx.load_tensor(version / "test_data_set_0" / name))
    images, expected = tensor("input_0.pb"), tensor("output_0.pb")

    def session(model):
        found = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return found.run(None, {"image": images})[0]

    written = shapes(model.graph.value_info)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = shapes(onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True).graph.value_info)
    assert bool(written) == annotated, f"{version}: {len(written)} shapes of inner values"
    for name, dims in written.items():
        assert inferred[name] == dims, f"{version}: {name} is written as {dims}, {inferred[name]} follows"
    said = []
    simplified, held = onnxsim.simplify(model)
    assert held
    for tool, made in (("onnxslim", onnxslim.slim(model)), ("onnxsim", simplified)):
        onnx.checker.check_model(made, full_check=True)
        difference = np.abs(session(made) - expected).max()
        assert difference <= CLOSE, f"{version}: after {tool} it differs by {difference}"
        said.append(f"{tool} {len(model.graph.node)} to {len(made.graph.node)} nodes")
    network = cv2.dnn.readNetFromONNX(str(path))
    for image, probabilities in zip(images, expected, strict=True):
        network.setInput(image[None])
        difference = np.abs(network.forward() - probabilities).max()
        assert difference <= CLOSE, f"{version}: OpenCV differs by {difference}"
    print(f"{version.parent.name}@{version.name}: {len(written)} shapes, {', '.join(said)}, OpenCV: ok", flush=True)


versions = sorted(path.parent for path in (ROOT / "zoo/models").glob("*/*/manifest.yaml"))
assert versions, "no models in zoo/models"
for version in versions:
    check(version, "annotated: true" in (version / "manifest.yaml").read_text())
with tempfile.TemporaryDirectory(prefix="check-tools-") as work:
    command = [program("trainer").resolve(), "publish", ROOT / "recipes/mnist-fast.yaml", "--zoo", work]
    subprocess.run([*command, "--datasets", ROOT / "datasets"], check=True, capture_output=True, cwd=work)
    check(Path(work, "models/mnist-fast/1"), True)
