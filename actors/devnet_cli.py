"""`trellis devnet tron`: a TRON network of one's own, for demonstrations, drills and other programs' tests.

It imports what it needs when it runs, so that `trellis --help` answers at once.
"""

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actors.cli import fail, read_environment

if TYPE_CHECKING:
    from adapters.chains.tron.devnet import Funding, Rules
    from adapters.chains.tron.devnet.journal import Journal
    from adapters.chains.tron.devnet.server import Server

PORT = 18_590
DEMO_ACCOUNTS = ("alice", "bob", "carol", "dave")
DEMO_TRX = 100_000
DEMO_TOKENS = 1_000_000
MILLION = 1_000_000


@click.group()
def devnet() -> None:
    """Chains of one's own, where money is worth nothing."""


@devnet.command(
    epilog="""\b
    Examples:
      trellis devnet tron
      trellis devnet tron --block-time 0.2 --port 0 --home /tmp/chain
      curl -X POST localhost:18590/devnet/fork -d '{"depth": 3, "drop_share": 0.2}'
    """
)
@click.option("--port", type=click.IntRange(0, 65_000), default=PORT, show_default=True, help="0: any free ones.")
@click.option(
    "--block-time",
    "block_time_s",
    type=click.FloatRange(0.02, 60),
    default=3.0,
    show_default=True,
    help="Seconds from block to block.",
)
@click.option(
    "--solid-lag",
    type=click.IntRange(1, 100),
    default=18,
    show_default=True,
    help="Blocks above one before it is final.",
)
@click.option("--seed", default="trellis", show_default=True, help="What keys and reorganisations follow from.")
@click.option(
    "--home",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the chain is kept. Default: devnet in the home.",
)
def tron(port: int, block_time_s: float, solid_lag: int, seed: str, folder: Path | None) -> None:
    """Run a TRON network: java-tron's HTTP API on two nodes, USDT, USDC and funded accounts."""
    from actors.home import Home
    from adapters.chains.tron.devnet import Rules
    from adapters.chains.tron.devnet.journal import Journal, JournalRefused

    block_ms = round(block_time_s * 1_000)
    rules = Rules(
        seed=seed,
        genesis_ms=_now_ms() // block_ms * block_ms,
        block_ms=block_ms,
        solid_lag=solid_lag,
    )
    try:
        journal = Journal(folder or Home.of(read_environment()).path / "devnet")
        try:
            asyncio.run(_serve(journal, rules, port))
        finally:
            journal.close()
    except JournalRefused as error:
        fail(f"The devnet does not start: {error}.")
    except OSError as error:
        fail(f"The devnet cannot listen: {error.strerror}. Another place: --port.")


async def _serve(journal: "Journal", rules: "Rules", port: int) -> None:
    from adapters.chains.tron.devnet.server import Server

    server = Server(journal.open(_now_ms, rules, _funding(rules.seed)))
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start(port)
    try:
        _introduce(server, rules.seed)
        await stopping.wait()
    finally:
        await server.stop()


def _introduce(server: "Server", seed: str) -> None:
    from adapters.chains.tron.devnet.devnet import demo_account

    network = server.devnet
    rules = network.rules
    click.echo(
        f"TRON devnet: block {network.head.number}, one every {rules.block_ms / 1_000:g} s, "
        f"final under {rules.solid_lag} others. The money is worth nothing, and the keys are public."
    )
    for name, address in server.addresses.items():
        click.echo(f"  {name:<10} {address}")
    for symbol, address in network.tokens.items():
        click.echo(f"  {symbol:<10} {address}")
    for name in DEMO_ACCOUNTS:
        address, key = demo_account(seed, name)
        click.echo(f"  {name:<10} {address}  key {key.to_hex()}")
    click.echo(f"  operator   {next(iter(server.addresses.values()))}/devnet/status, faucet, fork, conduct")


def _funding(seed: str) -> "dict[str, Funding]":
    from adapters.chains.tron.devnet import Funding
    from adapters.chains.tron.devnet.devnet import TOKENS, demo_account

    each = Funding(sun=DEMO_TRX * MILLION, tokens=dict.fromkeys(TOKENS, DEMO_TOKENS * MILLION))
    return {demo_account(seed, name)[0]: each for name in DEMO_ACCOUNTS}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
