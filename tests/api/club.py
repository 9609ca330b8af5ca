"""The demo's club as tests use it: wait until it is set up, make a deal as its members do."""

import asyncio
from typing import Any

from actors.clock import now_ms
from tests.api.conftest import Api

READY_LIMIT_S = 240.0
"""A micro-transfer, a deposit and their final blocks, on a machine that starts twenty processes meanwhile."""
USDT = "tron:USDT"


async def club_is_ready(api: Api) -> None:
    """Wait until the demo's companies have paid in."""
    async with asyncio.timeout(READY_LIMIT_S):
        while (await api.get("/api/v1/club/status")).body["demo"] != "ready":  # noqa: ASYNC110  it takes blocks
            await asyncio.sleep(0.5)


async def make_offer(api: Api, seller: str, amount: str, **changes: Any) -> Any:
    """Let a company's trader offer USDT; give the answer."""
    body = {
        "company": f"co_{seller}",
        "side": "sell",
        "token": USDT,
        "amount": amount,
        "price": "1.001",
        "expires_ms": now_ms() + 3_600_000,
    }
    return await api.post(f"/api/v1/club/offers?member=mb_{seller}trader", {**body, **changes})


async def accept(api: Api, offer: str, buyer: str, **changes: Any) -> Any:
    """Let another company's trader take it; give the answer."""
    body = {"company": f"co_{buyer}", "wallet": f"wa_{buyer}usdt", **changes}
    return await api.post(f"/api/v1/club/offers/{offer}/accept?member=mb_{buyer}trader", body)


async def make_deal(api: Api, seller: str, buyer: str, amount: str) -> dict[str, Any]:
    """Make a pass-through deal between two companies."""
    offered = await make_offer(api, seller, amount)
    assert offered.status == 201, offered.body
    accepted = await accept(api, offered.body["id"], buyer)
    assert accepted.status == 201, accepted.body
    deal: dict[str, Any] = accepted.body
    return deal
