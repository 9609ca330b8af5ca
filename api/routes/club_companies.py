"""Companies of the club, the people who act for them, and where they may be paid."""

import secrets

from actors.account_desk import word_of
from api.club import Acting, Club, answered
from api.club_resources import (
    ActingQuery,
    AddWallet,
    CompanyList,
    CompanyView,
    CreateCompany,
    SetMember,
    SetTier,
    WalletList,
    WalletView,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.ids import CompanyId, MemberId, UserId, WalletId
from engine.money import coins
from engine.payments.allowlist import AllowedWallet, Standing, standing
from engine.settlement.companies import Company, CompanyStatus, Member
from storage.address_book import NewWallet

routes = Routes("Club")


@routes.get("/api/v1/club/companies", problems=(400, 403, 503))
async def list_companies(services: Services, principal: Principal, query: ActingQuery) -> CompanyList:
    """List the companies of the club. Only members of a company, and operators, see its money."""
    acting = await services.club.acting(principal, query.member)
    rows = await services.club.companies.all()
    return CompanyList([await _to_company(services.club, acting, row) for row in rows])


@routes.get("/api/v1/club/companies/{company}", problems=(400, 403, 404, 503))
async def show_company(services: Services, principal: Principal, company: str, query: ActingQuery) -> CompanyView:
    """Show one company."""
    acting = await services.club.acting(principal, query.member)
    row = await services.club.companies.get(CompanyId(company))
    if row is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no company {company}")
    return await _to_company(services.club, acting, row)


@routes.post("/api/v1/club/companies", status=201, access=Access.OPERATOR, problems=(400, 409, 415, 422, 503))
async def create_company(services: Services, principal: Principal, body: CreateCompany) -> CompanyView:
    """Let a company join, with an address of its own on each network. Said twice, the same company."""
    club = services.club
    new = Company(CompanyId(body.id), body.name, body.tz, body.tier, CompanyStatus.ACTIVE, club.now())
    row = await club.desk.admission.admit(new, principal.actor)
    return await _to_company(club, await club.acting(principal), row)


@routes.post("/api/v1/club/companies/{company}/tier", access=Access.OPERATOR, problems=(400, 404, 415, 503))
async def set_tier(services: Services, principal: Principal, company: str, body: SetTier) -> CompanyView:
    """Move a company to another tier."""
    club = services.club
    try:
        row = await club.companies.set_tier(CompanyId(company), body.tier, principal.actor)
    except KeyError:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no company {company}") from None
    return await _to_company(club, await club.acting(principal), row)


@routes.post(
    "/api/v1/club/companies/{company}/members",
    status=204,
    access=Access.OPERATOR,
    problems=(400, 404, 409, 415, 503),
)
async def set_member(services: Services, principal: Principal, company: str, body: SetMember) -> None:
    """Say in which roles a person acts for a company: these and no others. None ends it."""
    club = services.club
    if await club.companies.get(CompanyId(company)) is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no company {company}")
    user = UserId(body.user) if body.user else None
    await club.companies.add_member(Member(MemberId(body.member), body.name, club.now(), user))
    await club.companies.set_roles(CompanyId(company), MemberId(body.member), body.roles, principal.actor)


# ---------------------------------------------------------------------- allow-list


@routes.get("/api/v1/club/companies/{company}/wallets", problems=(400, 403, 404, 503))
async def list_wallets(services: Services, principal: Principal, company: str, query: ActingQuery) -> WalletList:
    """List where a company may be paid, and how far each address has come."""
    club = services.club
    acting = await club.acting(principal, query.member)
    if not acting.sees(company):
        raise ApiProblem(Kind.NOT_FOUND, f"there is no company {company}")
    rows = await club.wallets.of_company(CompanyId(company))
    return WalletList([await _to_wallet(club, row) for row in rows])


@routes.post("/api/v1/club/wallets", status=201, problems=(400, 403, 404, 409, 415, 422, 503))
async def add_wallet(
    services: Services, principal: Principal, query: ActingQuery, body: AddWallet, command_id: str
) -> WalletView:
    """Ask for an address in a company's allow-list. It is active after its micro-transfer and a cooling-off."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    asset = await club.asset(body.token)
    address = club.address(asset.network, body.address)
    wallet = WalletId(f"wa_{word_of(command.actor, command.id)}")
    new = NewWallet(wallet, CompanyId(body.company), asset.network, asset.id, address, body.label)
    draw = secrets.randbelow(1 << 32)
    row = await club.wallets.add(new, draw, command)
    return await _to_wallet(club, answered(row, AllowedWallet))


@routes.post("/api/v1/club/wallets/{wallet}/revoke", problems=(400, 403, 404, 409, 422, 503))
async def revoke_wallet(
    services: Services, principal: Principal, wallet: str, query: ActingQuery, command_id: str
) -> WalletView:
    """Take an address out of the allow-list, for ever: from now on nothing is signed to it."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    return await _to_wallet(club, answered(await club.wallets.revoke(WalletId(wallet), command), AllowedWallet))


# ---------------------------------------------------------------------- how they look


async def _to_company(club: Club, acting: Acting, row: Company) -> CompanyView:
    sees = acting.sees(row.id)
    return CompanyView(
        id=row.id,
        name=row.name,
        tz=row.tz,
        tier=row.tier,
        status=row.status,
        roles=acting.roles.get(row.id, []),
        hot_wallets=await club.hot_wallets(row.id) if sees else [],
        balances=await club.balances(row.id) if sees else [],
    )


async def _to_wallet(club: Club, row: AllowedWallet) -> WalletView:
    asset = await club.asset(row.token)
    reached = standing(row, club.now())
    is_challenged = reached is Standing.CHALLENGED and row.challenge_units is not None
    return WalletView(
        id=row.id,
        company=row.company_id,
        network=row.network,
        token=row.token,
        address=row.address,
        label=row.label,
        standing=reached,
        challenge=coins(asset, row.challenge_units) if is_challenged and row.challenge_units else None,
        challenge_until_ms=row.challenge_until_ms if is_challenged else None,
        active_from_ms=row.active_from_ms,
        created_ms=row.created_at_ms,
    )
