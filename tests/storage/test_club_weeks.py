"""Random weeks of a club in a real database: everybody trades, pays, is short, and the books always hold.

The model is a dictionary of who owes whom. It knows nothing of sessions, clearing or payouts.
"""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from actors.trust_session import TrustSession, session_lease
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PairId, SettlementId, TrustSessionId
from engine.ledger import accounts
from engine.settlement.deals import DealStatus, Mode
from engine.settlement.offers import Side
from engine.settlement.tiers import Tier
from storage import trust_sessions
from storage.database import Database
from storage.invariants import check
from storage.invariants.sessions import SESSIONS
from storage.invariants.trust import TRUST
from storage.leases import Leases
from tests.club import DAY, DOLLAR, HOUR, USDC, USDT, Club, command

STEPS = 40


class Weeks:
    """One life of a club under one seed."""

    def __init__(self, database: Database, seed: int) -> None:
        self.club = Club(database)
        self.dice = random.Random(seed)
        self.companies: list[CompanyId] = []
        self.pairs: list[PairId] = []
        self.owed: defaultdict[tuple[CompanyId, CompanyId, str], int] = defaultdict(int)
        """In base units, signed, the smaller company first."""
        self.done: dict[str, int] = defaultdict(int)

    async def begin(self) -> None:
        self.companies = [await self.club.company(tier, deposit=20_000) for tier in (Tier.S, Tier.M, Tier.L)]
        for one, other in ((0, 1), (1, 2), (0, 2)):
            limit, pct = self.dice.randrange(2_000, 20_000), self.dice.choice((0, 10, 30))
            self.pairs.append(
                await self.club.pair(self.companies[one], self.companies[other], limit=limit, reserve_pct=pct)
            )

    async def live(self) -> None:
        steps = [self.trade] * 8 + [self.fund] * 2 + [self.wait] * 3 + [self.close] * 2
        steps += [self.pay] * 3 + [self.switch, self.revoke]
        for _ in range(STEPS):
            await self.dice.choice(steps)()

    # ------------------------------------------------------------------ what happens

    async def trade(self) -> None:
        maker, taker = self.dice.sample(self.companies, 2)
        side, asset = self.dice.choice(list(Side)), self.dice.choice((USDT, USDC))
        offer = await self.club.offer(maker, self.dice.randrange(1, 3_000), side, asset)
        answer = await self.club.accept(offer, taker, Mode.NETTING)
        if isinstance(answer, Refusal):
            self.done[answer.code] += 1
        else:
            self.done["deal"] += 1
            self._owe(answer.payer_company_id, answer.payee_company_id, asset.id, answer.amount_token)

    async def fund(self) -> None:
        await self.club.funds(
            self.dice.choice(self.companies), self.dice.randrange(1, 2_000), self.dice.choice((USDT, USDC))
        )

    async def wait(self) -> None:
        self.club.now = Instant(self.club.now + self.dice.choice((HOUR, 8 * HOUR, DAY)))

    async def close(self) -> None:
        """Close what is due as an actor does; or one open day by hand, before its time."""
        async with self.club.database.transaction() as connection:
            due = await trust_sessions.due(connection, self.club.now)
            running = await trust_sessions.running(connection, self.club.now)
        if due:
            chosen = self.dice.choice(due)
            lease = await Leases(self.club.database).acquire(session_lease(chosen), "test", 60_000)
            assert lease is not None
            actor = TrustSession(self.club.database, chosen, lease, lambda: self.club.now)
            await actor.boot()
            await actor.turn()
        elif running:
            await self._close_by_hand(self.dice.choice(running))

    async def _close_by_hand(self, session: TrustSessionId) -> None:
        await self.club.open(session)
        dry = await self.club.settlements.dry_run([session], self.club.now, "operator")
        real = await self.club.settlements.close([session], command("operator", self.club.now))
        assert dry == real
        self.done["refused close" if isinstance(real, Refusal) else "close"] += 1

    async def pay(self) -> None:
        """Let one payout that is on its way be confirmed."""
        rows = await self.club.database.rows("SELECT * FROM eod_settlement WHERE status = 'queued' ORDER BY id")
        if rows:
            row = self.dice.choice(rows)
            await self.club.paid(SettlementId(row["id"]))
            self._owe(row["payer_company_id"], row["payee_company_id"], row["token"], -int(row["amount_token"]))
            self.done["paid"] += 1

    async def switch(self) -> None:
        pair = self.dice.choice(self.pairs)
        terms = await self.club.pairs.get(pair)
        assert terms is not None
        said = command("operator", self.club.now)
        answer = await (self.club.pairs.disable if terms.enabled else self.club.pairs.enable)(pair, said)
        self.done["refused switch" if isinstance(answer, Refusal) else "switch"] += 1

    async def revoke(self) -> None:
        """A company loses its address, or gets a new one."""
        company = self.dice.choice(self.companies)
        asset = self.dice.choice((USDT, USDC))
        active = await self.club.database.value(
            "SELECT id FROM wallet WHERE company_id = $1 AND token = $2 AND revoked_at_ms IS NULL",
            company,
            asset.id,
        )
        if active is None:
            number = self.dice.randrange(10**9)
            await self.club.wallet(company, asset, f"wa_{number}", self.club.now)
        else:
            await self.club.revoke(active)

    def _owe(self, payer: CompanyId, payee: CompanyId, asset: str, units: int) -> None:
        if payer < payee:
            self.owed[payer, payee, asset] += units
        else:
            self.owed[payee, payer, asset] -= units

    # ------------------------------------------------------------------ what must hold

    async def check(self) -> None:
        assert await check(self.club.database, (*TRUST, *SESSIONS)) == []
        assert await self._still_owed() == {key: units for key, units in self.owed.items() if units}
        await self._check_money()

    async def _still_owed(self) -> dict[tuple[CompanyId, CompanyId, str], int]:
        """Read from the rows who owes whom: in open sessions, on its way, and carried."""
        records = await self.club.database.rows(
            """
            SELECT payer_company_id AS payer, payee_company_id AS payee, token, amount_token AS units
            FROM deal WHERE status = 'in_session'
            UNION ALL
            SELECT payer_company_id, payee_company_id, token,
                   CASE WHEN status = 'queued' THEN amount_token ELSE 0 END
                   + CASE WHEN EXISTS (SELECT FROM eod_settlement AS later WHERE later.carried_from = owed.id)
                          THEN 0 ELSE carried_token END
            FROM eod_settlement AS owed
            """
        )
        found: defaultdict[tuple[CompanyId, CompanyId, str], int] = defaultdict(int)
        for record in records:
            payer, payee, units = record["payer"], record["payee"], int(record["units"])
            found[(min(payer, payee), max(payer, payee), record["token"])] += units if payer < payee else -units
        return {key: units for key, units in found.items() if units}

    async def _check_money(self) -> None:
        """What came in is in somebody's funds, deposit or reserve, on its way, or paid out."""
        for asset in (USDT, USDC):
            records = await self.club.database.rows(
                "SELECT split_part(code, ':', 1) AS kind, sum(balance) AS units FROM ledger_account "
                "WHERE asset = $1 GROUP BY 1",
                asset.id,
            )
            held = {record["kind"]: int(record["units"]) for record in records}
            wallets = held.pop("wallet", 0)
            assert wallets == sum(held.values())

    async def end(self) -> None:
        """Everybody pays: whatever was traded is settled, and all reserves go back."""
        for company in self.companies:
            for asset in (USDT, USDC):
                await self.club.funds(company, 1_000_000, asset)
                await self.club.wallet(company, asset, f"wa_end_{company}_{asset.symbol}", self.club.now)
        for pair in self.pairs:
            await self.club.pairs.disable(pair, command("operator", self.club.now))
        for _ in range(3):
            async with self.club.database.transaction() as connection:
                still_open = await connection.fetch(
                    "SELECT id FROM trust_session WHERE status = 'open' ORDER BY id"
                )
            for record in still_open:
                await self._close_by_hand(TrustSessionId(record["id"]))
            for pair in self.pairs:
                terms = await self.club.pairs.get(pair)
                assert terms is not None
                async with self.club.database.transaction() as connection:
                    today = await trust_sessions.current(connection, terms, self.club.now)
                await self._close_by_hand(today.id)
            self.club.now = Instant(self.club.now + DAY)
        while await self.club.database.value("SELECT count(*) FROM eod_settlement WHERE status = 'queued'"):
            await self.pay()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_club_does_its_books_hold_and_everything_ends(
    own_database: Database, tmp_path: Path, seed: int
) -> None:
    weeks = Weeks(own_database, seed)
    await weeks.begin()
    for _ in range(2):
        await weeks.live()
        await weeks.check()
    await weeks.end()
    await weeks.check()
    assert not {key for key, units in weeks.owed.items() if units}
    assert weeks.done["deal"] > 5, weeks.done
    assert weeks.done["close"] > 0, weeks.done
    left = await own_database.rows("SELECT DISTINCT status FROM deal")
    assert {row["status"] for row in left} == {DealStatus.SETTLED}
    for company in weeks.companies:
        for asset in (USDT, USDC):
            assert await weeks.club.balance(accounts.reserve(company, asset.id)) == 0
        assert await weeks.club.balance(accounts.deposit(company, USDT.id)) == 20_000 * DOLLAR
