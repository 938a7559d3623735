"""A FastAPI app that predicts on the event loop and off it; it answers with the trace of the request."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from fastapi import FastAPI
from opentelemetry import trace
from sklearn.linear_model import LogisticRegression

X = np.random.default_rng(0).normal(size=(500, 2))
model = LogisticRegression().fit(X, X[:, 0] > 0)
app = FastAPI()
pool = ThreadPoolExecutor(2)


def answer(x: float) -> dict[str, object]:
    span = trace.get_current_span().get_span_context()
    return {"x": x, "trace_id": f"{span.trace_id:032x}"}


def predict(x: float) -> None:
    model.predict(np.array([[x, 0.0]]))


@app.get("/health")
async def health() -> str:
    return "ok"


@app.get("/async")
async def on_the_loop(x: float) -> dict[str, object]:
    await asyncio.sleep(0.01)
    predict(x)
    await asyncio.sleep(0.01)
    return answer(x)


@app.get("/sync")
def in_the_pool_of_the_framework(x: float) -> dict[str, object]:
    predict(x)
    return answer(x)


@app.get("/to_thread")
async def to_thread(x: float) -> dict[str, object]:
    await asyncio.to_thread(predict, x)
    return answer(x)


@app.get("/executor")
async def in_an_executor(x: float) -> dict[str, object]:
    await asyncio.get_running_loop().run_in_executor(pool, predict, x)
    return answer(x)
