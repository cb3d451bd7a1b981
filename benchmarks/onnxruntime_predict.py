"""What is on one image, by onnxruntime: the least Python that answers."""
import sys

import numpy
import onnxruntime
from PIL import Image

model, image = sys.argv[1:]
pixels = numpy.asarray(Image.open(image).convert("L").resize((28, 28)))[None, None]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
print(session.run(None, {"image": pixels})[0].argmax())
