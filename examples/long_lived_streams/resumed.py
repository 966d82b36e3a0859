"""The answer is made apart from the request; whoever comes back gets the rest."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()
logger = logging.getLogger(__name__)


@dataclass
class Answer:
    words: list[str] = field(default_factory=list)
    done: bool = False
    failed: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)


answers: dict[str, Answer] = {}
running: set[asyncio.Task[None]] = set()


async def ask_model(answer: Answer) -> None:
    try:
        for word in ["Tea", "is", "ready", "at", "four"]:
            await asyncio.sleep(0.3)  # stands in for a language model
            async with answer.news:
                answer.words.append(word)
                answer.news.notify_all()
    except Exception:
        logger.exception("the model failed")
        answer.failed = True
    finally:
        async with answer.news:
            answer.done = True
            answer.news.notify_all()
    print("ask_model: done")


@app.post("/answers", status_code=202)
async def begin() -> dict[str, str]:
    answer_id = uuid4().hex
    answers[answer_id] = Answer()
    task = asyncio.create_task(ask_model(answers[answer_id]))
    running.add(task)
    task.add_done_callback(running.discard)
    return {"answer": answer_id}


async def find_answer(answer_id: str) -> Answer:
    if answer_id not in answers:
        raise HTTPException(404, "there is no such answer")
    return answers[answer_id]


@app.get("/answers/{answer_id}", response_class=EventSourceResponse)
async def follow(
    answer: Annotated[Answer, Depends(find_answer)],
    last_event_id: Annotated[int, Header(ge=0, lt=2**31)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    sent = last_event_id
    while sent < len(answer.words) or not answer.done:
        async with answer.news:
            while sent >= len(answer.words) and not answer.done:
                await answer.news.wait()
        for word in answer.words[sent:]:
            sent += 1
            yield ServerSentEvent(data=word, id=str(sent))
    yield ServerSentEvent(event="failed" if answer.failed else "end", data="no more")
