"""How to write a PyTorch classifier so that `zoo adopt` can check it: an ONNX file, and golden data that PyTorch computed."""

from pathlib import Path

import numpy as np
import torch
from onnx import numpy_helper


def export(model, images, path):
    """`images`: a few real images, as the model takes them."""
    model.eval()
    torch.onnx.export(model, (images,), str(path), input_names=["x"], output_names=["y"], opset_version=18, dynamo=False,
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    golden = Path(path).parent / "test_data_set_0"
    golden.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for name, tensor in (("input_0", images), ("output_0", model(images))):
            proto = numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), name)
            (golden / f"{name}.pb").write_bytes(proto.SerializeToString())
