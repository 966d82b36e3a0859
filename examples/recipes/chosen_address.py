"""A client names an address: it is resolved once, checked, and no other is connected to."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx
from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, HttpUrl

ALLOWED = [ip_network(n) for n in os.environ.get("ALLOWED_NETWORKS", "").split()]
PUBLIC_IPV6 = ip_network("2000::/3")
WITH_IPV4_INSIDE = ip_network("2002::/16")
TIMEOUT = 5  # seconds, for all of it


def may_be_called(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in ALLOWED):
        return True
    if address.version == 6 and address not in PUBLIC_IPV6:
        return False  # link-local, multicast, IPv4 in other clothes
    if address in WITH_IPV4_INSIDE:
        return False
    return address.is_global and not address.is_multicast


async def resolve(url: httpx.URL) -> str:
    """The address to connect to, if all that the name has may be called."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.raw_host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise ValueError(f"{url.host} has no address.") from None
    addresses = [ip_address(sockaddr[0]) for *_, sockaddr in found]
    if not all(map(may_be_called, addresses)):
        raise ValueError(f"{url.host} is not in the public internet.")
    return str(addresses[0])


async def post(url: httpx.URL, event: dict[str, str]) -> int:
    request = app.state.client.build_request(
        "POST",
        url.copy_with(host=await resolve(url)),  # or httpx would resolve it again
        json=event,
        headers={"Host": url.netloc.decode()},
        extensions={"sni_hostname": url.raw_host.decode()},  # whose certificate it is
    )
    answer = await app.state.client.send(request, stream=True)
    await answer.aclose()  # neither its body nor its connection is for anybody else
    return int(answer.status_code)


async def greet(url: httpx.URL) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            status = await post(url, {"type": "hello"})
        print(f"greet: {url} answered {status}")
    except Exception as error:
        print(f"greet: {url} not reached: {error!r}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(), trust_env=False, limits=httpx.Limits()
    ) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


class Receiver(BaseModel):
    url: HttpUrl


@app.post("/receivers", status_code=202)
async def create_receiver(receiver: Receiver, tasks: BackgroundTasks) -> Receiver:
    url = httpx.URL(str(receiver.url))
    try:
        async with asyncio.timeout(TIMEOUT):
            await resolve(url)
    except (ValueError, TimeoutError) as error:
        raise HTTPException(422, str(error) or "No name server answers.") from None
    tasks.add_task(greet, url)  # which resolves it anew: days may lie between
    return receiver
