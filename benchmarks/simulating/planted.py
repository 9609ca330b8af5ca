"""Twelve bugs that payout engines have had, each as a patch over the production classes for as long as a case
runs.

They prove that the simulation would notice: a harness that finds nothing has found nothing only if it finds
these. Where the bug of `settlement.md` §2.5 has no subject yet (webhooks, nonces), its nearest kin is planted.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

import actors.payout_signer as signer
import engine.payments.approval as approval
import engine.payments.payout as payout
import storage.payout_attempts as attempts
import storage.payout_decisions as decisions
import storage.payout_endings as endings
import storage.payout_gates as gates
import storage.payouts as payout_rows
from adapters.chains.tron.node import TronNodes
from engine.payments.chain import Absent, Included, Pending
from engine.payments.payout import Bury, Confirm
from engine.payments.sighting import WatchList

IMPATIENCE_MS = 30_000
Patches = Iterator[Any]
"""Each is entered before the case and left after it."""


def broadcast_before_save() -> Patches:
    """Bytes go to the nodes first, and are saved afterwards: the order of both open-source payout engines."""
    persist = signer.PayoutSigner._persist

    async def hasty(self: Any, prepared: Any, *rest: Any) -> Any:
        if prepared:
            await self._chain.broadcast([one.signed for one in prepared])
        self._crash_point("broadcast.after")
        return await persist(self, prepared, *rest)

    yield patch.object(signer.PayoutSigner, "_persist", hasty)


def re_sign_by_the_clock() -> Patches:
    """What nobody has seen for half a minute by our clock is taken for dead."""
    step = payout.next_step

    def impatient(task: Any, live: Any, outcome: Any, closed: Any, rules: Any, now: Any) -> Any:
        found = step(task, live, outcome, closed, rules, now)
        is_old = live is not None and now - live.intent.timestamp_ms > IMPATIENCE_MS
        if is_old and isinstance(outcome, Pending):
            block = live.intent.reference
            return Bury("not seen", Absent(block, ("clock",)), False)
        return found

    yield patch.object(signer, "next_step", impatient)


def two_live_attempts() -> Patches:
    """No index forbids a second live attempt, and nobody looks whether there is one."""
    yield patch.object(gates, "_CANDIDATES", gates._CANDIDATES.replace("'live', 'confirmed'", "'confirmed'"))
    yield patch.object(attempts, "_is_meant", lambda *_: True)
    yield WITHOUT_INDEX


def head_instead_of_solid() -> Patches:
    """The newest blocks are read as if they were final."""
    ask = TronNodes._ask

    async def eager(self: Any, name: str, path: str, body: Any, read: Any) -> Any:
        return await ask(self, name, path.replace("walletsolidity/", "wallet/"), body, read)

    yield patch.object(TronNodes, "_ask", eager)


def symbol_instead_of_contract() -> Patches:
    """A token is what it calls itself."""
    make = WatchList.of.__func__  # type: ignore[attr-defined]

    class ByName(dict):  # type: ignore[type-arg]
        def get(self, key: Any, default: Any = None) -> Any:
            return super().get(key) or next((each for each in self.values() if each.symbol == "USDT"), default)

    def trusting(cls: Any, *given: Any) -> Any:
        listed = make(cls, *given)
        return msgspec.structs.replace(listed, assets=ByName(listed.assets))

    yield patch.object(WatchList, "of", classmethod(trusting))


def approved_by_initiator() -> Patches:
    """Who asks for a payout may approve it."""
    valid = approval.valid_approvers

    def lenient(given: Any, wanted: Any, approvers: Any, initiator: str) -> Any:
        return valid(given, wanted, approvers, "")

    yield patch.object(approval, "valid_approvers", lenient)
    yield patch.object(decisions, "refuse_approver", lambda *_: None)


def cap_only_at_creation() -> Patches:
    """The cap is looked at when the payout is made, and never again."""
    held = payout.held_back_by

    def forgetful(units: int, closed: Any) -> Any:
        return held(min(units, closed.cap_units), closed)

    yield patch.object(payout, "held_back_by", forgetful)
    yield patch.object(attempts, "held_back_by", forgetful)


def event_outside_the_transaction() -> Patches:
    """What has happened is told by itself after the commit: a crash in between, and nobody is told."""
    tell, write = attempts.tell, signer.PayoutSigner._write
    waiting: list[tuple[str, Any]] = []

    async def remember(connection: Any, topic: str, facts: Any) -> None:
        waiting.append((topic, facts))

    async def told_afterwards(self: Any, work: Any, crash_point: str = "") -> Any:
        waiting.clear()
        done = await write(self, work, crash_point)
        self._crash_point("tell.before")
        late = list(waiting)
        if late:
            async with self._database.transaction() as connection:
                for topic, facts in late:
                    await tell(connection, topic, facts)
        return done

    yield patch.object(endings, "tell", remember)
    yield patch.object(signer.PayoutSigner, "_write", told_afterwards)


def same_timestamp() -> Patches:
    """All transfers of a batch carry one timestamp; two that are alike in everything else are one transaction."""
    intend = signer.PayoutSigner._intend

    def careless(self: Any, candidate: Any, preflight: Any, reference: Any, timestamp_ms: int) -> Any:
        return intend(self, candidate, preflight, reference, reference.time_ms)

    yield patch.object(signer.PayoutSigner, "_intend", careless)


def receipt_ignored() -> Patches:
    """Included is taken for paid."""

    def believing(intent: Any, outcome: Any) -> Any:
        if isinstance(outcome, Included):
            return Confirm(outcome)
        return real(intent, outcome)

    real: Callable[[Any, Any], Any] = payout.verdict
    yield patch.object(payout, "verdict", believing)


def failed_on_timeout() -> Patches:
    """A broadcast that nobody answers has failed, and the payout with it."""
    broadcast = signer.PayoutSigner._hand_over

    async def despairing(self: Any, waits: Any, **how: Any) -> Any:
        chain = self._chain
        given: list[Any] = []

        class Listening:
            def __getattr__(self, name: str) -> Any:
                return getattr(chain, name)

            async def broadcast(self, signed: Any) -> Any:
                answers = await chain.broadcast(signed)
                given.extend(one.tx_id for one, said in zip(signed, answers, strict=True) if said == "silent")
                return answers

        self._chain = Listening()
        try:
            done = await broadcast(self, waits, **how)
        finally:
            self._chain = chain
        if given:
            async with self._database.transaction() as connection:
                await connection.execute(
                    "UPDATE payout_task SET state = 'failed' FROM payout_attempt AS attempt "
                    "WHERE attempt.task_id = payout_task.id AND attempt.tx_id = ANY ($1)",
                    given,
                )
                await connection.execute(
                    "UPDATE payout_attempt SET status = 'dead', ended_at_ms = 1 WHERE tx_id = ANY ($1)", given
                )
        return done

    yield patch.object(signer.PayoutSigner, "_hand_over", despairing)


def hash_without_payload() -> Patches:
    """An approval is bound to the payout's name, not to what is paid to whom."""

    def thin(fields: Any) -> bytes:
        return hashlib.sha256(fields.id.encode()).digest()

    for module in (approval, gates, payout_rows, decisions):
        yield patch.object(module, "fields_hash", thin)


WITHOUT_INDEX = "DROP INDEX payout_attempt_one_live; DROP INDEX payout_attempt_one_paid"
PLANTED: dict[str, Callable[[], Patches]] = {
    each.__name__: each
    for each in (
        broadcast_before_save,
        re_sign_by_the_clock,
        two_live_attempts,
        head_instead_of_solid,
        symbol_instead_of_contract,
        approved_by_initiator,
        cap_only_at_creation,
        event_outside_the_transaction,
        same_timestamp,
        receipt_ignored,
        failed_on_timeout,
        hash_without_payload,
    )
}


@contextmanager
def planted(name: str) -> Iterator[str]:
    """Run with a bug; give the SQL that it does to the database first, "" for none."""
    sql = ""
    with ExitStack() as stack:
        for each in PLANTED[name]():
            if isinstance(each, str):
                sql += each
            else:
                stack.enter_context(each)
        yield sql
