"""Pays out of one hot wallet: signs what is due, hands the bytes to nodes, follows them until they are certain.

The order is what makes a payout happen once, wherever we die: the bytes are written to the database in the
transaction that checks every gate, then to the journal outside it, and only then shown to a node. They are shown
again and again, always the same, until final blocks hold them or prove that they never will; only then are other
bytes signed.

Nothing that matters is kept in memory. Each step reads the database, and what a step left half done, the next one
finds there. What a node answers to a broadcast decides nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from actors.broadcast_journal import BroadcastJournal
from actors.signer_alarms import SignerAlarms
from engine.errors import OutcomeUnknown, Rejected, Retryable
from engine.ids import Instant, PayoutTaskId
from engine.money import Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import BlockRef, PayoutIntent, Preflight, SignedPayout
from engine.payments.freeze import Scope, stopping
from engine.payments.payout import (
    ENGINE,
    Bury,
    Confirm,
    Gates,
    HandOver,
    Sign,
    SigningRules,
    Wait,
    WaitsFor,
    next_step,
)
from engine.payments.ports import BytesDiffer, KeyHolder, PayoutChain
from engine.payments.purse import UnderWay, allot
from storage import alarms, freezes, payout_attempts, payout_endings, payout_gates, payout_memory
from storage.database import Connection, Database
from storage.payout_attempts import Live, Prepared
from storage.payout_endings import Ending
from storage.payout_gates import Candidate
from storage.payout_memory import DatabaseRestored, SignerRights

log = logging.getLogger(__name__)

T = TypeVar("T")

CRASH_POINTS = (
    "boot.before_compare",
    "boot.after_keep",
    "boot.after_bind",
    "boot.after_note",
    "sign.before_read",
    "sign.after_read",
    "sign.after_weigh",
    "sign.after_sign",
    "persist.before_commit",
    "persist.after_commit",
    "journal.before_write",
    "journal.after_write",
    "broadcast.before",
    "broadcast.after",
    "hand_over.before_commit",
    "hand_over.after_commit",
    "look.before",
    "look.after",
    "end.before_commit",
    "end.after_commit",
)
"""Where the simulation lets us die: between any two steps."""


class SignerPolicy(msgspec.Struct, frozen=True):
    """Numbers of a signer's working."""

    rules: SigningRules = SigningRules()
    expires_after_ms: int = 240_000
    """Counted from the final block that the bytes refer to. A dead attempt can be replaced a minute after it."""
    batch: int = 200
    """How many transfers one transaction, one sync and one broadcast carry."""
    look_pause_ms: int = 1_000
    """How long an answer of the chain about live attempts is good for."""
    wait_pause_ms: int = 5_000
    """When a transfer that waits is looked at again, if nobody says that something has changed."""
    stuck_after_ms: int = 15 * 60_000
    coin_floor_units: int = 100_000_000
    """Below this much of the network's own coin the operator is told to refill."""


class Signer(msgspec.Struct, frozen=True):
    """Whose signer it is."""

    rights: SignerRights
    network: Network


class TurnReport(msgspec.Struct, frozen=True):
    """What a round did."""

    signed: int = 0
    handed_over: int = 0
    confirmed: int = 0
    buried: int = 0
    waits: dict[str, int] = {}
    """How many transfers wait, by code."""


class PayoutSigner:
    """The signer of one hot wallet. Whoever runs it holds the wallet's lease and calls `turn` again and again.

    A call that fails has left nothing that the next call does not find. `Retryable`, `OutcomeUnknown`: call again.
    `StaleEpoch`: another one has the wallet, stop. `DatabaseRestored`: call `boot` again.
    """

    def __init__(
        self,
        signer: Signer,
        database: Database,
        chain: PayoutChain,
        key: KeyHolder,
        journal: BroadcastJournal,
        clock: Callable[[], Instant],
        policy: SignerPolicy | None = None,
        crash_point: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._rights = signer.rights
        self._network = signer.network
        self._database = database
        self._chain = chain
        self._key = key
        self._journal = journal
        self._clock = clock
        self._policy = policy or SignerPolicy()
        self._crash_point = crash_point
        self._has_looked = False
        self._looked_at: Instant | None = None
        self._alarms = SignerAlarms(database, signer.rights.hot_wallet, clock)

    # ------------------------------------------------------------------ boot

    async def boot(self) -> None:
        """Compare the journal with the database and ask the chain about every live attempt.

        Nothing is signed before both are done. A journal that knows more than the database, another timeline, or
        no journal where there was one: safe mode and an alarm, and the forgotten attempts are taken back.
        """
        self._has_looked = False
        self._journal.open()
        self._crash_point("boot.before_compare")
        await self._remember()
        await self._look(Counter())
        self._has_looked = True

    def stop(self) -> None:
        """Wipe the key and close the journal. Nothing is signed afterwards."""
        self._key.wipe()
        self._journal.close()

    async def _remember(self) -> None:
        lines = {line.tx_id: line for line in self._journal.attempts()}
        async with self._database.reading() as connection:
            here = await payout_memory.identity(connection)
            unknown = await payout_memory.unknown(connection, list(lines))
            had_journal = await payout_memory.was_compared(connection, self._rights.hot_wallet)
        beside = self._journal.database
        doubts = []
        if unknown:
            doubts.append(f"{len(unknown)} signed transfers of the journal are unknown to the database")
        if beside is not None and (beside.system, beside.timeline) != (here.system, here.timeline):
            doubts.append(f"the database is timeline {here.timeline} of {here.system} now")
        if beside is None and had_journal:
            doubts.append("the journal that was written beside this database is gone")
        if doubts:
            found = [(lines[tx].intent, lines[tx].signed) for tx in lines if tx in unknown]
            log.error("payout.memory_in_doubt wallet=%s doubts=%s", self._rights.hot_wallet, doubts)
            await self._write(lambda connection: self._enter_safe_mode(connection, found, "; ".join(doubts)))
        self._crash_point("boot.after_keep")
        await self._bind()
        self._crash_point("boot.after_bind")
        if doubts or beside is None:
            self._journal.note_database(here.system, here.timeline)
        await self._write(
            lambda connection: payout_memory.note_seen(connection, self._rights, here, self._clock())
        )
        self._crash_point("boot.after_note")

    async def _enter_safe_mode(
        self, connection: Connection, found: Sequence[tuple[PayoutIntent, SignedPayout]], why: str
    ) -> None:
        now = self._clock()
        await payout_memory.keep(connection, self._rights, found, now)
        await freezes.enter(connection, Scope.GLOBAL, "", why, ENGINE, now, is_safe_mode=True)
        await alarms.raise_alarm(
            connection, AlarmKind.RESTORED_DATABASE, self._rights.hot_wallet, Severity.SEV1, why, now
        )

    async def _bind(self) -> None:
        async with self._database.reading() as connection:
            if not await payout_memory.is_any_unbound(connection, self._rights.hot_wallet):
                return
        await self._write(lambda connection: payout_memory.bind(connection, self._rights, self._clock()))

    # ------------------------------------------------------------------ a round

    async def turn(self) -> TurnReport:
        """Do one round: sign what is due, hand over what is signed, and ask the chain about what is out."""
        if not self._has_looked:
            raise RuntimeError("boot first")
        waits: Counter[str] = Counter()
        # What is new first: a payout is not to wait while the chain is asked about a hundred others.
        signed = await self._sign(waits)
        handed_over = await self._hand_over(waits, again=False)
        confirmed = buried = 0
        if self._is_look_due():
            await self._bind()
            confirmed, buried = await self._look(waits)
        # And what is old last: nodes that are silent about bytes which they have rest for a while, and would not
        # be there to say that a block holds them.
        handed_over += await self._hand_over(waits, again=True)
        return TurnReport(signed, handed_over, confirmed, buried, dict(waits))

    # ------------------------------------------------------------------ sign

    async def _sign(self, waits: Counter[str]) -> int:
        self._crash_point("sign.before_read")
        now = self._clock()
        async with self._database.reading() as connection:
            candidates = await payout_gates.due(connection, self._rights.hot_wallet, now, self._policy.batch)
            if not candidates:
                return 0
            newest_line = self._journal.newest
            if newest_line is not None and await payout_memory.unknown(connection, [newest_line]):
                raise DatabaseRestored(f"the database does not know {newest_line}, which the journal does")
            around = await payout_gates.surroundings(connection, self._rights.hot_wallet, now)
            newest_ms = await payout_attempts.newest_timestamp(connection, self._rights.hot_wallet)
            under_way = await payout_attempts.live(connection, self._rights.hot_wallet)
        self._crash_point("sign.after_read")
        codes: dict[PayoutTaskId, WaitsFor] = {}
        ready = []
        gone = dict(around.gone)
        for candidate in candidates:
            so_far = msgspec.structs.replace(around, gone=gone)
            gates = payout_gates.gates(candidate, so_far, self._rights.hot_wallet, now)
            step = next_step(candidate.task, None, None, gates, self._policy.rules, now)
            if isinstance(step, Sign):
                gone[candidate.payout.asset] = gone.get(candidate.payout.asset, 0) + candidate.task.units
                ready.append(candidate)
            elif isinstance(step, Wait):
                codes[candidate.task.id] = step.code
        prepared = []
        if ready:
            weighed, short = await self._weigh(ready, under_way)
            codes |= short
            self._crash_point("sign.after_weigh")
            if weighed:
                prepared = await self._prepare(weighed, Instant(max(now, newest_ms + 1)), codes)
        self._crash_point("sign.after_sign")
        written = await self._persist(prepared, codes) if prepared else 0
        await self._note_waits(candidates, codes)
        waits.update(codes.values())
        return written

    async def _weigh(
        self, ready: Sequence[Candidate], under_way: Sequence[Live]
    ) -> tuple[list[tuple[Candidate, Preflight]], dict[PayoutTaskId, WaitsFor]]:
        """Ask what each transfer would need, and divide what the wallet has among them, the first ones first."""
        # The smallest of each destination: what a larger one lacks besides is counted in `allot`.
        largest_first = sorted(ready, key=lambda one: -one.task.units)
        first, *others = by_destination = {_destination(one): one for one in largest_first}
        # One alone first: what it asks about the wallet itself, the others need not ask again.
        answers = [await self._preflight(by_destination[first])]
        answers += await asyncio.gather(*(self._preflight(by_destination[other]) for other in others))
        preflights: dict[tuple[str, str], Preflight] = {}
        fitting: list[tuple[Candidate, Preflight]] = []
        short: dict[PayoutTaskId, WaitsFor] = {}
        for destination, answer in zip(by_destination, answers, strict=True):
            if isinstance(answer, Preflight):
                preflights[destination] = answer
            else:
                short |= {one.task.id: answer for one in ready if _destination(one) == destination}
        for contract in dict.fromkeys(one.contract for one in ready):
            same = [one for one in ready if one.contract == contract and one.task.id not in short]
            wishes = [(preflights[_destination(one)], one.task.units) for one in same]
            out = UnderWay(
                len(under_way),
                sum(one.attempt.intent.fee_limit for one in under_way),
                sum(one.task.units for one in under_way if one.attempt.intent.contract == contract),
            )
            for one, (weighed, _), lacks in zip(same, wishes, allot(wishes, out), strict=True):
                if lacks is None:
                    fitting.append((one, weighed))
                else:
                    short[one.task.id] = WaitsFor(lacks)
        await self._alarms.weighed(list(preflights.values()), set(short.values()), self._policy.coin_floor_units)
        return fitting, short

    async def _preflight(self, one: Candidate) -> Preflight | WaitsFor:
        """Weigh one transfer. One destination that the nodes do not like must not hold the others up."""
        try:
            return await self._chain.preflight(one.sender, one.payout.destination, one.contract, one.task.units)
        except Rejected as error:
            log.error("payout.refused task=%s error=%s", one.task.id, error)
            await self._alarms.say(
                AlarmKind.PAYOUT_FAILED, one.task.id, True, Severity.SEV2, f"the nodes refuse to weigh it: {error}"
            )
            return WaitsFor.REFUSED
        except (Retryable, OutcomeUnknown) as error:
            log.warning("payout.not_weighed task=%s error=%s", one.task.id, error)
            return WaitsFor.CHAIN

    async def _prepare(
        self,
        weighed: Sequence[tuple[Candidate, Preflight]],
        first_timestamp: Instant,
        codes: dict[PayoutTaskId, WaitsFor],
    ) -> list[Prepared]:
        reference = await self._chain.reference()
        prepared = []
        for number, (candidate, preflight) in enumerate(weighed):
            intent = self._intend(candidate, preflight, reference, Instant(first_timestamp + number))
            try:
                prepared.append(self._sign_one(intent))
            except (BytesDiffer, ValueError) as error:
                # Never routine: our encoder or our memory is not what it should be, or somebody is at it.
                log.error("payout.bytes_differ task=%s error=%s", intent.task, error)
                codes[intent.task] = WaitsFor.BYTES_DIFFER
                await self._alarms.say(AlarmKind.BYTES_DIFFER, intent.task, True, Severity.SEV1, str(error))
        return prepared

    def _intend(
        self, candidate: Candidate, preflight: Preflight, reference: BlockRef, timestamp_ms: Instant
    ) -> PayoutIntent:
        return PayoutIntent(
            task=candidate.task.id,
            attempt=candidate.next_attempt,
            network=candidate.payout.network,
            asset=candidate.payout.asset,
            contract=candidate.contract,
            hot_wallet=self._rights.hot_wallet,
            sender=candidate.sender,
            recipient=candidate.payout.destination,
            units=candidate.task.units,
            fee_limit=preflight.fee_limit,
            # The chain's own clock, which decides when bytes are too old; ours may be wrong.
            expires_at_ms=Instant(reference.time_ms + self._policy.expires_after_ms),
            timestamp_ms=timestamp_ms,
            reference=reference,
        )

    def _sign_one(self, intent: PayoutIntent) -> Prepared:
        unsigned = self._chain.build(intent)
        self._chain.check(unsigned, intent)
        signature = self._key.sign(self._chain.digest(unsigned))
        # The bytes that were decoded and compared above are the bytes that are signed: `assemble` sees to it.
        return Prepared(intent, self._chain.assemble(unsigned, signature, intent))

    async def _persist(self, prepared: Sequence[Prepared], codes: dict[PayoutTaskId, WaitsFor]) -> int:
        """Write the bytes whose gates are still open. After a commit without an answer they are read back."""
        written: list[PayoutTaskId] = []
        try:
            async with self._database.transaction() as connection:
                started = await payout_attempts.start(connection, self._rights, prepared, self._clock())
                written = started.written
                codes |= started.held_back
                self._crash_point("persist.before_commit")
        except OutcomeUnknown as error:
            log.warning("payout.commit_unknown wallet=%s error=%s", self._rights.hot_wallet, error)
        self._crash_point("persist.after_commit")
        return len(written)

    async def _note_waits(self, candidates: Sequence[Candidate], codes: Mapping[PayoutTaskId, WaitsFor]) -> None:
        """Note why transfers wait. What was decided about since it was read stays due: the next round looks."""
        waiting = [candidate for candidate in candidates if candidate.task.id in codes]
        if not waiting:
            return
        now = self._clock()
        due_at = Instant(now + self._policy.wait_pause_ms)
        # A note whose commit has no answer may be missing: then it is looked at again, and noted again.
        with suppress(OutcomeUnknown):
            async with self._database.transaction() as connection:
                same = await payout_gates.unchanged(connection, waiting)
                told = {
                    task: (code, now if code is WaitsFor.NOTHING else due_at)
                    for task, code in codes.items()
                    if task in same
                }
                await payout_attempts.wait(connection, self._rights, told)

    # ------------------------------------------------------------------ hand over

    async def _hand_over(self, waits: Counter[str], *, again: bool) -> int:
        """Give bytes to the nodes that have never left, or (`again`) those that have, after a pause."""
        now = self._clock()
        async with self._database.reading() as connection:
            out = await payout_attempts.live(connection, self._rights.hot_wallet)
            # Read as late as can be: a freeze also stops bytes that are signed and have not left.
            frozen = await freezes.in_force(connection)
        given = []
        held_back: dict[PayoutTaskId, tuple[WaitsFor, Instant]] = {}
        for one in out:
            is_frozen = stopping(frozen, self._network, self._rights.hot_wallet, one.companies) is not None
            step = next_step(one.task, one.attempt, None, Gates(is_frozen=is_frozen), self._policy.rules, now)
            if again is (one.attempt.handed_over_at_ms is None):
                continue
            if isinstance(step, HandOver):
                given.append(one)
            elif isinstance(step, Wait):
                waits[step.code] += 1
                if step.code is not one.waits_for:
                    held_back[one.task.id] = step.code, now
        if held_back:
            await self._write(lambda connection: payout_attempts.wait(connection, self._rights, held_back))
        if not given:
            return 0
        self._write_journal(given)
        self._crash_point("broadcast.before")
        answers = await self._chain.broadcast([one.attempt.signed for one in given])
        self._crash_point("broadcast.after")
        for one, answer in zip(given, answers, strict=True):
            log.info("payout.broadcast task=%s tx=%s answer=%s", one.task.id, one.attempt.signed.tx_id, answer)
        await self._write(
            lambda connection: payout_attempts.handed_over(connection, self._rights, given, now),
            "hand_over.before_commit",
        )
        self._crash_point("hand_over.after_commit")
        return len(given)

    def _write_journal(self, given: Sequence[Live]) -> None:
        """Write what the journal does not have yet: before its line is synced, no byte of an attempt leaves."""
        new = [one.attempt for one in given if not self._journal.knows(one.attempt.signed.tx_id)]
        self._crash_point("journal.before_write")
        if new:
            self._journal.append([(attempt.intent, attempt.signed) for attempt in new])
        self._crash_point("journal.after_write")

    # ------------------------------------------------------------------ look

    def _is_look_due(self) -> bool:
        return self._looked_at is None or self._clock() - self._looked_at >= self._policy.look_pause_ms

    async def _look(self, waits: Counter[str]) -> tuple[int, int]:
        """Ask the chain about every live attempt and write down what is certain."""
        now = self._clock()
        async with self._database.reading() as connection:
            out = await payout_attempts.live(connection, self._rights.hot_wallet)
        self._crash_point("look.before")
        outcomes = await self._chain.outcomes(
            [one.attempt.signed for one in out], [one.attempt.intent for one in out]
        )
        self._crash_point("look.after")
        endings = []
        for one, outcome in zip(out, outcomes, strict=True):
            step = next_step(one.task, one.attempt, outcome, Gates(), self._policy.rules, now)
            if isinstance(step, Confirm | Bury):
                endings.append(Ending(one, step))
            elif isinstance(step, Wait) and step.code is WaitsFor.MOVED_OTHERWISE:
                waits[step.code] += 1
                detail = f"{one.attempt.signed.tx_id} moved another amount than {one.task.units} units"
                await self._alarms.say(AlarmKind.PAYOUT_FAILED, one.task.id, True, Severity.SEV1, detail)
        if endings:
            failures_max = self._policy.rules.failures_max
            await self._write(
                lambda connection: payout_endings.end(connection, self._rights, endings, failures_max, now),
                "end.before_commit",
            )
            self._crash_point("end.after_commit")
        ended = {ending.live.task.id for ending in endings}
        still_out = [one for one in out if one.task.id not in ended]
        await self._alarms.watched(still_out, self._policy.stuck_after_ms)
        self._looked_at = now
        confirmed = sum(isinstance(ending.decided, Confirm) for ending in endings)
        return confirmed, len(endings) - confirmed

    async def _write(self, work: Callable[[Connection], Awaitable[T]], crash_point: str = "") -> T:
        async with self._database.transaction() as connection:
            done = await work(connection)
            if crash_point:
                self._crash_point(crash_point)
        return done


def _destination(candidate: Candidate) -> tuple[str, str]:
    return candidate.payout.destination, candidate.contract
