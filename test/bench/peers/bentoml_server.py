"""BentoML: `bentoml serve bentoml_server:Classifier`, one worker per core."""

import base64
import os

import bentoml
from cascade import Cascade


@bentoml.service(
    workers=int(os.environ["CORES"]), traffic={"timeout": 60, "max_concurrency": 512}, logging={"access": {"enabled": False}},
)
class Classifier:
    def __init__(self) -> None:
        self.cascade = Cascade()

    @bentoml.api(route="/classify")
    def classify(self, image: str) -> dict:
        return self.cascade.classify(base64.b64decode(image))
