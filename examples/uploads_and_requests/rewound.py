"""An endpoint looks at the first bytes of an upload, and rewinds it for the task."""

from fastapi import BackgroundTasks, FastAPI, HTTPException, UploadFile

app = FastAPI()


async def count_bytes(photo: UploadFile) -> None:
    print(f"count_bytes: {len(await photo.read())}")


@app.post("/photos", status_code=202, responses={415: {}})
async def create_photo(photo: UploadFile, tasks: BackgroundTasks) -> dict[str, str]:
    if not (await photo.read(8)).startswith(b"\x89PNG"):
        raise HTTPException(415, "Send a PNG.")
    await photo.seek(0)  # or the task begins behind these eight bytes
    tasks.add_task(count_bytes, photo)
    return {"message": "Task has been queued"}
