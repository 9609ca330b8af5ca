"""Every address of the API, by business word."""

from api.routes import auth, bots, history, people, profile, system
from api.routing import Route


def all_routes() -> list[Route]:
    """List the routes in the order of the documentation."""
    modules = (auth, profile, bots, history, people, system)
    return [route for module in modules for route in module.routes.items]
