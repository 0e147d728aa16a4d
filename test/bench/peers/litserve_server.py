"""LitServe: one worker per core, the picture as base64 in JSON, which is how its documentation sends pictures."""

import base64
import os

import litserve
from cascade import Cascade


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.cascade = Cascade()

    def decode_request(self, request: dict) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, file: bytes) -> dict:
        return self.cascade.classify(file)

    def encode_response(self, output: dict) -> dict:
        return output


if __name__ == "__main__":
    cores = int(os.environ["CORES"])
    server = litserve.LitServer(Api(api_path="/classify"), accelerator="cpu", workers_per_device=cores)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
