"""What becomes of a payout is said only with proof: no silence, lag or lie of a node makes one dead or paid."""

from adapters.chains.tron.payouts import TronPayouts
from engine.payments.chain import Included
from tests.adapters.chains.tron.village import BLOCK_MS, Village, intent, key, sign, trc20

LIVES_BLOCKS = 20


class Payout:
    """One payout under way, its chain and its nodes."""

    def __init__(self, *nodes: str) -> None:
        self.village = Village(nodes or ("main", "fallback"))
        self.chain = TronPayouts(self.village.pool, self.village.clock)
        self.reference = self.village.ref(self.village.final)
        self.intent = intent(self.reference, lives_ms=LIVES_BLOCKS * BLOCK_MS)
        self.signed = sign(self.chain, self.intent)

    def transaction(self, units: int | None = None, result: str = "SUCCESS", contract: str | None = None, to=None):
        it = self.intent
        return trc20(
            self.signed.tx_id, it.sender, to or it.recipient, units or it.units, contract or it.contract, result
        )

    def live_on(self, blocks: int) -> None:
        for _ in range(blocks):
            self.village.produce()

    async def outcome(self):
        self.village.now_ms += 60_000
        (found,) = await self.chain.outcomes([self.signed], [self.intent])
        return found

    def troubles(self) -> set[str]:
        return {kind for kind, _ in self.village.troubles}


async def test_an_included_transfer_is_paid() -> None:
    payout = Payout()
    payout.live_on(3)
    where = payout.village.produce(payout.transaction())
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert (found.block, found.moved_units, found.receipt.succeeded) == (where, payout.intent.units, True)
    assert (found.receipt.fee_units, found.receipt.payer) == (13_000_000, key().address)
