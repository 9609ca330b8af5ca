"""Trust pairs and their days: agreed on, consented to, enabled, closed by hand; what a close would do."""

from decimal import Decimal

from actors.account_desk import word_of
from api.club import Acting, Club, answered
from api.club_money_resources import (
    AgreePair,
    CloseSessions,
    CloseView,
    ConsentToPair,
    ConsentView,
    NetView,
    PairList,
    PairView,
    SessionList,
    SessionView,
    SettlementView,
)
from api.club_resources import (
    ActingQuery,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.ids import CompanyId, PairId, TrustSessionId
from engine.money import USD_DECIMALS, UsdMicros, usd
from engine.settlement.trust_pairs import Consent, PairTerms, Session, TrustPair
from storage.settlements import CloseReport, SettlementRow

routes = Routes("Club")


@routes.get("/api/v1/club/pairs", problems=(400, 403, 503))
async def list_pairs(services: Services, principal: Principal, query: ActingQuery) -> PairList:
    """List the trust pairs of one's companies; an operator sees all."""
    acting = await services.club.acting(principal, query.member)
    pairs = await services.club.pairs.all()
    return PairList(await _to_pairs(services.club, [pair for pair in pairs if acting.sees(*pair.companies)]))


@routes.post("/api/v1/club/pairs", status=201, access=Access.OPERATOR, problems=(400, 409, 415, 422, 503))
async def agree_pair(services: Services, principal: Principal, body: AgreePair, command_id: str) -> PairView:
    """Write down what two companies have agreed on. A pair nets nothing until both consent and it is enabled."""
    club = services.club
    _, command = await club.command(principal, command_id)
    first, second = sorted(CompanyId(each) for each in body.companies)
    pair = TrustPair(
        id=PairId(f"tp_{word_of(first, second)}"),
        a_company_id=first,
        b_company_id=second,
        daily_limit_usd=_to_micros(body.daily_limit_usd),
        cutoff_local=body.cutoff,
        tz=body.tz,
        reserve_pct=body.reserve_pct,
        automatic_eod=body.automatic_eod,
        created_at_ms=command.at_ms,
    )
    return await _to_pair(club, answered(await club.pairs.agree(pair, command), TrustPair))


@routes.post("/api/v1/club/pairs/{pair}/consent", problems=(400, 403, 404, 409, 415, 422, 503))
async def consent_to_pair(
    services: Services, principal: Principal, pair: str, query: ActingQuery, body: ConsentToPair, command_id: str
) -> PairView:
    """Say yes to a pair's terms, as an ADMIN of one of its companies. Other terms need another yes."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    known = await _pair(club, pair)
    terms = PairTerms(
        known.id,
        *known.companies,
        daily_limit_usd=_to_micros(body.daily_limit_usd),
        cutoff_local=body.cutoff,
        tz=body.tz,
        reserve_pct=body.reserve_pct,
        automatic_eod=body.automatic_eod,
    )
    return await _to_pair(club, answered(await club.pairs.consent(terms, command), TrustPair))


@routes.post("/api/v1/club/pairs/{pair}/enable", access=Access.OPERATOR, problems=(400, 404, 409, 422, 503))
async def enable_pair(services: Services, principal: Principal, pair: str, command_id: str) -> PairView:
    """Let a pair net its days: a part of its daily limit is reserved from both deposits."""
    club = services.club
    _, command = await club.command(principal, command_id)
    known = await _pair(club, pair)
    return await _to_pair(club, answered(await club.pairs.enable(known.id, command), TrustPair))


@routes.post("/api/v1/club/pairs/{pair}/disable", access=Access.OPERATOR, problems=(400, 404, 409, 422, 503))
async def disable_pair(services: Services, principal: Principal, pair: str, command_id: str) -> PairView:
    """Stop new netting deals at once. The reserve goes back when neither side owes anything any more."""
    club = services.club
    _, command = await club.command(principal, command_id)
    known = await _pair(club, pair)
    return await _to_pair(club, answered(await club.pairs.disable(known.id, command), TrustPair))


@routes.get("/api/v1/club/sessions", problems=(400, 403, 503))
async def list_trust_sessions(services: Services, principal: Principal, query: ActingQuery) -> SessionList:
    """List the open days of one's pairs, with what each would net to now."""
    club = services.club
    acting = await club.acting(principal, query.member)
    seen = {pair.id for pair in await club.pairs.all() if acting.sees(*pair.companies)}
    sessions = await club.sessions.open_ones()
    return SessionList([await _to_session(club, each) for each in sessions if each.pair_id in seen])


@routes.post("/api/v1/club/sessions/close", problems=(400, 403, 404, 409, 415, 422, 503))
async def close_sessions(
    services: Services, principal: Principal, query: ActingQuery, body: CloseSessions, command_id: str
) -> CloseView:
    """Close days by hand, or say what closing them would do."""
    club = services.club
    acting, command = await club.command(principal, command_id, query.member)
    ids = [TrustSessionId(each) for each in body.sessions]
    for each in ids:
        await _require_side(club, acting, each)
    if body.dry_run:
        report = await club.settlements.dry_run(ids, command.at_ms, command.actor)
    else:
        report = await club.settlements.close(ids, command)
    done = answered(report, CloseReport)
    settlements = [await _to_settlement(club, row) for row in done.settlements]
    return CloseView(body.dry_run, list(done.sessions), settlements)


async def _require_side(club: Club, acting: Acting, session: TrustSessionId) -> None:
    row = await club.sessions.get(session)
    pair = None if row is None else await club.pairs.get(row.pair_id)
    if pair is None or not acting.sees(*pair.companies):
        raise ApiProblem(Kind.NOT_FOUND, f"there is no session {session}")


async def _pair(club: Club, pair: str) -> TrustPair:
    known = await club.pairs.get(PairId(pair))
    if known is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no pair {pair}")
    return known


def _to_micros(dollars: Decimal) -> UsdMicros:
    return UsdMicros(int(dollars.scaleb(USD_DECIMALS)))


# ---------------------------------------------------------------------- how they look


async def _to_pair(club: Club, row: TrustPair) -> PairView:
    (shown,) = await _to_pairs(club, [row])
    return shown


async def _to_pairs(club: Club, rows: list[TrustPair]) -> list[PairView]:
    consents = await club.pairs.consents(rows)
    return [_with_consents(row, [each for each in consents if each.pair_id == row.id]) for row in rows]


def _with_consents(row: TrustPair, consents: list[Consent]) -> PairView:
    return PairView(
        id=row.id,
        companies=list(row.companies),
        daily_limit_usd=usd(row.daily_limit_usd),
        cutoff=row.cutoff_local,
        tz=row.tz,
        reserve_pct=row.reserve_pct,
        enabled=row.enabled,
        automatic_eod=row.automatic_eod,
        consents=[ConsentView(each.company_id, each.member_id, each.at_ms) for each in consents],
    )


async def _to_session(club: Club, row: Session) -> SessionView:
    nets = await club.settlements.net_now(row.id)
    return SessionView(
        id=row.id,
        pair=row.pair_id,
        date=row.session_date,
        opens_ms=row.opens_at_ms,
        cutoff_ms=row.cutoff_at_ms,
        status=row.status,
        closed_ms=row.closed_at_ms,
        net_now=[
            NetView(
                net.asset,
                net.payer,
                net.payee,
                await club.to_coins(net.asset, net.units),
                await club.to_coins(net.asset, net.carried_in),
            )
            for net in nets
        ],
    )


async def _to_settlement(club: Club, row: SettlementRow) -> SettlementView:
    return SettlementView(
        id=row.id,
        session=row.session_id,
        payer=row.payer_company_id,
        payee=row.payee_company_id,
        token=row.token,
        net=await club.to_coins(row.token, row.net_token),
        amount=await club.to_coins(row.token, row.amount_token),
        carried=await club.to_coins(row.token, row.carried_token),
        carried_because=row.carried_because,
        status=row.status,
        payout=row.payout_id or "",
        tx=row.tx_hash or "",
    )
