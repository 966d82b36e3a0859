"""In APScheduler 3 the weekday 0 is Monday, in cron it is Sunday: write its name."""

from datetime import datetime

from apscheduler.triggers.cron import CronTrigger
from fastapi import FastAPI, HTTPException

app = FastAPI()


@app.get("/next-run", responses={422: {"description": "That is no crontab line"}})
async def read_next_run(crontab: str) -> dict[str, str]:
    try:
        trigger = CronTrigger.from_crontab(crontab, timezone="Europe/Berlin")
    except (ValueError, TypeError):
        raise HTTPException(422, "Write five fields, such as 0 3 * * sun.") from None
    run = trigger.get_next_fire_time(None, datetime.now(trigger.timezone))
    return {"next_run": f"{run:%A %H:%M}" if run else "never"}
