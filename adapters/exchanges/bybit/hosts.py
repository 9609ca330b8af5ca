"""Where Bybit lives: live, testnet, demo, or our own PaperVenue on loopback."""

import msgspec


class BybitHosts(msgspec.Struct, frozen=True):
    """The addresses of one environment, without paths."""

    rest: str
    market_rest: str
    """Public data; differs from `rest` on demo trading, which has no market of its own."""
    public: str
    private: str
    trade: str | None
    """None where orders can only be entered over REST."""


LIVE = BybitHosts(
    rest="https://api.bybit.com",
    market_rest="https://api.bybit.com",
    public="wss://stream.bybit.com",
    private="wss://stream.bybit.com",
    trade="wss://stream.bybit.com",
)
TESTNET = BybitHosts(
    rest="https://api-testnet.bybit.com",
    market_rest="https://api-testnet.bybit.com",
    public="wss://stream-testnet.bybit.com",
    private="wss://stream-testnet.bybit.com",
    trade="wss://stream-testnet.bybit.com",
)
DEMO = BybitHosts(
    rest="https://api-demo.bybit.com",
    market_rest="https://api.bybit.com",
    public="wss://stream.bybit.com",
    private="wss://stream-demo.bybit.com",
    trade=None,
)


def single_host(http_address: str) -> BybitHosts:
    """Give the addresses of a venue that serves everything on one port (`http://127.0.0.1:8123`)."""
    address = http_address.rstrip("/")
    sockets = "ws" + address.removeprefix("http")
    return BybitHosts(rest=address, market_rest=address, public=sockets, private=sockets, trade=sockets)
