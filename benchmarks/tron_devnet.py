"""What the TRON devnet costs a simulation, and the machines for contracts that were weighed for it.

`python -m benchmarks.tron_devnet [--anvil BINARY]`. Times are the processor's: a busy machine spoils them less;
anvil, which npm has as @foundry-rs/anvil, is a process of its own and measured by the clock.
"""

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from coincurve import PrivateKey
from rich.console import Console

from adapters.chains.tron.devnet import Devnet, Funding
from adapters.chains.tron.devnet.addresses import base58_text, of_key, parse
from adapters.chains.tron.devnet.artifact import call_data, token_code
from adapters.chains.tron.devnet.machine import Machine as Evm
from adapters.chains.tron.devnet.transactions import Call, Transaction
from benchmarks.harness import Machine, introduce, result, save, table

TRANSFER = "transfer(address,uint256)"
ISSUE = "issue(address,uint256)"
SUPPLY = 10**15
ENERGY = 300_000
ANVIL_PORT = 18_599
ANVIL_FLAGS = ("--quiet", "--auto-impersonate", "--no-mining", "--block-base-fee-per-gas=0", "--gas-price=0")
FORK_DEPTH = 6


class Weighed(msgspec.Struct, frozen=True):
    """A machine for contracts."""

    start_and_deploy_ms: float
    transfers_per_s: float
    go_back_per_s: float
    """A mark, a transfer and the way back, as a reorganisation needs them."""


class Report(msgspec.Struct, frozen=True):
    """What a run has measured. Microseconds of the processor."""

    empty_block: float
    block: float
    """With three transfers."""
    broadcast: float
    """Of one transfer: read, signature recovered, all checks."""
    reads: float
    """The four questions of a watcher about a new block."""
    reorganisation: float
    machines: dict[str, Weighed]


def tron_devnet(blocks: int, transfers: int, anvil: Path | None = None) -> Report:
    """Measure everything once."""
    machines = {"revm in process": _weigh_revm(transfers)}
    if anvil is not None:
        machines["anvil over HTTP"] = _weigh_anvil(anvil, transfers // 10)
    return msgspec.structs.replace(_live(blocks), machines=machines)


class _Payer:
    """Somebody with money on a devnet, and a clock that the blocks move."""

    def __init__(self) -> None:
        self.key = PrivateKey(b"\x07" * 32)
        self.address = of_key(self.key)
        funding = {base58_text(self.address): Funding(sun=SUPPLY, tokens={"USDT": SUPPLY})}
        self.devnet = Devnet(lambda: 0, funding=funding)
        self._paid = 0

    def payment(self) -> Transaction:
        """Sign a transfer to somebody new or old."""
        self._paid += 1
        recipient = b"\x41" + (self._paid % 500 + 2**64).to_bytes(20)
        data = call_data(TRANSFER, recipient, 1)
        return self.devnet.sign(Call(self.address, parse(self.devnet.tokens["USDT"]), data), self.key)


def _live(blocks: int) -> Report:
    payer = _Payer()
    devnet, node = payer.devnet, payer.devnet.node("main")
    spent = dict.fromkeys(("empty", "block", "broadcast", "reads", "fork"), 0.0)

    def timed(what: str, do: Callable[[], Any]) -> Any:
        began = time.process_time()
        outcome = do()
        spent[what] += time.process_time() - began
        return outcome

    def ask() -> None:
        node.answer("wallet/getnodeinfo")
        node.answer("walletsolidity/getblockbynum", {"num": devnet.solid_number})
        node.answer("walletsolidity/gettransactioninfobyblocknum", {"num": devnet.solid_number})
        node.answer("walletsolidity/getnowblock")

    for _each in range(blocks):
        timed("empty", devnet.produce)
    for _each in range(blocks):
        for payment in [payer.payment() for _again in range(3)]:
            body = {"transaction": payment.content.hex()}
            answer = timed("broadcast", lambda body=body: node.answer("wallet/broadcasthex", body))
            assert answer.json["result"], answer
        timed("block", devnet.produce)
        timed("reads", ask)
    forks = max(1, blocks // 10)
    for _each in range(forks):
        devnet.chain.push(payer.payment())
        devnet.produce(FORK_DEPTH)
        timed("fork", lambda: devnet.fork(FORK_DEPTH, drop_share=0.2))
    per = {name: round(1e6 * seconds / blocks, 1) for name, seconds in spent.items()}
    return Report(
        per["empty"],
        per["block"],
        round(per["broadcast"] / 3, 1),
        per["reads"],
        round(1e6 * spent["fork"] / forks, 1),
        {},
    )


def _weigh_revm(transfers: int) -> Weighed:
    owner, holder = b"\x41" + b"\x11" * 20, b"\x41" + b"\x22" * 20
    began = time.process_time()
    evm = Evm()
    token = evm.deploy(owner, token_code("Tether USD", "USDT"))
    started = time.process_time() - began
    evm.call(owner, token, call_data(ISSUE, holder, SUPPLY), ENERGY, 0)

    def transfer(number: int) -> None:
        recipient = b"\x41" + (number % 1_000 + 2**64).to_bytes(20)
        done = evm.call(holder, token, call_data(TRANSFER, recipient, 1), ENERGY, 0)
        assert done.result == "SUCCESS"

    def there_and_back(number: int) -> None:
        mark = evm.mark()
        transfer(number)
        evm.go_back(mark)

    rates = [_rate(do, transfers, time.process_time) for do in (transfer, there_and_back)]
    return Weighed(round(1_000 * started, 2), *rates)


def _weigh_anvil(binary: Path, transfers: int) -> Weighed:
    began = time.perf_counter()
    with _anvil(binary) as ask:
        owner = ask("eth_accounts")[0]
        free = {"from": owner, "gas": hex(3_000_000), "gasPrice": "0x0"}
        created = ask("eth_sendTransaction", free | {"data": "0x" + token_code("Tether USD", "USDT").hex()})
        ask("evm_mine")
        token = ask("eth_getTransactionReceipt", created)["contractAddress"]
        started = time.perf_counter() - began
        holder = b"\x41" + bytes.fromhex(owner[2:])
        ask("eth_sendTransaction", free | {"to": token, "data": "0x" + call_data(ISSUE, holder, SUPPLY).hex()})

        def transfer(number: int) -> None:
            recipient = b"\x41" + (number % 1_000 + 2**64).to_bytes(20)
            data = call_data(TRANSFER, recipient, 1)
            sent = ask("eth_sendTransaction", free | {"to": token, "data": "0x" + data.hex()})
            ask("evm_mine")
            assert ask("eth_getTransactionReceipt", sent)["status"] == "0x1"

        def there_and_back(number: int) -> None:
            mark = ask("evm_snapshot")
            transfer(number)
            ask("evm_revert", mark)

        rates = [_rate(do, transfers, time.perf_counter) for do in (transfer, there_and_back)]
    return Weighed(round(1_000 * started, 2), *rates)


@contextmanager
def _anvil(binary: Path) -> Iterator[Callable[..., Any]]:
    process = subprocess.Popen([binary, *ANVIL_FLAGS, f"--port={ANVIL_PORT}"])  # noqa: S603
    connection = http.client.HTTPConnection("127.0.0.1", ANVIL_PORT)

    def ask(method: str, *parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["result"]

    try:
        for _try in range(1_000):
            with suppress(OSError):
                connection.connect()
                break
            time.sleep(0.005)
        yield ask
    finally:
        process.terminate()
        process.wait()


def _rate(do: Callable[[int], None], count: int, clock: Callable[[], float]) -> float:
    began = clock()
    for number in range(count):
        do(number)
    return round(count / (clock() - began), 1)


def show(report: Report, console: Console) -> None:
    """Print the figures."""
    rows = [
        ("an empty block", report.empty_block),
        ("a block with three transfers", report.block),
        ("taking a transfer in", report.broadcast),
        ("a watcher's four questions about a block", report.reads),
        (f"a reorganisation of {FORK_DEPTH} blocks", report.reorganisation),
    ]
    table(console, "the devnet", ("microseconds of the processor", "each"), rows)
    weighed = [
        (name, each.start_and_deploy_ms, each.transfers_per_s, each.go_back_per_s)
        for name, each in report.machines.items()
    ]
    table(console, "machines", ("", "start, ms", "transfers/s", "there and back/s"), weighed)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tron_devnet", description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000)
    parser.add_argument("--transfers", type=int, default=10_000)
    parser.add_argument("--anvil", type=Path, help="anvil's binary, to compare with")
    options = parser.parse_args()
    console = Console()
    machine = Machine.here()
    introduce(console, "TRON devnet", machine)
    report = tron_devnet(options.blocks, options.transfers, options.anvil)
    show(report, console)
    settings = {"blocks": options.blocks, "transfers": options.transfers}
    path = save(result("tron_devnet", machine, settings, msgspec.to_builtins(report), ("pyrevm", "coincurve")))
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
