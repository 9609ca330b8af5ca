"""Every address of the API, by business word."""

from api.routes import bots, history, system
from api.routing import Route


def all_routes() -> list[Route]:
    """List the routes in the order of the documentation."""
    return [*bots.routes.items, *history.routes.items, *system.routes.items]
