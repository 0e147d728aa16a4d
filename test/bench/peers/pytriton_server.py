"""NVIDIA Triton by PyTriton: one instance of the Python model per core, requests by the KServe v2 protocol."""

import json
import os

import numpy as np
from cascade import Cascade
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def instance():
    cascade = Cascade()

    @batch
    def infer(image: np.ndarray) -> list[np.ndarray]:
        answers = [json.dumps(cascade.classify(file[0])).encode() for file in image]
        return [np.array(answers, dtype=object)[:, None]]

    return infer


config = TritonConfig(http_port=int(os.environ["PORT"]), allow_grpc=False, http_address="127.0.0.1", log_verbose=0)
with Triton(config=config) as triton:
    text = {"dtype": bytes, "shape": (1,)}
    triton.bind(
        model_name="cascade", infer_func=[instance() for _ in range(int(os.environ["CORES"]))],
        inputs=[Tensor(name="image", **text)], outputs=[Tensor(name="answer", **text)], config=ModelConfig(max_batch_size=8),
    )
    triton.serve()
