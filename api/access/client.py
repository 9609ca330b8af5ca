"""Where a request comes from: its address (behind a trusted proxy: the one that it names), and which browser."""

import re
from collections.abc import Collection

from aiohttp import hdrs, web

from api.access.context import Client

# In this order: the later names are in the words of the earlier ones too.
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("YaBrowser", "Yandex Browser"), ("Firefox", "Firefox"))
_MORE_BROWSERS = (("Chrome", "Chrome"), ("CriOS", "Chrome"), ("FxiOS", "Firefox"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"))
_MORE_SYSTEMS = (("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))
NAME_LENGTH_MAX = 60


def address_of(request: web.Request, proxies: Collection[str] = ()) -> str:
    """Give the address a request comes from. What a stranger writes into X-Forwarded-For counts for nothing."""
    address = request.remote or ""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    while address in proxies and hops:
        address = hops.pop()
    return address[:NAME_LENGTH_MAX]


def client_of(request: web.Request, proxies: Collection[str] = ()) -> Client:
    """Describe who asks in words that its owner will know again."""
    return Client(_device(request.headers.get(hdrs.USER_AGENT, "")), address_of(request, proxies))


def _device(agent: str) -> str:
    browser = next((name for sign, name in (*_BROWSERS, *_MORE_BROWSERS) if sign in agent), "")
    system = next((name for sign, name in (*_SYSTEMS, *_MORE_SYSTEMS) if sign in agent), "")
    if browser:
        return f"{browser}, {system}" if system else browser
    word = re.match(r"[\w.\- ]+", agent)
    return (word[0].strip() if word else "unknown")[:NAME_LENGTH_MAX]
