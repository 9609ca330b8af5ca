"""What a signer tells the operator: raised once, taken back when it is over, not written again every second."""

from collections.abc import Callable, Sequence, Set

from engine.ids import HotWalletId, Instant
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import Preflight
from engine.payments.payout import WaitsFor
from storage.alarms import Alarms
from storage.database import Database
from storage.payout_attempts import Live


class SignerAlarms:
    """The alarms of one hot wallet. Remembers what was said last; a new life says it anew, without effect."""

    def __init__(self, database: Database, hot_wallet: HotWalletId, clock: Callable[[], Instant]) -> None:
        self._alarms = Alarms(database)
        self._hot_wallet = hot_wallet
        self._clock = clock
        self._said: dict[tuple[AlarmKind, str], bool] = {}

    async def weighed(self, preflights: Sequence[Preflight], short: Set[WaitsFor], coin_floor_units: int) -> None:
        """Tell of too little coin, and of transfers that wait for energy or coin, after what was weighed now."""
        if not preflights:
            return
        coin = min(preflight.coin_units for preflight in preflights)
        is_low = coin < coin_floor_units
        await self.say(
            AlarmKind.TRX_FLOOR, self._hot_wallet, is_low, Severity.SEV2, f"{coin} units of coin are left for fees"
        )
        is_short = WaitsFor.ENERGY in short or WaitsFor.COIN in short
        words = "payouts wait: there is neither energy nor coin for their fees"
        await self.say(AlarmKind.INSUFFICIENT_ENERGY, self._hot_wallet, is_short, Severity.SEV2, words)

    async def watched(self, out: Sequence[Live], stuck_after_ms: int) -> None:
        """Tell of attempts that are under way for too long. Their end takes the alarm back."""
        stuck = {one.task.id: one for one in out if self._clock() - one.signed_at_ms > stuck_after_ms}
        for kind, task in list(self._said):
            if kind == AlarmKind.STUCK_PAYOUT and task not in stuck:
                del self._said[kind, task]
        for task, one in stuck.items():
            detail = f"signed at {one.signed_at_ms} and still neither paid nor proved dead"
            await self.say(AlarmKind.STUCK_PAYOUT, task, True, Severity.SEV2, detail)

    async def say(self, kind: AlarmKind, subject: str, is_on: bool, severity: Severity, detail: str) -> None:
        """Raise an alarm or take it back, unless that was said last."""
        if self._said.get((kind, subject)) is is_on:
            return
        if is_on:
            await self._alarms.raise_alarm(kind, subject, severity, detail, self._clock())
        else:
            await self._alarms.clear(kind, subject, self._clock())
        self._said[kind, subject] = is_on
