"""Offers and deals: who would deliver what, who took it, and how far the money is."""

from actors.account_desk import word_of
from api.club import Club, answered
from api.club_resources import (
    AcceptOffer,
    ActingQuery,
    ClubPageQuery,
    DealList,
    DealView,
    MakeOffer,
    OfCompany,
    OfferList,
    OfferView,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Principal
from engine.ids import CompanyId, DealId, OfferId, WalletId
from engine.money import usd
from engine.payments.payout import payout_of_deal
from engine.settlement import deals as rules
from engine.settlement.deals import Deal, Mode
from engine.settlement.offers import NewOffer, Offer

routes = Routes("Club")


@routes.get("/api/v1/club/offers", problems=(400, 503))
async def list_offers(services: Services, query: ClubPageQuery) -> OfferList:
    """List offers, newest first. Offers are for the whole club to see."""
    company = CompanyId(query.company) if query.company else None
    page = await services.club.offers.page(company=company, cursor=query.cursor, limit=query.limit)
    return OfferList([await _to_offer(services.club, row) for row in page.items], page.next_cursor)


@routes.post("/api/v1/club/offers", status=201, problems=(400, 403, 409, 415, 422, 503))
async def make_offer(
    services: Services, principal: Principal, query: ActingQuery, body: MakeOffer, command_id: str
) -> OfferView:
    """Offer to deliver or to take a token, for a company that one trades for."""
    club = services.club
    acting, command = await club.command(principal, command_id, query.member)
    asset = await club.asset(body.token)
    new = NewOffer(
        id=OfferId(f"of_{word_of(command.actor, command.id)}"),
        company_id=CompanyId(body.company),
        side=body.side,
        network=asset.network,
        token=asset.id,
        amount_token=await club.to_units(asset.id, body.amount),
        price=body.price,
        expires_at_ms=body.expires_ms,
        created_by=acting.member,
        wallet_id=WalletId(body.wallet) if body.wallet else None,
    )
    return await _to_offer(club, answered(await club.offers.make(new, command), Offer))


@routes.post("/api/v1/club/offers/{offer}/cancel", problems=(400, 403, 404, 409, 415, 422, 503))
async def cancel_offer(
    services: Services, principal: Principal, offer: str, query: ActingQuery, body: OfCompany, command_id: str
) -> OfferView:
    """Withdraw an open offer."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    try:
        row = await club.offers.cancel(OfferId(offer), CompanyId(body.company), command)
    except KeyError:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no offer {offer}") from None
    return await _to_offer(club, answered(row, Offer))


@routes.post("/api/v1/club/offers/{offer}/accept", status=201, problems=(400, 403, 404, 409, 415, 422, 503))
async def accept_offer(
    services: Services, principal: Principal, offer: str, query: ActingQuery, body: AcceptOffer, command_id: str
) -> DealView:
    """Make a deal of an offer, within the payer's limits; a refusal says which limit and what would lift it."""
    club = services.club
    acting, command = await club.command(principal, command_id, query.member)
    asked = rules.AcceptOffer(
        deal_id=DealId(f"de_{word_of(command.actor, command.id)}"),
        offer_id=OfferId(offer),
        company_id=CompanyId(body.company),
        member_id=acting.member,
        mode=body.mode,
        wallet_id=WalletId(body.wallet) if body.wallet else None,
    )
    try:
        deal = await club.deals.accept(asked, command)
    except KeyError as error:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no {error.args[0]}") from None
    return await _to_deal(club, answered(deal, Deal))


@routes.get("/api/v1/club/deals", problems=(400, 403, 422, 503))
async def list_deals(services: Services, principal: Principal, query: ClubPageQuery) -> DealList:
    """List the deals of one company that one sees, newest first; an operator may leave the company out."""
    club = services.club
    acting = await club.acting(principal)
    company = club.one_company(acting, query.company)
    page = await club.deals.page(company=company, cursor=query.cursor, limit=query.limit)
    return DealList([await _to_deal(club, row) for row in page.items], page.next_cursor)


@routes.get("/api/v1/club/deals/{deal}", problems=(400, 403, 404, 503))
async def show_deal(services: Services, deal: str) -> DealView:
    """Show a deal."""
    club = services.club
    row = await club.deals.get(DealId(deal))
    if row is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no deal {deal}")
    return await _to_deal(club, row)


@routes.post("/api/v1/club/deals/{deal}/cancel", problems=(400, 403, 404, 409, 415, 422, 503))
async def cancel_deal(
    services: Services, principal: Principal, deal: str, query: ActingQuery, body: OfCompany, command_id: str
) -> DealView:
    """Call a deal off before its money has come."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    try:
        row = await club.deals.cancel(DealId(deal), CompanyId(body.company), command)
    except KeyError:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no deal {deal}") from None
    return await _to_deal(club, answered(row, Deal))


# ---------------------------------------------------------------------- how they look


async def _to_offer(club: Club, row: Offer) -> OfferView:
    return OfferView(
        id=row.id,
        company=row.company_id,
        side=row.side,
        network=row.network,
        token=row.token,
        amount=await club.to_coins(row.token, row.amount_token),
        price=row.price,
        status=row.status,
        expires_ms=row.expires_at_ms,
        created_ms=row.created_at_ms,
    )


async def _to_deal(club: Club, row: Deal) -> DealView:
    return DealView(
        id=row.id,
        offer=row.offer_id,
        payer=row.payer_company_id,
        payee=row.payee_company_id,
        mode=row.mode,
        network=row.network,
        token=row.token,
        amount=await club.to_coins(row.token, row.amount_token),
        status=row.status,
        pay_to=await club.pay_to(row),
        deadline_ms=row.deadline_ms,
        session=row.session_id or "",
        exposure_usd=usd(row.exposure_usd),
        headroom_usd=usd(row.headroom_usd),
        created_ms=row.created_at_ms,
        ended_ms=row.ended_at_ms,
        payout=payout_of_deal(row.id) if row.mode is Mode.PASS_THROUGH else "",
    )
