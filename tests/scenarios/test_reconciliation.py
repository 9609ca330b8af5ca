"""In calm weather already: every bot agrees with the venue to the last unit, in every direction."""

import pytest

from tests.scenarios.world import World


@pytest.mark.parametrize("direction", ["spot", "long", "short", "neutral"])
async def test_a_bot_agrees_with_the_venue_to_the_last_unit(world: World, direction: str) -> None:
    bot = await world.run(direction, leverage=1 if direction == "spot" else 3)
    await world.walk(59_850, 59_640, 59_720, 60_010, 60_330, 60_180, 59_990)
    await world.assert_reconciled(bot)
    assert world.live(bot).state.ledger.trips >= 3
