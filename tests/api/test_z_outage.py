"""While the database is away: reading says try again, stopping works, and afterwards everything goes on.

Named to come last: it takes the database away from the installation that all tests of this folder share.
"""

import asyncio

from tests.api.browser import Browser, browsing, enrol
from tests.api.conftest import Api
from tests.api.test_bots import until


async def test_without_the_database_the_api_asks_to_try_again_and_the_emergency_stop_works(api: Api) -> None:
    bot = (await api.create("outage"))["id"]
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        await outage(api, ann, bot)


async def outage(api: Api, ann: Browser, bot: str) -> None:
    """Take the database away, and see what still works for the console and for a signed-in person."""
    own = await a_bot_of(ann, api)
    for each in (bot, own):
        await until(api, each, lambda it: it["status"] == "running" and it["open_orders"] > 30)
    await api.postgres.stop()
    try:
        health = await api.get("/healthz")
        assert health.status == 503
        assert next(part["name"] for part in health.body["components"] if not part["ok"]) == "database"
        for path in (f"/api/v1/bots/{bot}", f"/api/v1/bots/{bot}/orders"):
            answer = await api.get(path)
            assert (answer.status, answer.body["type"]) == (503, "urn:trellis:problem:unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        # Whoever was signed in before stops their own bots, and nobody else's.
        answer = await ann.post("/emergency-stop")
        assert (answer.status, [item["bot"] for item in answer.body["items"]]) == (200, [own])
        assert (await ann.post(f"/bots/{bot}/emergency-stop")).status in (404, 503)
        assert (await ann.get("/bots")).status == 503
        # The venue cancels hundreds of orders, and says meanwhile how many are left: saying it again is safe.
        for _ in range(10):
            stopped = await api.post("/api/v1/emergency-stop")
            assert stopped.status == 200
            assert bot in {item["bot"] for item in stopped.body["items"]}
            if stopped.body["all_stopped"]:
                break
            await asyncio.sleep(1.0)
        assert stopped.body["all_stopped"], stopped.body
    finally:
        await api.postgres.start()
    ended = await until(api, bot, lambda it: it["desired"] == "emergency_stopped" and it["open_orders"] == 0)
    assert ended["id"] == bot
    for _ in range(100):
        if (await api.get("/healthz")).status == 200:
            return
        await asyncio.sleep(0.2)
    raise AssertionError((await api.get("/healthz")).body)


async def a_bot_of(ann: Browser, api: Api) -> str:
    """Give a person a running bot on paper money of their own."""
    account = await ann.post("/accounts", {"exchange": "bybit", "environment": "paper", "label": "paper"})
    assert account.status == 201, account.body
    made = await ann.post("/bots", {"account": account.body["id"], "config": api.grid})
    assert made.status == 201, made.body
    bot: str = made.body["id"]
    assert (await ann.get(f"/bots/{bot}")).status == 200
    return bot
