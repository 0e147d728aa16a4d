"""Ray Serve: one replica per core, the model off the replica's event loop."""

import asyncio
import os

os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"  # read when Ray is imported

import ray
from cascade import Cascade
from ray import serve
from starlette.requests import Request

cores = int(os.environ["CORES"])


@serve.deployment(
    num_replicas=cores, max_ongoing_requests=32, ray_actor_options={"num_cpus": 1},
    logging_config={"enable_access_log": False},
)
class App:
    def __init__(self) -> None:
        self.cascade = Cascade()

    async def __call__(self, request: Request) -> dict:
        return await asyncio.to_thread(self.cascade.classify, await request.body())


names = ("BUNDLE", "THRESHOLD")
environment = {name: os.environ[name] for name in names} | {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}
ray.init(num_cpus=cores, include_dashboard=False, runtime_env={"env_vars": environment})
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
serve.run(App.bind(), route_prefix="/classify", blocking=True)
