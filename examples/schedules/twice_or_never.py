"""When a daily run happens, on the days when the clocks are changed too."""

from datetime import UTC, date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from fastapi import FastAPI, Path

app = FastAPI()
zone = ZoneInfo("Europe/Berlin")
Hour = Annotated[int, Path(ge=0, le=23)]
Minute = Annotated[int, Path(ge=0, le=59)]


@app.get("/runs/{day}/{hour}/{minute}")
async def read_runs(day: date, hour: Hour, minute: Minute) -> list[str]:
    trigger = CronTrigger(hour=hour, minute=minute, timezone=zone)
    moment, runs = datetime.combine(day, time(), zone), []
    while run := trigger.get_next_fire_time(None, moment):
        run = run.astimezone(UTC).astimezone(zone)  # 02:30 may be no time at all
        if run.date() != day:
            break
        runs.append(run.isoformat())
        moment = datetime.fromtimestamp(run.timestamp() + 1, zone)
    return runs
