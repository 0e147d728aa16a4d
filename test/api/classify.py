"""Sends $PICTURE with the Python client that was made from the description, by every door; prints the answers."""

import base64
import io
import json
import os
import pathlib
import sys

from client import Client
from client.api.classify import classify
from client.api.status import get_readiness, list_experts
from client.models import Answer, ClassifyFilesBody, ClassifyJsonBody, Problem
from client.types import File

picture = os.environ["PICTURE"]
service = Client(base_url=sys.argv[1])


def ask(body, **parameters):
    answer = classify.sync(client=service, body=body, **parameters)
    if isinstance(answer, Problem):
        return [answer.status, answer.code]
    assert isinstance(answer, Answer), answer
    return [answer.label, answer.route, len(answer.top_k)]


def opened(path=picture):
    return File(payload=io.BytesIO(pathlib.Path(path).read_bytes()), file_name="photo.jpg", mime_type="image/jpeg")


encoded = base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
print(
    json.dumps(
        {
            "raw": ask(opened(), top_k=2),
            "form": ask(ClassifyFilesBody(image=opened(), top_k=3)),
            "json": ask(ClassifyJsonBody(image=encoded)),
            "refused": ask(opened(__file__)),
            "status": get_readiness.sync(client=service).status,
            "experts": [expert.id for expert in list_experts.sync(client=service)],
        }
    )
)
