"""Books that differ from their chain: what comparisons say, and the door to book what no block will explain."""

from actors.account_desk import word_of
from api.club import Club, answered
from api.club_correction_resources import (
    BreakView,
    ComparisonList,
    ComparisonView,
    CorrectionList,
    CorrectionView,
    ProposeCorrection,
)
from api.club_resources import ActingQuery
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.ids import CorrectionId, HotWalletId
from engine.payments.corrections import Correction, NewCorrection
from engine.payments.reconcile import never_right
from storage.reconciliation import ReconciledRow, Reconciliation

routes = Routes("Club")


@routes.get("/api/v1/club/comparisons", access=Access.OPERATOR, problems=(503,))
async def list_comparisons(services: Services) -> ComparisonList:
    """List what the newest comparison of books and chain says of every asset at every address."""
    club = services.club
    rows = [
        row
        for plan in club.desk.plan.networks
        for row in await Reconciliation(club.database, plan.network).newest()
    ]
    return ComparisonList([await _to_comparison(club, row) for row in rows])


@routes.get("/api/v1/club/corrections", access=Access.OPERATOR, problems=(503,))
async def list_corrections(services: Services) -> CorrectionList:
    """List what was booked, or is proposed to be booked, because no block explains it, newest first."""
    club = services.club
    return CorrectionList([await _to_correction(club, row) for row in await club.corrections.newest()])


@routes.post(
    "/api/v1/club/corrections", status=201, access=Access.OPERATOR, problems=(400, 403, 409, 415, 422, 503)
)
async def propose_correction(
    services: Services, principal: Principal, query: ActingQuery, body: ProposeCorrection, command_id: str
) -> CorrectionView:
    """Propose to book a difference that the newest comparison names. Nothing is booked before another agrees."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    asset = await club.asset(body.token)
    new = NewCorrection(
        id=CorrectionId(f"bc_{word_of(command.actor, command.id)}"),
        kind=body.kind,
        hot_wallet_id=HotWalletId(body.hot_wallet),
        token=asset.id,
        tx_hash=body.transaction,
        amount_token=await club.to_units(asset.id, body.amount),
        reason=body.reason,
    )
    return await _to_correction(club, answered(await club.corrections.propose(new, command), Correction))


@routes.post(
    "/api/v1/club/corrections/{correction}/confirm",
    access=Access.OPERATOR,
    problems=(400, 403, 404, 409, 422, 503),
)
async def confirm_correction(
    services: Services, principal: Principal, correction: str, query: ActingQuery, command_id: str
) -> CorrectionView:
    """Agree with another operator's proposal: it is booked now, if books and chain still differ by as much."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    booked = await club.corrections.confirm(CorrectionId(correction), command)
    return await _to_correction(club, answered(booked, Correction))


async def _to_comparison(club: Club, row: ReconciledRow) -> ComparisonView:
    return ComparisonView(
        hot_wallet=row.hot_wallet_id,
        token=row.token,
        block=row.block_number,
        books=await club.to_coins(row.token, row.ledger_units),
        chain=await club.to_coins(row.token, row.chain_units),
        unexplained=await club.to_coins(row.token, row.unexplained_units),
        breaks=[
            BreakView(each.why, each.reference, await club.to_coins(row.token, each.units))
            for each in never_right(row.explained)
        ],
        at_ms=row.at_ms,
    )


async def _to_correction(club: Club, row: Correction) -> CorrectionView:
    return CorrectionView(
        id=row.id,
        kind=row.kind,
        hot_wallet=row.hot_wallet_id,
        token=row.token,
        transaction=row.tx_hash,
        amount=await club.to_coins(row.token, row.amount_token),
        reason=row.reason,
        proposed_by=row.proposed_by,
        proposed_ms=row.proposed_at_ms,
        confirmed_by=row.confirmed_by or "",
        confirmed_ms=row.confirmed_at_ms,
    )
