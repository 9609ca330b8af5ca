"""What a transfer would cost now, and whether the wallet can pay the worst of it.

A contract call uses energy; what the wallet has not staked for is burned in TRX. The fee limit is a ceiling over
all of it: when it is too low the call fails, nothing moves, and the TRX is gone; when it is high it costs nothing.
A recipient who holds none of the token costs twice as much as one who does, and can give all of it away between
the estimate and the block. So the limit always covers the dear case.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import msgspec

from adapters.chains.rpc import Clock, NodePool
from adapters.chains.tron import addresses, codec, wire
from adapters.chains.tron.node import TronNodes
from engine.errors import Rejected, RejectReason
from engine.payments.chain import Preflight, Shortage

SUN = 1_000_000
"""The units of one TRX."""

_NEWCOMER = addresses.text(b"trellis: no wallet..")
"""An address that nobody has a key for: the dear case of a recipient."""
_MARGIN, _MARGIN_OF = 6, 5
"""A fifth above the estimate: a busy contract's energy becomes dearer while the transaction waits."""
_CALL_BYTES, _COIN_BYTES = 400, 300
"""Bandwidth of a signed transfer, rounded up: the chain counts 345 and 268."""
_PRICES_MS, _ESTIMATE_MS, _WALLET_MS, _ACTIVE_MS = 600_000, 60_000, 1_000, 86_400_000
_REMEMBERED = 4_096
_T = TypeVar("_T")


class _Prices(msgspec.Struct, frozen=True):
    energy: int
    """Sun for one unit of energy."""
    byte: int
    """Sun for a byte of bandwidth that is not staked for."""
    fee_limit_max: int


class _Wallet(msgspec.Struct, frozen=True):
    coin_units: int
    energy_left: int


class FeeDesk:
    """Weighs transfers. Remembers prices for ten minutes, estimates for one, a wallet's means for one second."""

    def __init__(self, pool: NodePool, clock: Clock, fee_limit_max: int) -> None:
        """`fee_limit_max` in sun: what one transfer may ever cost."""
        self._pool, self._nodes = pool, TronNodes(pool)
        self._fee_limit_max = fee_limit_max
        self._memory = _Memory(clock)

    async def preflight(self, sender: str, recipient: str, contract: str, units: int) -> Preflight:
        """Weigh one transfer; `Rejected` if the token's contract would refuse it whatever is paid."""
        wallet = await self._memory.get(_WALLET_MS, ("wallet", sender), lambda: self._wallet(sender))
        prices = await self._memory.get(_PRICES_MS, ("prices",), self._prices)
        tokens = wallet.coin_units
        if contract:
            key = ("tokens", sender, contract)
            tokens = await self._memory.get(_WALLET_MS, key, lambda: self._tokens(sender, contract))
        shortage, energy = None, 0
        if not await self._is_active(recipient):
            shortage = Shortage.RECIPIENT_NOT_ACTIVE
        elif tokens < units:
            shortage = Shortage.TOKEN
        elif contract:
            energy = await self._energy(sender, recipient, contract, units)
        return _weigh(wallet, prices, tokens, energy, contract, units, shortage)

    async def _wallet(self, sender: str) -> _Wallet:
        async def of(name: str) -> _Wallet:
            account = await self._nodes.account(name, sender)
            resources = await self._nodes.resources(name, sender)
            return _Wallet(account.balance if account else 0, resources.energy_left)

        return await self._pool.first(of)

    async def _prices(self) -> _Prices:
        found = await self._pool.first(self._nodes.parameters)
        limit = min(self._fee_limit_max, found.get("getMaxFeeLimit") or self._fee_limit_max)
        return _Prices(found.get("getEnergyFee", 0), found.get("getTransactionFee", 0), limit)

    async def _tokens(self, sender: str, contract: str) -> int:
        return await self._pool.first(lambda name: self._nodes.token_balance(name, contract, sender))

    async def _is_active(self, recipient: str) -> bool:
        async def active() -> bool:
            return await self._pool.first(lambda name: self._nodes.account(name, recipient)) is not None

        key = ("active", recipient)
        if await self._memory.get(_ACTIVE_MS, key, active):
            return True
        self._memory.forget(key)  # An account that is active stays so; one that is not may become it any time.
        return False

    async def _energy(self, sender: str, recipient: str, contract: str, units: int) -> int:
        """Give the energy of the dearer case; `Rejected` when the transfer itself would revert."""
        own = await self._try(sender, recipient, contract, units)
        if own.reverted:
            raise Rejected(
                RejectReason.OTHER, f"{contract} refuses a transfer to {recipient}: {own.reverted}", "REVERT"
            )
        dear = await self._try(sender, _NEWCOMER, contract, units)
        return max(own.energy_used, 0 if dear.reverted else dear.energy_used)

    async def _try(self, sender: str, recipient: str, contract: str, units: int) -> wire.Call:
        data = codec.transfer_call(recipient, units)

        async def call() -> wire.Call:
            return await self._pool.first(lambda name: self._nodes.call(name, sender, contract, data))

        return await self._memory.get(_ESTIMATE_MS, ("call", sender, contract, recipient), call)


def _weigh(
    wallet: _Wallet,
    prices: _Prices,
    tokens: int,
    energy: int,
    contract: str,
    units: int,
    shortage: Shortage | None,
) -> Preflight:
    with_margin = -(-energy * _MARGIN // _MARGIN_OF)
    fee_limit = min(with_margin * prices.energy, prices.fee_limit_max)
    burn = min(max(0, with_margin - wallet.energy_left) * prices.energy, fee_limit)
    # Bandwidth is counted as burned even if some is left: what is left is shared by all that leaves today.
    worst = burn + (_CALL_BYTES if contract else _COIN_BYTES) * prices.byte
    if shortage is None:
        if energy * prices.energy > fee_limit:
            # Dearer than one transfer may ever cost: it would fail, and burn all of it.
            shortage = Shortage.ENERGY
        elif wallet.coin_units < worst + (0 if contract else units):
            shortage = Shortage.ENERGY if burn else Shortage.COIN
    return Preflight(
        fee_limit=fee_limit,
        coin_units=wallet.coin_units,
        token_units=tokens,
        energy_left=wallet.energy_left,
        energy_needed=with_margin,
        worst_fee_units=worst,
        shortage=shortage,
    )


class _Memory:
    """Answers for as long as they are good. A clock that jumped back makes them no better."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[int, Any]] = {}

    async def get(self, good_ms: int, key: Hashable, ask: Callable[[], Awaitable[_T]]) -> _T:
        now = self._clock()
        if key in self._kept and 0 <= now - self._kept[key][0] < good_ms:
            kept: _T = self._kept[key][1]
            return kept
        answer = await ask()
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        self._kept[key] = now, answer
        return answer

    def forget(self, key: Hashable) -> None:
        self._kept.pop(key, None)
