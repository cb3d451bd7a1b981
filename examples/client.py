"""A client of `zoo serve` with nothing but Python: sends an image as it is, and raw pixels by the
Open Inference Protocol v2.

    zoo serve &
    python3 examples/client.py docs/seven.png [http://127.0.0.1:8080]
"""

import json
import sys
from urllib.request import Request, urlopen


def post(url, body, content_type):
    with urlopen(Request(url, data=body, headers={"Content-Type": content_type})) as answer:
        return json.load(answer)


def main(file, server="http://127.0.0.1:8080"):
    # The server prepares the image as the model's manifest says.
    with open(file, "rb") as image:
        answer = post(f"{server}/predict?model=mnist-cnn&top_k=1&explain=true", image.read(), "image/png")
    best = answer["classes"][0]
    print(f"{file}: {best['label']} ({100 * best['probability']:.1f} %) by {answer['model']}@{answer['version']}")

    # Pixels that are in the form of the training images already: here a black one and a white one.
    pixels = [0] * 784 + [255] * 784
    tensor = {"name": "image", "shape": [2, 1, 28, 28], "datatype": "UINT8", "data": pixels}
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = post(f"{server}/v2/models/mnist-cnn/infer", body, "application/json")
    output = answer["outputs"][0]
    print(f"probabilities {output['shape']} from the network with sha256 {answer['parameters']['model_sha256'][:16]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
