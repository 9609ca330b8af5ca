"""What an exchange's row in the table decides without asking the exchange."""

import pytest

from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData
from adapters.exchanges.ccxt_unified.profiles import PROFILES, from_venue_id, to_venue_id
from engine.errors import Rejected
from engine.trading.instrument import Market


@pytest.mark.parametrize("exchange", ["kucoin", "mexc"])
async def test_a_market_that_is_not_reached_is_refused_with_a_reason(exchange: str) -> None:
    market_data = CcxtMarketData(exchange)
    with pytest.raises(Rejected, match=f"{exchange} linear is not supported"):
        await market_data.instruments(Market.LINEAR)
    await market_data.close()


@pytest.mark.parametrize("link_id", ["tg-abcd2345_12_7_b", "tg-ZZ_-3_0_s", "plain"])
def test_an_id_spelled_for_okx_reads_back(link_id: str) -> None:
    okx = PROFILES["okx"]
    spelled = to_venue_id(okx, link_id)
    assert spelled.isalnum()
    assert from_venue_id(okx, spelled) == link_id
    assert spelled.startswith(to_venue_id(okx, link_id[:4]))


def test_an_id_too_long_for_the_exchange_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Rejected, match="order ids of 32 at most"):
        to_venue_id(PROFILES["okx"], "x" * 33)
