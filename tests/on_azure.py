"""A function app as the Python worker of Azure Functions runs it: ``python -m tests.on_azure``.

Indexes the functions of the module, and calls the only one with one request after another, in
one event loop, and prints what the platform gets for each: a status, or an exception.
"""

import asyncio
import sys

from azure.functions import AsgiFunctionApp, HttpRequest
from uvicorn.importer import import_from_string


async def invoke(application: AsgiFunctionApp, paths: list[str]) -> None:
    """Send a `POST` to each path."""
    [function] = application.get_functions()
    for path in paths:
        url = f"http://localhost{path}"
        request = HttpRequest(method="POST", url=url, headers={}, body=b"")
        try:
            response = await function.get_user_function()(request, None)
        except Exception as error:
            print(f"{path}: {error!r}", flush=True)
        else:
            print(f"{path}: {response.status_code}", flush=True)


if __name__ == "__main__":
    asyncio.run(invoke(import_from_string(sys.argv[1]), sys.argv[2:]))
