"""Payouts and their approvals, what arrived, and a company's money at the platform."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial

from actors.account_desk import word_of
from api.club import Club, answered
from api.club_money_resources import (
    AccountTable,
    AccountView,
    Approved,
    ApprovePayout,
    EntryView,
    GiveToDeal,
    GiveUpPayout,
    IncomingList,
    IncomingView,
    Moved,
    MoveDeposit,
    PayoutList,
    PayoutView,
    RedirectPayout,
    Refund,
    Resolved,
    Statement,
    TaskView,
    Withdraw,
)
from api.club_resources import (
    ActingQuery,
    ClubPageQuery,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.errors import Refusal
from engine.ids import CompanyId, DealId, PayoutId, WalletId
from engine.ledger.accounts import AccountCode
from engine.money import AssetId, coins
from engine.payments.approval import PayoutFields, fields_hash
from engine.payments.incoming import IncomingId
from engine.settlement.companies import Role
from storage.club_commands import Command
from storage.incoming import IncomingRow
from storage.ledger import Entry
from storage.payouts import PayoutRow

routes = Routes("Club")

TREASURERS = frozenset({Role.ADMIN, Role.APPROVER})


# ---------------------------------------------------------------------- payouts


@routes.get("/api/v1/club/payouts", problems=(400, 403, 422, 503))
async def list_payouts(services: Services, principal: Principal, query: ClubPageQuery) -> PayoutList:
    """List the payouts that a company pays or is paid by, newest first; an operator may leave the company out."""
    club = services.club
    company = club.one_company(await club.acting(principal), query.company)
    page = await club.payouts.page(company=company, cursor=query.cursor, limit=query.limit)
    return PayoutList([await _to_payout(club, row) for row in page.items], page.next_cursor)


@routes.get("/api/v1/club/payouts/{payout}", problems=(400, 403, 404, 503))
async def show_payout(services: Services, payout: str) -> PayoutView:
    """Show a payout, its transfers and what they wait for."""
    club = services.club
    return await _to_payout(club, await _payout(club, payout))


@routes.post("/api/v1/club/payouts/{payout}/approve", problems=(400, 403, 404, 409, 415, 422, 503))
async def approve_payout(
    services: Services, principal: Principal, payout: str, query: ActingQuery, body: ApprovePayout, command_id: str
) -> Approved:
    """Say yes to a payout with exactly these fields, also before its money has come. APPROVERs only."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    asset = await club.asset(body.token)
    fields = PayoutFields(
        PayoutId(payout), asset.network, asset.id, await club.to_units(asset.id, body.amount), body.to_address
    )
    answered(await club.decisions.approve(fields, CompanyId(body.company), command), type(None))
    return Approved(payout, command.actor, fields_hash(fields).hex())


@routes.post("/api/v1/club/payouts/{payout}/redirect", problems=(400, 403, 404, 409, 415, 422, 503))
async def redirect_payout(
    services: Services,
    principal: Principal,
    payout: str,
    query: ActingQuery,
    body: RedirectPayout,
    command_id: str,
) -> PayoutView:
    """Pay to another address of the payee. Approvals that were given are void."""
    club = services.club
    await _payout(club, payout)
    _, command = await club.command(principal, command_id, query.member)
    answered(await club.decisions.redirect(PayoutId(payout), WalletId(body.wallet), command), type(None))
    return await _to_payout(club, await _payout(club, payout))


@routes.post("/api/v1/club/payouts/{payout}/give-up", problems=(400, 403, 404, 409, 415, 422, 503))
async def give_up_payout(
    services: Services, principal: Principal, payout: str, query: ActingQuery, body: GiveUpPayout, command_id: str
) -> PayoutView:
    """Decide that what is not paid of a payout will not be. Refused while signed bytes may still pay."""
    club = services.club
    await _payout(club, payout)
    _, command = await club.command(principal, command_id, query.member)
    answered(await club.decisions.give_up(PayoutId(payout), body.reason, command), type(None))
    return await _to_payout(club, await _payout(club, payout))


@routes.post("/api/v1/club/payouts/{payout}/retry", problems=(400, 403, 404, 409, 422, 503))
async def retry_payout(
    services: Services, principal: Principal, payout: str, query: ActingQuery, command_id: str
) -> PayoutView:
    """Allow new attempts after several that the chain has included and refused."""
    club = services.club
    await _payout(club, payout)
    _, command = await club.command(principal, command_id, query.member)
    answered(await club.decisions.try_again(PayoutId(payout), command), type(None))
    return await _to_payout(club, await _payout(club, payout))


@routes.post("/api/v1/club/withdrawals", status=201, problems=(400, 403, 404, 409, 415, 422, 503))
async def withdraw(
    services: Services, principal: Principal, query: ActingQuery, body: Withdraw, command_id: str
) -> PayoutView:
    """Ask for a payout of free funds to an address of the company's own allow-list. It needs its approvals."""
    club = services.club
    acting, command = await club.command(principal, command_id, query.member)
    acting.require(CompanyId(body.company), TREASURERS)
    asset = await club.asset(body.token)
    units = await club.to_units(asset.id, body.amount)
    word = word_of(command.actor, command.id)
    payout = await club.withdraw(CompanyId(body.company), asset, units, WalletId(body.wallet), word, command)
    return await _to_payout(club, answered(payout, PayoutRow))


# ---------------------------------------------------------------------- what arrived


@routes.get("/api/v1/club/incoming", problems=(400, 403, 422, 503))
async def list_incoming(services: Services, principal: Principal, query: ClubPageQuery) -> IncomingList:
    """List what arrived at a company's addresses, newest first, each with what was made of it."""
    club = services.club
    company = club.one_company(await club.acting(principal), query.company)
    page = await club.incoming.page(company=company, cursor=query.cursor, limit=query.limit)
    return IncomingList([await _to_incoming(club, row) for row in page.items], page.next_cursor)


@routes.post(
    "/api/v1/club/incoming/{incoming}/to-funds", access=Access.OPERATOR, problems=(400, 404, 409, 422, 503)
)
async def give_to_funds(services: Services, principal: Principal, incoming: str, command_id: str) -> IncomingView:
    """Make a suspended transfer the free funds of the company at whose address it arrived."""
    club = services.club
    _, command = await club.command(principal, command_id)
    row = await club.suspense.to_funds(IncomingId(incoming), command)
    return await _to_incoming(club, answered(row, IncomingRow))


@routes.post("/api/v1/club/incoming/to-deal", access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503))
async def give_to_deal(services: Services, principal: Principal, body: GiveToDeal, command_id: str) -> Resolved:
    """Give suspended transfers to the deal that they were meant for; its payout follows."""
    club = services.club
    _, command = await club.command(principal, command_id)
    given = [IncomingId(each) for each in body.incoming]
    return Resolved(answered(await club.suspense.to_deal(given, DealId(body.deal), command), str))


@routes.post(
    "/api/v1/club/incoming/{incoming}/refund", access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503)
)
async def refund_incoming(
    services: Services, principal: Principal, incoming: str, body: Refund, command_id: str
) -> Resolved:
    """Send a suspended transfer back, to an address of the company's own allow-list. It needs its approvals."""
    club = services.club
    _, command = await club.command(principal, command_id)
    return Resolved(
        answered(await club.suspense.refund(IncomingId(incoming), WalletId(body.wallet), command), str)
    )


# ---------------------------------------------------------------------- deposits


@routes.post("/api/v1/club/deposits/fund", status=201, problems=(400, 403, 404, 409, 415, 422, 503))
async def fund_deposit(
    services: Services, principal: Principal, query: ActingQuery, body: MoveDeposit, command_id: str
) -> Moved:
    """Make collateral of a company's free funds."""
    acting = await services.club.acting(principal, query.member)
    acting.require(CompanyId(body.company), TREASURERS)
    return await _move(services.club, principal, body, command_id, services.club.deposits.fund, query.member)


@routes.post(
    "/api/v1/club/deposits/hold", status=201, access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503)
)
async def hold_deposit(services: Services, principal: Principal, body: MoveDeposit, command_id: str) -> Moved:
    """Hold a part of a deposit for a case: it gives no limit until it is released."""
    hold = partial(services.club.deposits.hold_open, until_ms=body.until_ms)
    return await _move(services.club, principal, body, command_id, hold)


@routes.post("/api/v1/club/deposits/release", access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503))
async def release_deposit(services: Services, principal: Principal, body: MoveDeposit, command_id: str) -> Moved:
    """Let a hold go, whole."""

    async def release(company: CompanyId, asset: AssetId, _units: int, command: Command) -> Refusal | str:
        return await services.club.deposits.hold_release(company, asset, command, hold=body.hold)

    return await _move(services.club, principal, body, command_id, release)


@routes.post("/api/v1/club/deposits/penalty", access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503))
async def penalise_deposit(services: Services, principal: Principal, body: MoveDeposit, command_id: str) -> Moved:
    """Take what a hold holds, or a part of it; the rest is free again."""
    penalty = partial(services.club.deposits.penalty, hold=body.hold)
    return await _move(services.club, principal, body, command_id, penalty)


@routes.post("/api/v1/club/deposits/adjust", access=Access.OPERATOR, problems=(400, 404, 409, 415, 422, 503))
async def adjust_deposit(services: Services, principal: Principal, body: MoveDeposit, command_id: str) -> Moved:
    """Correct a deposit by hand, up or down, against what the operator has put in."""
    return await _move(services.club, principal, body, command_id, services.club.deposits.adjust)


async def _move(
    club: Club,
    principal: Principal,
    body: MoveDeposit,
    command_id: str,
    movement: Callable[[CompanyId, AssetId, int, Command], Awaitable[Refusal | str]],
    member: str = "",
) -> Moved:
    _, command = await club.command(principal, command_id, member)
    company = CompanyId(body.company)
    units = await club.to_units(body.token, body.amount)
    reference = answered(await movement(company, AssetId(body.token), units, command), str)
    return Moved(reference, await club.balances(company))


# ---------------------------------------------------------------------- the ledger


@routes.get("/api/v1/club/ledger/accounts", access=Access.OPERATOR, problems=(400, 503))
async def list_ledger_accounts(services: Services) -> AccountTable:
    """List every account of the ledger: the trial balance."""
    rows = await services.club.ledger.accounts()
    club = services.club
    return AccountTable(
        [
            AccountView(
                row.code,
                row.asset,
                row.normal,
                await club.to_coins(row.asset, row.balance),
                await club.to_coins(row.asset, row.held),
            )
            for row in rows
        ]
    )


@routes.get("/api/v1/club/ledger/statements/{ledger_account}", access=Access.OPERATOR, problems=(400, 404, 503))
async def show_statement(services: Services, ledger_account: str, query: ClubPageQuery) -> Statement:
    """List an account's entries, newest first."""
    club = services.club
    page = await club.ledger.statement(AccountCode(ledger_account), cursor=query.cursor, limit=query.limit)
    return Statement([await _to_entry(club, row) for row in page.items], page.next_cursor)


@routes.get("/api/v1/club/ledger/about/{reference}", access=Access.OPERATOR, problems=(400, 404, 503))
async def show_entries(services: Services, reference: str) -> Statement:
    """List the entries about one thing, oldest first: a deal, a payout's transfer, an incoming transfer."""
    club = services.club
    return Statement([await _to_entry(club, row) for row in await club.ledger.about(reference)])


# ---------------------------------------------------------------------- how they look


async def _payout(club: Club, payout: str) -> PayoutRow:
    row = await club.payouts.get(PayoutId(payout))
    if row is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no payout {payout}")
    return row


async def _to_payout(club: Club, row: PayoutRow) -> PayoutView:
    asset = await club.asset(row.token)
    return PayoutView(
        id=row.id,
        company=row.company_id,
        payee=row.payee_id,
        purpose=row.purpose,
        purpose_id=row.purpose_id,
        network=row.network,
        token=row.token,
        amount=coins(asset, row.amount_token),
        to_address=row.to_address,
        state=row.state,
        approvals_needed=row.approvals,
        approved_by=list(row.approved_by),
        initiator=row.initiator,
        created_ms=row.created_at_ms,
        tasks=[
            TaskView(
                id=task.id,
                part=task.part,
                amount=coins(asset, task.amount_token),
                state=task.state,
                waits_for=task.waits_for,
                attempts=task.attempts,
                tx=task.tx_hash or "",
                confirmed_ms=task.confirmed_at_ms,
            )
            for task in row.tasks
        ],
    )


async def _to_incoming(club: Club, row: IncomingRow) -> IncomingView:
    amount = Decimal(row.amount_token) if row.token is None else await club.to_coins(row.token, row.amount_token)
    return IncomingView(
        id=row.id,
        network=row.network,
        tx=row.tx_hash,
        company=row.company_id,
        token=row.token or "",
        contract=row.contract,
        amount=amount,
        from_address=row.from_address,
        block=row.block_number,
        status=row.status,
        reason=row.reason,
        place=row.place,
        matched_to=row.matched_to,
        at_ms=row.block_time_ms,
        resolved_by=row.resolved_by,
    )


async def _to_entry(club: Club, row: Entry) -> EntryView:
    return EntryView(
        seq=row.seq,
        id=row.id,
        kind=row.kind,
        debit=row.debit,
        credit=row.credit,
        asset=row.asset,
        amount=await club.to_coins(row.asset, row.units),
        reference=row.reference,
        phase=row.phase,
        at_ms=row.at_ms,
    )
