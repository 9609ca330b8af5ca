"""The live stream: what changes arrives, once, in order; what was missed is replayed or the screen begins anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from tests.api.conftest import TOKEN, Api

LIMIT_S = 30.0


class Event(msgspec.Struct):
    """One event as a browser would see it."""

    id: str
    kind: str
    data: dict[str, Any]


@asynccontextmanager
async def listening(api: Api, query: str = "", last_id: str | None = None) -> AsyncIterator[AsyncIterator[Event]]:
    """Listen as a browser's EventSource does."""
    headers = {"Authorization": f"Bearer {TOKEN}", **({"Last-Event-ID": last_id} if last_id else {})}
    url = f"{api.address}/api/v1/stream{query}"
    async with asyncio.timeout(LIMIT_S), api.http.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield Event(fields["id"], fields["event"], msgspec.json.decode(fields["data"]))
            fields = {}


async def test_a_screen_begins_with_every_bot_and_then_hears_what_changes(api: Api) -> None:
    first = (await api.create("seen from the start"))["id"]
    async with listening(api) as events:
        assert (await anext(events)).kind == "reset"
        snapshot = await anext(events)
        assert snapshot.kind == "bot"
        second = (await api.create("made meanwhile"))["id"]
        heard: dict[str, set[str]] = {}
        async for event in events:
            bot = event.data.get("bot") or event.data["id"]
            heard.setdefault(bot, set()).add(event.kind)
            if heard.get(second, set()) >= {"bot", "action", "execution"} and first in heard:
                break


async def test_a_screen_that_comes_back_gets_what_it_missed_and_nothing_twice(api: Api) -> None:
    bot = (await api.create("missed"))["id"]
    async with listening(api, f"?bot={bot}") as events:
        seen = [await anext(events) for _ in range(8)]
    numbers = [int(event.id.split("-")[1]) for event in seen]
    assert numbers == sorted(numbers)
    stop = await api.post(f"/api/v1/bots/{bot}/stop", {"sell": False})
    assert stop.status == 200
    async with listening(api, f"?bot={bot}", seen[-1].id) as events:
        missed = []
        async for event in events:
            missed.append(event)
            if event.kind == "bot" and event.data["status"] == "stopped":
                break
    assert all(event.kind != "reset" for event in missed)
    later = [int(event.id.split("-")[1]) for event in missed]
    assert later[0] > numbers[-1]
    assert later == sorted(set(later))
    actions = [
        (e.data["action"]["seq"], e.data["action"]["ordinal"]) for e in [*seen, *missed] if e.kind == "action"
    ]
    assert len(actions) == len(set(actions))
    assert any("stop" in event.data["action"]["text"] for event in missed if event.kind == "action")


async def test_an_event_id_of_another_life_of_the_program_begins_anew(api: Api) -> None:
    for foreign in ("deadbeef-7", "x", "-", "deadbeef-99999999999999999999"):
        async with listening(api, last_id=foreign) as events:
            assert (await anext(events)).kind == "reset"


async def test_a_stream_of_one_bot_hears_nothing_of_others(api: Api) -> None:
    mine, other = (await api.create("mine"))["id"], (await api.create("other"))["id"]
    async with listening(api, f"?bot={mine}") as events:
        await api.post(f"/api/v1/bots/{other}/stop", {"sell": False})
        await api.post(f"/api/v1/bots/{mine}/stop", {"sell": False})
        async for event in events:
            assert event.data.get("bot", event.data.get("id", mine)) == mine
            if event.kind == "bot" and event.data["status"] == "stopped":
                break


async def test_a_stream_of_an_unknown_bot_is_not_found(api: Api) -> None:
    assert (await api.get("/api/v1/stream?bot=aaaaaaaa")).status == 404
