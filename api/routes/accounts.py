"""Exchange accounts: what can be connected, connect it, look, check the key again, remove it."""

import msgspec
from aiohttp import web

from api.problems import ApiProblem, FieldProblem, Kind, refused
from api.resources import Owner
from api.routing import Routes
from api.services import Services
from api.trading_resources import (
    Account,
    AccountList,
    Balances,
    ConnectAccount,
    ExchangeList,
    to_account,
    to_balances,
)
from engine.access.principals import Principal, Via
from engine.ids import AccountId
from engine.trading.instrument import Market
from storage.accounts import AccountInUse, Environment

routes = Routes("Exchange accounts")


class WalletQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which wallet of an account: some exchanges keep one apart for futures."""

    market: Market = Market.SPOT


class OwnerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose accounts to list."""

    owner: Owner | None = None
    """For operators; left out: everybody's."""


@routes.get("/api/v1/exchanges")
async def list_exchanges(services: Services) -> ExchangeList:
    """List what can be connected, with its environments and markets."""
    return ExchangeList(services.desk.accounts.exchanges())


@routes.get("/api/v1/accounts", problems=(400, 503))
async def list_accounts(services: Services, principal: Principal, query: OwnerQuery) -> AccountList:
    """List one's connected exchanges (an operator: everybody's), oldest first."""
    views = await services.desk.accounts.views(services.owner_filter(principal, query.owner))
    return AccountList([to_account(view) for view in views])


@routes.post("/api/v1/accounts", status=201, problems=(400, 409, 415, 422, 503))
async def connect_account(
    services: Services, principal: Principal, body: ConnectAccount, command_id: str, request: web.Request
) -> Account:
    """Connect an exchange. A key is checked with the exchange first; one that can withdraw is refused.

    With a key a session must bring its owner's password too (`wrong_password`); the installation's token need not.

    The paper exchange needs no key: everybody gets an account of their own with paper money, once. The same
    Idempotency-Key gives the same account.
    """
    if body.environment is not Environment.PAPER and principal.via is Via.SESSION:
        await services.people.sign_in.again(principal.user, services.guard.client(request), body.password)
    made = await services.desk.accounts.connect(principal.actor, principal.user, body, command_id)
    if isinstance(made, list):
        raise refused(made)
    return to_account(made)


@routes.get("/api/v1/accounts/{account}", problems=(404, 503))
async def show_account(services: Services, account: str) -> Account:
    """Show one connected exchange."""
    return to_account(await services.desk.accounts.view(AccountId(account)))


@routes.post("/api/v1/accounts/{account}/check", problems=(404, 422, 503))
async def check_account(services: Services, principal: Principal, account: str) -> Account:
    """Ask the exchange again what the key may do."""
    return to_account(await services.desk.accounts.check(principal.actor, AccountId(account)))


@routes.post("/api/v1/accounts/{account}/remove", status=204, problems=(404, 409, 503))
async def remove_account(services: Services, principal: Principal, account: str) -> None:
    """Take an exchange out of use and forget its key. Its bots must have ended; their history stays."""
    try:
        await services.desk.accounts.remove(principal.actor, AccountId(account))
    except AccountInUse as error:
        errors = [FieldProblem(f"bot {bot} has not ended", code="bot_running", allowed=bot) for bot in error.bots]
        raise ApiProblem(Kind.CONFLICT, str(error), errors, code="account_in_use") from None


@routes.get("/api/v1/accounts/{account}/balances", problems=(400, 404, 422, 503))
async def show_balances(services: Services, account: str, query: WalletQuery) -> Balances:
    """Show what an account holds."""
    held = await services.desk.accounts.balances(AccountId(account), query.market)
    return to_balances(AccountId(account), held)
