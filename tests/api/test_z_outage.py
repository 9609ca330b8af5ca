"""While the database is away: reading says try again, stopping works, and afterwards everything goes on.

Named to come last: it takes the database away from the installation that all tests of this folder share.
"""

import asyncio

from tests.api.conftest import Api
from tests.api.test_bots import until


async def test_without_the_database_the_api_asks_to_try_again_and_the_emergency_stop_works(api: Api) -> None:
    bot = (await api.create("outage"))["id"]
    await until(api, bot, lambda it: it["status"] == "running" and it["open_orders"] > 30)
    await api.postgres.stop()
    try:
        health = await api.get("/healthz")
        assert health.status == 503
        assert next(part["name"] for part in health.body["components"] if not part["ok"]) == "database"
        for path in (f"/api/v1/bots/{bot}", f"/api/v1/bots/{bot}/orders"):
            answer = await api.get(path)
            assert (answer.status, answer.body["type"]) == (503, "urn:trellis:problem:unavailable")
            assert int(answer.headers["Retry-After"]) > 0
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
