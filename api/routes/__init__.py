"""Every address of the API, by business word."""

from api.routes import accounts, auth, bots, dashboard, history, market, people, profile, system, trades
from api.routing import Route


def all_routes() -> list[Route]:
    """List the routes in the order of the documentation."""
    modules = (auth, profile, accounts, market, bots, history, trades, dashboard, people, system)
    return [route for module in modules for route in module.routes.items]
