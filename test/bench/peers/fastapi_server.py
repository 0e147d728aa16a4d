"""FastAPI: `uvicorn fastapi_server:app --workers CORES` with uvloop and httptools, the model off the event loop."""

from cascade import Cascade
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
cascade = Cascade()


@app.post("/classify")
async def classify(request: Request) -> dict:
    return await run_in_threadpool(cascade.classify, await request.body())
