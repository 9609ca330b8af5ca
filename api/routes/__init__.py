"""Every address of the API, by business word."""

from api.routes import (
    accounts,
    auth,
    bots,
    club_companies,
    club_corrections,
    club_deals,
    club_operations,
    club_pairs,
    club_treasury,
    dashboard,
    history,
    market,
    people,
    profile,
    system,
    trades,
)
from api.routing import Route


def all_routes() -> list[Route]:
    """List the routes in the order of the documentation."""
    trading = (accounts, market, bots, history, trades, dashboard)
    club = (club_companies, club_deals, club_pairs, club_treasury, club_operations, club_corrections)
    modules = (auth, profile, *trading, *club, people, system)
    return [route for module in modules for route in module.routes.items]
