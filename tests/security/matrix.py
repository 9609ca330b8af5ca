"""Who may call what: a row for every route, by what it opens and what it answers to whoever may.

A new route without a row fails the test. Bodies are empty where that is enough to tell "you may, but not like
this" (400) from "you may not": so nothing is changed that another row needs.
"""

from enum import StrEnum
from typing import Any

import msgspec


class Opens(StrEnum):
    """What stands behind a route."""

    EVERYBODY = "everybody"
    """No sign of who one is."""
    ONESELF = "oneself"
    """The caller's own things: somebody else gets their own, nothing of the owner's."""
    OWNED = "owned"
    """A thing that the path or the query names: not found by anybody but its owner and operators."""
    ACCOUNT_IN_BODY = "account in body"
    """An exchange account that the body or query names: unknown to anybody but its owner and operators."""
    OPERATION = "operation"
    """For operators."""
    OF_COMPANIES = "of companies"
    """A thing of the club's: not found by anybody but members of its companies and operators."""
    FOR_MEMBERS = "for members"
    """A list or a command of the club's: whoever is no member of a company has nothing to see or to command."""


class Row(msgspec.Struct, frozen=True):
    """A route, an example of a call, and the answer to whoever may make it."""

    opens: Opens
    call: str
    """With {bot}, {account}, {session}, {user} of the owner's."""
    answers: int
    body: Any = None
    owner_answers: int = 0
    """Where it is another answer than the others': 0 is none."""
    other_answers: int = 422
    """To whoever is no member, where a route is for members."""


EVERYBODY, ONESELF, OWNED = Opens.EVERYBODY, Opens.ONESELF, Opens.OWNED
ACCOUNT, OPERATION = Opens.ACCOUNT_IN_BODY, Opens.OPERATION
OF_COMPANIES, FOR_MEMBERS = Opens.OF_COMPANIES, Opens.FOR_MEMBERS
_GRID = {"symbol": "NOPEUSDT", "direction": "spot", "lower": "1", "upper": "2", "grids": 5, "amount": "100"}
_WITH_ACCOUNT = {"account": "{account}", "config": _GRID}
_PAIR = "account={account}&market=spot&symbol=BTCUSDT"

ROWS: dict[str, Row] = {
    # Reading comes first, what ends things last: the rows are walked in this order.
    "GET /healthz": Row(EVERYBODY, "/healthz", 200),
    "GET /metrics": Row(OPERATION, "/metrics", 200),
    "GET /api/v1/openapi.json": Row(EVERYBODY, "/api/v1/openapi.json", 200),
    "GET /api/v1/site": Row(EVERYBODY, "/api/v1/site", 200),
    "GET /api/v1/session": Row(ONESELF, "/api/v1/session", 200),
    "GET /api/v1/status": Row(ONESELF, "/api/v1/status", 200),
    "GET /api/v1/profile/sessions": Row(ONESELF, "/api/v1/profile/sessions", 200),
    "GET /api/v1/profile/export": Row(ONESELF, "/api/v1/profile/export", 200),
    "GET /api/v1/bots": Row(ONESELF, "/api/v1/bots", 200),
    "GET /api/v1/bots/{bot}": Row(OWNED, "/api/v1/bots/{bot}", 200),
    "GET /api/v1/bots/{bot}/levels": Row(OWNED, "/api/v1/bots/{bot}/levels", 200),
    "GET /api/v1/bots/{bot}/pnl": Row(OWNED, "/api/v1/bots/{bot}/pnl", 200),
    "GET /api/v1/bots/{bot}/orders": Row(OWNED, "/api/v1/bots/{bot}/orders", 200),
    "GET /api/v1/bots/{bot}/executions": Row(OWNED, "/api/v1/bots/{bot}/executions", 200),
    "GET /api/v1/bots/{bot}/round-trips": Row(OWNED, "/api/v1/bots/{bot}/round-trips", 200),
    "GET /api/v1/bots/{bot}/funding": Row(OWNED, "/api/v1/bots/{bot}/funding", 200),
    "GET /api/v1/bots/{bot}/actions": Row(OWNED, "/api/v1/bots/{bot}/actions", 200),
    "GET /api/v1/bots/{bot}/metrics-history": Row(
        OWNED, "/api/v1/bots/{bot}/metrics-history?until_ms=86400000", 200
    ),
    # It never ran, so there is nothing to stop.
    "GET /api/v1/bots/{bot}/stop-preview": Row(OWNED, "/api/v1/bots/{bot}/stop-preview", 409),
    "GET /api/v1/stream": Row(OWNED, "/api/v1/stream?bot={bot}", 200),
    "GET /api/v1/exchanges": Row(ONESELF, "/api/v1/exchanges", 200),
    "GET /api/v1/accounts": Row(ONESELF, "/api/v1/accounts", 200),
    "GET /api/v1/accounts/{account}": Row(OWNED, "/api/v1/accounts/{account}", 200),
    "GET /api/v1/accounts/{account}/balances": Row(OWNED, "/api/v1/accounts/{account}/balances", 200),
    "GET /api/v1/market/instruments": Row(
        ACCOUNT, "/api/v1/market/instruments?account={account}&market=spot", 200
    ),
    "GET /api/v1/market/ticker": Row(ACCOUNT, f"/api/v1/market/ticker?{_PAIR}", 200),
    "GET /api/v1/market/candles": Row(ACCOUNT, f"/api/v1/market/candles?{_PAIR}&interval_min=60", 200),
    "GET /api/v1/trades": Row(ONESELF, "/api/v1/trades", 200),
    "GET /api/v1/dashboard": Row(ONESELF, "/api/v1/dashboard", 200),
    "GET /api/v1/outbox": Row(OPERATION, "/api/v1/outbox", 200),
    "GET /api/v1/invites": Row(OPERATION, "/api/v1/invites", 200),
    "GET /api/v1/users": Row(OPERATION, "/api/v1/users", 200),
    "GET /api/v1/audit": Row(OPERATION, "/api/v1/audit", 200),
    "POST /api/v1/bots/preview": Row(ACCOUNT, "/api/v1/bots/preview", 422, _WITH_ACCOUNT),
    "POST /api/v1/bots/suggest": Row(
        ACCOUNT, "/api/v1/bots/suggest", 200, {"account": "{account}", "symbol": "BTCUSDT", "direction": "spot"}
    ),
    "POST /api/v1/bots": Row(ACCOUNT, "/api/v1/bots", 422, _WITH_ACCOUNT),
    "POST /api/v1/accounts": Row(ONESELF, "/api/v1/accounts", 400, {}),
    "POST /api/v1/accounts/{account}/check": Row(OWNED, "/api/v1/accounts/{account}/check", 200),
    "POST /api/v1/setup": Row(EVERYBODY, "/api/v1/setup", 400, {}),
    "POST /api/v1/auth/register": Row(EVERYBODY, "/api/v1/auth/register", 400, {}),
    "POST /api/v1/auth/confirm": Row(EVERYBODY, "/api/v1/auth/confirm", 400, {}),
    "POST /api/v1/auth/login": Row(EVERYBODY, "/api/v1/auth/login", 400, {}),
    "POST /api/v1/auth/recover": Row(EVERYBODY, "/api/v1/auth/recover", 400, {}),
    "POST /api/v1/auth/reset": Row(EVERYBODY, "/api/v1/auth/reset", 400, {}),
    "PATCH /api/v1/profile": Row(ONESELF, "/api/v1/profile", 200, {}),
    "POST /api/v1/profile/password": Row(ONESELF, "/api/v1/profile/password", 400, {}),
    "POST /api/v1/profile/email": Row(ONESELF, "/api/v1/profile/email", 400, {}),
    "POST /api/v1/profile/totp": Row(ONESELF, "/api/v1/profile/totp", 400, {}),
    "POST /api/v1/profile/totp/confirm": Row(ONESELF, "/api/v1/profile/totp/confirm", 400, {}),
    "POST /api/v1/profile/totp/disable": Row(ONESELF, "/api/v1/profile/totp/disable", 400, {}),
    "POST /api/v1/invites": Row(OPERATION, "/api/v1/invites", 201, {}),
    "POST /api/v1/users/{user}/disable": Row(OPERATION, "/api/v1/users/{user}/disable", 200),
    "POST /api/v1/users/{user}/enable": Row(OPERATION, "/api/v1/users/{user}/enable", 200),
    "POST /api/v1/bots/{bot}/rename": Row(OWNED, "/api/v1/bots/{bot}/rename", 400, {}),
    "POST /api/v1/bots/{bot}/start": Row(OWNED, "/api/v1/bots/{bot}/start", 200),
    # It shall run now, so it and its account stay.
    "POST /api/v1/bots/{bot}/archive": Row(OWNED, "/api/v1/bots/{bot}/archive", 409),
    "POST /api/v1/accounts/{account}/remove": Row(OWNED, "/api/v1/accounts/{account}/remove", 409),
    "POST /api/v1/bots/{bot}/stop": Row(OWNED, "/api/v1/bots/{bot}/stop", 400, {"sell": "perhaps"}),
    "POST /api/v1/bots/{bot}/emergency-stop": Row(OWNED, "/api/v1/bots/{bot}/emergency-stop", 200),
    "POST /api/v1/emergency-stop": Row(ONESELF, "/api/v1/emergency-stop", 200),
    # Only its owner: an operator ends a session by disabling the person.
    "POST /api/v1/profile/sessions/{session}/end": Row(
        ONESELF, "/api/v1/profile/sessions/{session}/end", 404, owner_answers=204
    ),
    "POST /api/v1/profile/sessions/end-others": Row(ONESELF, "/api/v1/profile/sessions/end-others", 204),
    "POST /api/v1/auth/refresh": Row(EVERYBODY, "/api/v1/auth/refresh", 200),
    "POST /api/v1/auth/logout": Row(EVERYBODY, "/api/v1/auth/logout", 204),
}

_CLUB = "/api/v1/club"
_MOVE = {"company": "co_aurora", "token": "tron:USDT", "amount": "0"}

_CLUB_ROWS: dict[str, Row] = {
    f"GET {_CLUB}/status": Row(OPERATION, f"{_CLUB}/status", 200),
    f"GET {_CLUB}/companies": Row(ONESELF, f"{_CLUB}/companies", 200),
    f"GET {_CLUB}/companies/{{company}}": Row(ONESELF, f"{_CLUB}/companies/co_aurora", 200),
    f"GET {_CLUB}/companies/{{company}}/wallets": Row(OF_COMPANIES, f"{_CLUB}/companies/co_aurora/wallets", 200),
    f"GET {_CLUB}/offers": Row(ONESELF, f"{_CLUB}/offers", 200),
    f"GET {_CLUB}/deals": Row(FOR_MEMBERS, f"{_CLUB}/deals", 200),
    f"GET {_CLUB}/deals/{{deal}}": Row(OF_COMPANIES, f"{_CLUB}/deals/{{deal}}", 200),
    f"GET {_CLUB}/payouts": Row(FOR_MEMBERS, f"{_CLUB}/payouts", 200),
    f"GET {_CLUB}/payouts/{{payout}}": Row(OF_COMPANIES, f"{_CLUB}/payouts/{{payout}}", 200),
    f"GET {_CLUB}/incoming": Row(FOR_MEMBERS, f"{_CLUB}/incoming", 200),
    f"GET {_CLUB}/pairs": Row(ONESELF, f"{_CLUB}/pairs", 200),
    f"GET {_CLUB}/sessions": Row(ONESELF, f"{_CLUB}/sessions", 200),
    f"GET {_CLUB}/freezes": Row(ONESELF, f"{_CLUB}/freezes", 200),
    f"GET {_CLUB}/alarms": Row(OPERATION, f"{_CLUB}/alarms", 200),
    f"GET {_CLUB}/refusals": Row(OPERATION, f"{_CLUB}/refusals", 200),
    f"GET {_CLUB}/comparisons": Row(OPERATION, f"{_CLUB}/comparisons", 200),
    f"GET {_CLUB}/corrections": Row(OPERATION, f"{_CLUB}/corrections", 200),
    f"GET {_CLUB}/ledger/accounts": Row(OPERATION, f"{_CLUB}/ledger/accounts", 200),
    f"GET {_CLUB}/ledger/statements/{{ledger_account}}": Row(
        OPERATION, f"{_CLUB}/ledger/statements/funds:co_aurora:tron:USDT", 200
    ),
    f"GET {_CLUB}/ledger/about/{{reference}}": Row(OPERATION, f"{_CLUB}/ledger/about/{{deal}}", 200),
    f"POST {_CLUB}/companies": Row(OPERATION, f"{_CLUB}/companies", 400, {}),
    f"POST {_CLUB}/companies/{{company}}/tier": Row(OPERATION, f"{_CLUB}/companies/co_aurora/tier", 400, {}),
    f"POST {_CLUB}/companies/{{company}}/members": Row(OPERATION, f"{_CLUB}/companies/co_aurora/members", 400, {}),
    f"POST {_CLUB}/wallets": Row(ONESELF, f"{_CLUB}/wallets", 400, {}),
    # Who is neither ADMIN nor APPROVER of its company, an operator too, is told so by the rules.
    f"POST {_CLUB}/wallets/{{wallet}}/revoke": Row(
        OF_COMPANIES, f"{_CLUB}/wallets/{{wallet}}/revoke", 422, owner_answers=200
    ),
    f"POST {_CLUB}/offers": Row(ONESELF, f"{_CLUB}/offers", 400, {}),
    f"POST {_CLUB}/offers/{{offer}}/cancel": Row(ONESELF, f"{_CLUB}/offers/of_nothing/cancel", 400, {}),
    f"POST {_CLUB}/offers/{{offer}}/accept": Row(ONESELF, f"{_CLUB}/offers/of_nothing/accept", 400, {}),
    f"POST {_CLUB}/deals/{{deal}}/cancel": Row(OF_COMPANIES, f"{_CLUB}/deals/{{deal}}/cancel", 400, {}),
    f"POST {_CLUB}/payouts/{{payout}}/approve": Row(OF_COMPANIES, f"{_CLUB}/payouts/{{payout}}/approve", 400, {}),
    f"POST {_CLUB}/payouts/{{payout}}/redirect": Row(
        OF_COMPANIES, f"{_CLUB}/payouts/{{payout}}/redirect", 400, {}
    ),
    f"POST {_CLUB}/payouts/{{payout}}/give-up": Row(OF_COMPANIES, f"{_CLUB}/payouts/{{payout}}/give-up", 400, {}),
    f"POST {_CLUB}/payouts/{{payout}}/retry": Row(
        OF_COMPANIES, f"{_CLUB}/payouts/{{payout}}/retry", 422, owner_answers=200
    ),
    f"POST {_CLUB}/withdrawals": Row(ONESELF, f"{_CLUB}/withdrawals", 400, {}),
    f"POST {_CLUB}/deposits/fund": Row(FOR_MEMBERS, f"{_CLUB}/deposits/fund", 403, _MOVE, 422, 403),
    f"POST {_CLUB}/deposits/hold": Row(OPERATION, f"{_CLUB}/deposits/hold", 422, _MOVE),
    f"POST {_CLUB}/deposits/release": Row(OPERATION, f"{_CLUB}/deposits/release", 422, _MOVE),
    f"POST {_CLUB}/deposits/penalty": Row(OPERATION, f"{_CLUB}/deposits/penalty", 422, _MOVE),
    f"POST {_CLUB}/deposits/adjust": Row(OPERATION, f"{_CLUB}/deposits/adjust", 422, _MOVE),
    f"POST {_CLUB}/incoming/{{incoming}}/to-funds": Row(OPERATION, f"{_CLUB}/incoming/tron:00:0/to-funds", 422),
    f"POST {_CLUB}/incoming/to-deal": Row(OPERATION, f"{_CLUB}/incoming/to-deal", 400, {}),
    f"POST {_CLUB}/incoming/{{incoming}}/refund": Row(OPERATION, f"{_CLUB}/incoming/tron:00:0/refund", 400, {}),
    f"POST {_CLUB}/pairs": Row(OPERATION, f"{_CLUB}/pairs", 400, {}),
    f"POST {_CLUB}/pairs/{{pair}}/consent": Row(OF_COMPANIES, f"{_CLUB}/pairs/tp_auroraborealis/consent", 400, {}),
    f"POST {_CLUB}/pairs/{{pair}}/enable": Row(OPERATION, f"{_CLUB}/pairs/tp_nothing/enable", 404),
    f"POST {_CLUB}/pairs/{{pair}}/disable": Row(OPERATION, f"{_CLUB}/pairs/tp_nothing/disable", 404),
    f"POST {_CLUB}/sessions/close": Row(ONESELF, f"{_CLUB}/sessions/close", 400, {}),
    f"POST {_CLUB}/freezes": Row(ONESELF, f"{_CLUB}/freezes", 400, {}),
    f"POST {_CLUB}/freezes/{{freeze}}/lift": Row(OPERATION, f"{_CLUB}/freezes/nothing/lift", 422),
    f"POST {_CLUB}/corrections": Row(OPERATION, f"{_CLUB}/corrections", 400, {}),
    f"POST {_CLUB}/corrections/{{correction}}/confirm": Row(
        OPERATION, f"{_CLUB}/corrections/bc_nothing/confirm", 422
    ),
    f"POST {_CLUB}/demo/pay-in": Row(OPERATION, f"{_CLUB}/demo/pay-in", 400, {}),
}

# Before those that end sessions.
ROWS = _CLUB_ROWS | ROWS

NOBODY_ANSWERS = {"POST /api/v1/auth/refresh": 401}
"""Open to everybody, and yet nothing without a cookie."""
