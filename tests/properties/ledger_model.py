"""What the ledger promises, in a hundred lines of plain Python: transfers posted one after another, no database.

Slow and obvious on purpose. It shares the words of the engine with what it judges, and none of its arithmetic.
"""

from copy import deepcopy

from engine.ledger.accounts import Account, Normal
from engine.ledger.postings import Phase, Posting, Transfer


class Refused(Exception):
    """The answer is no, for this reason."""


class LedgerModel:
    """Balances, what is held, and what has been said, by id."""

    def __init__(self) -> None:
        self.balance: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.said: dict[str, Transfer] = {}
        self.moved: dict[str, int] = {}
        self.ended_by: dict[str, Transfer] = {}

    def post(self, transfers: list[Transfer]) -> list[Posting]:
        """Post a batch: groups where their first transfer stands, everything else where it stands."""
        answers: dict[int, Posting] = {}
        for place, transfer in enumerate(transfers):
            if place in answers:
                continue
            members = [place]
            if transfer.group:
                members = [other for other, each in enumerate(transfers) if each.group == transfer.group]
            answers |= self._together({member: transfers[member] for member in members})
        return [answers[place] for place in range(len(transfers))]

    def _together(self, members: dict[int, Transfer]) -> dict[int, Posting]:
        before = deepcopy(self.__dict__)
        answers: dict[int, Posting] = {}
        for place, transfer in members.items():
            try:
                answers[place] = self._one(transfer)
            except Refused as no:
                self.__dict__.update(before)
                known = {other for other, each in members.items() if self._is_known(each)}
                return {other: Posting.EXISTS if other in known else Posting.GROUP_FAILED for other in members} | {
                    place: no.args[0]
                }
        return answers

    def _is_known(self, transfer: Transfer) -> bool:
        return transfer.id in self.said and self._same(self.said[transfer.id], transfer)

    def _one(self, transfer: Transfer) -> Posting:
        if transfer.id in self.said:
            if self._same(self.said[transfer.id], transfer):
                return Posting.EXISTS
            raise Refused(Posting.ALREADY_EXISTS_DIFFERENTLY)
        if transfer.resolves is None:
            self._new(transfer)
        else:
            self._resolve(transfer, self.said.get(transfer.resolves))
        self.said[transfer.id] = transfer
        return Posting.OK

    def _new(self, transfer: Transfer) -> None:
        if transfer.units <= 0:
            raise Refused(Posting.NOT_POSITIVE)
        if transfer.debit.code == transfer.credit.code:
            raise Refused(Posting.SAME_ACCOUNT)
        if transfer.debit.asset != transfer.credit.asset:
            raise Refused(Posting.DIFFERENT_ASSETS)
        for account in self._losing(transfer):
            left = self.balance.get(account.code, 0) - self.held.get(account.code, 0) - transfer.units
            if account.floor is not None and left < account.floor:
                raise Refused(Posting.INSUFFICIENT)
        self.moved[transfer.id] = transfer.units
        if transfer.phase is Phase.POSTED:
            self._move(transfer, transfer.units)
        else:
            self._hold(transfer, transfer.units)

    def _resolve(self, transfer: Transfer, hold: Transfer | None) -> None:
        if hold is None or hold.phase is not Phase.PENDING:
            raise Refused(Posting.NO_SUCH_HOLD)
        if (hold.debit.code, hold.credit.code) != (transfer.debit.code, transfer.credit.code):
            raise Refused(Posting.NO_SUCH_HOLD)
        if hold.id in self.ended_by:
            raise Refused(
                {
                    Phase.POST: Posting.HOLD_ALREADY_POSTED,
                    Phase.VOID: Posting.HOLD_ALREADY_VOIDED,
                    Phase.EXPIRE: Posting.HOLD_EXPIRED,
                }[self.ended_by[hold.id].phase]
            )
        is_over = hold.expires_at_ms is not None and hold.expires_at_ms <= transfer.at_ms
        if transfer.phase is Phase.EXPIRE and not is_over:
            raise Refused(Posting.HOLD_NOT_EXPIRED)
        if transfer.phase is not Phase.EXPIRE and is_over:
            raise Refused(Posting.HOLD_EXPIRED)
        units = transfer.units or hold.units if transfer.phase is Phase.POST else hold.units
        if units < 0:
            raise Refused(Posting.NOT_POSITIVE)
        if units > hold.units:
            raise Refused(Posting.EXCEEDS_HOLD)
        self._hold(transfer, -hold.units)
        if transfer.phase is Phase.POST:
            self._move(transfer, units)
        self.moved[transfer.id] = units
        self.ended_by[hold.id] = transfer

    def _move(self, transfer: Transfer, units: int) -> None:
        for account, grows in self._sides(transfer):
            self.balance[account.code] = self.balance.get(account.code, 0) + (units if grows else -units)

    def _hold(self, transfer: Transfer, units: int) -> None:
        for account in self._losing(transfer):
            self.held[account.code] = self.held.get(account.code, 0) + units

    def _losing(self, transfer: Transfer) -> list[Account]:
        return [account for account, grows in self._sides(transfer) if not grows]

    def _sides(self, transfer: Transfer) -> list[tuple[Account, bool]]:
        return [
            (transfer.debit, transfer.debit.normal is Normal.DEBIT),
            (transfer.credit, transfer.credit.normal is Normal.CREDIT),
        ]

    def _same(self, old: Transfer, new: Transfer) -> bool:
        def content(each: Transfer) -> tuple[object, ...]:
            return each.kind, each.debit.code, each.credit.code, each.reference, each.phase, each.resolves

        def units(each: Transfer) -> int:
            if each.phase is Phase.POST and each.units == 0:
                assert each.resolves is not None
                return self.said[each.resolves].units if each.resolves in self.said else 0
            return each.units if each.phase not in (Phase.VOID, Phase.EXPIRE) else 0

        return content(old) == content(new) and units(old) == units(new) and old.expires_at_ms == new.expires_at_ms
