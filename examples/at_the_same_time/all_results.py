"""A request asks two services at once, and answers with both results or with what came."""

import asyncio
import logging
import time

from fastapi import FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
logger = logging.getLogger(__name__)


class NoStation(Exception):
    """A city without trains."""


async def read_weather(city: str) -> str:
    print(f"read_weather: {city} asked")
    await asyncio.sleep(60 if city == "mars" else 0.5)  # stands in for an async client
    print(f"read_weather: {city} answered")
    return "rain"


def read_trains(city: str) -> list[str]:
    print(f"read_trains: {city} asked")
    time.sleep(0.3)  # stands in for a client that blocks
    if city == "atlantis":
        raise NoStation("atlantis has no station")
    print(f"read_trains: {city} answered")
    return ["12:30", "13:30"]


@app.get("/trips/{city}", responses={404: {}, 504: {}})
async def read_trip(city: str) -> dict[str, object]:
    try:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            weather = group.create_task(read_weather(city))
            trains = group.create_task(run_in_threadpool(read_trains, city))
    except* NoStation as errors:
        raise HTTPException(404, str(errors.exceptions[0])) from None
    except* TimeoutError:
        raise HTTPException(504, "A service does not answer.") from None
    return {"weather": weather.result(), "trains": trains.result()}


@app.get("/trips/{city}/parts")
async def read_parts(city: str) -> dict[str, object]:
    answers = await asyncio.gather(
        asyncio.wait_for(read_weather(city), 2),
        asyncio.wait_for(run_in_threadpool(read_trains, city), 2),
        return_exceptions=True,
    )
    for answer in answers:
        if isinstance(answer, Exception):
            logger.warning("%s: a part is missing: %r", city, answer)
    weather, trains = (None if isinstance(a, Exception) else a for a in answers)
    return {"weather": weather, "trains": trains}
