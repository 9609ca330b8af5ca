"""A devnet that is killed comes back with the same blocks, and its nodes over HTTP are the nodes inside."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.chains.tron.devnet import Devnet, Funding, Rules
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.devnet import demo_account
from adapters.chains.tron.devnet.journal import FILE_NAME, Journal, JournalRefused
from adapters.chains.tron.devnet.server import Server

from .town import ALICE, BOB, TRX, USDT, Town, transfer_of_trx

ROOT = Path(__file__).parents[5]
RULES = Rules()
FUNDING = {ALICE.address: Funding(sun=10_000 * TRX, tokens={"USDT": 1_000_000 * USDT})}


def town_of(journal: Journal, now_ms: int = RULES.genesis_ms) -> Town:
    """Open a journal and live in its chain."""
    town = Town()
    town.now_ms = now_ms
    town.devnet = journal.open(lambda: town.now_ms, RULES, FUNDING)
    town.node = town.devnet.node("main")
    return town


def live(town: Town) -> None:
    """Fill a chain with everything that a journal must carry."""
    false = town.devnet.deploy_token("Tether USD", "USDT2")
    town.devnet.set_energy(ALICE.address, 100_000)
    for number in range(1, 40):
        town.send(town.transfer(number, memo=b"x" * (number % 2)))
        town.send(town.sign(transfer_of_trx(number)))
        town.produce()
        if number % 10 == 0:
            town.devnet.fork(4, drop_share=0.3)
    assert town.devnet.token_balance(false, BOB.address) == 0


def test_a_reopened_chain_has_the_same_blocks_and_state_and_goes_on_the_same_way(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    town = town_of(journal)
    live(town)
    ids = [block.id for block in town.devnet.chain.blocks]
    receipts = [town.ask("gettransactioninfobyblocknum", num=number) for number in range(len(ids))]
    journal.close()
    again = town_of(Journal(tmp_path), town.now_ms)
    assert [block.id for block in again.devnet.chain.blocks] == ids
    assert [again.ask("gettransactioninfobyblocknum", num=number) for number in range(len(ids))] == receipts
    assert again.usdt_of(BOB) == town.usdt_of(BOB)
    assert again.trx_of(ALICE) == town.trx_of(ALICE)
    for each in (town, again):
        each.devnet.chain.listener = lambda change: None
        each.devnet.chain.waiting.clear()
        each.produce(2)
        each.devnet.fork(3, drop_share=0.5)
    assert again.devnet.head.id == town.devnet.head.id


@pytest.mark.parametrize("lost_bytes", [1, 40, 400])
def test_a_torn_last_line_is_a_step_that_nobody_saw(tmp_path: Path, lost_bytes: int) -> None:
    journal = Journal(tmp_path)
    town = town_of(journal)
    town.paid(town.transfer(5))
    town.produce(3)
    town.paid(town.transfer(6))
    journal.close()
    path = tmp_path / FILE_NAME
    os.truncate(path, path.stat().st_size - lost_bytes)
    journal = Journal(tmp_path)
    again = town_of(journal, town.now_ms)
    ids = [block.id for block in town.devnet.chain.blocks]
    assert [block.id for block in again.devnet.chain.blocks] == ids[:-1]
    assert again.usdt_of(BOB) == 5
    again.paid(again.transfer(7))
    journal.close()
    assert town_of(Journal(tmp_path), again.now_ms).usdt_of(BOB) == 12


def test_a_folder_serves_one_process_and_one_chain(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    town_of(journal)
    with pytest.raises(JournalRefused, match="another devnet is running"):
        Journal(tmp_path)
    journal.close()
    with pytest.raises(JournalRefused, match="no chain can be kept in"):
        Journal(tmp_path / FILE_NAME / "devnet")
    with pytest.raises(JournalRefused, match="solid_lag 18, not 3"):
        Journal(tmp_path).open(lambda: RULES.genesis_ms, Rules(solid_lag=3), {})


# ---------------------------------------------------------------------- over HTTP


@pytest.fixture
async def served() -> AsyncIterator[tuple[Town, Server, aiohttp.ClientSession]]:
    town = Town()
    server = Server(town.devnet, produces=False)
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield town, server, session
    await server.stop()


async def post(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    async with session.post(url, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_each_node_answers_on_its_own_port_by_query_or_body(served: Any) -> None:
    town, server, session = served
    main, fallback = server.addresses["main"], server.addresses["fallback"]
    town.produce(2)
    assert await post(session, f"{main}/wallet/getblockbynum", {"num": 1}) == town.ask("getblockbynum", num=1)
    async with session.get(f"{fallback}/wallet/getblockbynum?num=1") as response:
        assert await response.json() == town.ask("getblockbynum", num=1)
    async with session.get(f"{main}/wallet/nothing") as response:
        assert response.status == 404
    async with session.post(f"{main}/walletsolidity/broadcasthex", json={}) as response:
        assert response.status == 404
    async with session.post(f"{main}/wallet/getaccount", data=b"{") as response:
        assert "Error" in await response.json()
    async with session.post(f"{main}/wallet/getaccount", json={"address": "nonsense"}) as response:
        assert "is no address" in (await response.json())["Error"]


async def test_silence_ends_with_the_client_s_patience_and_the_bytes_may_be_in(served: Any) -> None:
    town, server, session = served
    main = server.addresses["main"]
    await post(
        session,
        f"{main}/devnet/conduct",
        {"node": "main", "conduct": {"sending": "silent_accepted"}, "next_sends": 1},
    )
    payment = town.transfer(5)
    with pytest.raises(TimeoutError):
        async with session.post(
            f"{main}/wallet/broadcasthex",
            json={"transaction": payment.content.hex()},
            timeout=aiohttp.ClientTimeout(total=0.2),
        ):
            pass
    await post(session, f"{main}/devnet/produce", {})
    assert town.receipt(payment)["receipt"]["result"] == "SUCCESS"


async def test_the_operator_funds_forks_lies_and_reads_what_was_injected(served: Any) -> None:
    town, server, session = served
    main = server.addresses["main"]
    given = {"address": BOB.address, "sun": 5 * TRX, "tokens": {"USDT": 7, "USDC": 8}}
    assert len((await post(session, f"{main}/devnet/faucet", given))["transactions"]) == 3
    await post(session, f"{main}/devnet/account", {"address": BOB.address, "energy_limit": 65_000})
    await post(session, f"{main}/devnet/produce", {"blocks": 3})
    assert (town.usdt_of(BOB), town.trx_of(BOB)) == (7, 5 * TRX)
    head = town.devnet.head.id
    assert (await post(session, f"{main}/devnet/fork", {"depth": 2}))["from_block"] == town.devnet.head.number - 1
    assert town.devnet.head.id != head
    await post(session, f"{main}/devnet/conduct", {"node": "fallback", "conduct": {"view": {"lag": 2}}})
    answer = await post(session, f"{server.addresses['fallback']}/wallet/getnowblock", {})
    assert answer["block_header"]["raw_data"]["number"] == town.devnet.head.number - 2
    await post(session, f"{main}/devnet/clear", {})
    async with session.get(f"{main}/devnet/status") as response:
        status = await response.json()
    assert status["injected"] == {"view:lag": 1}
    assert status["head"] == town.devnet.head.number
    for path, body, code in [
        ("fork", {"depth": 99}, 422),
        ("faucet", {"address": BOB.address, "tokens": {"DAI": 1}}, 422),
        ("faucet", {"adress": "x"}, 422),
        ("conduct", {"node": "third"}, 404),
    ]:
        async with session.post(f"{main}/devnet/{path}", json=body) as response:
            assert response.status == code


async def test_blocks_come_by_themselves_in_their_slots() -> None:
    rules = Rules(block_ms=50, genesis_ms=time.time_ns() // 1_000_000 // 50 * 50)
    server = Server(Devnet(lambda: time.time_ns() // 1_000_000, rules))
    await server.start()
    await asyncio.sleep(0.6)
    await server.stop()
    blocks = server.devnet.chain.blocks
    assert len(blocks) > 6
    assert all((block.time_ms - rules.genesis_ms) % 50 == 0 for block in blocks)
    assert abs(time.time_ns() // 1_000_000 - blocks[-1].time_ms) < 500


# ---------------------------------------------------------------------- the command


class Command:
    """`trellis devnet tron` in a process of its own."""

    def __init__(self, home: Path) -> None:
        arguments = ["devnet", "tron", "--port", "0", "--block-time", "0.05", "--home", str(home)]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "trellis.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=home.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.words: dict[str, str] = {}
        for line in self.process.stdout:
            if found := re.match(r"  (\w+) +(\S+)", line):
                self.words[found[1]] = found[2]
            if "operator" in self.words:
                break

    def kill(self) -> None:
        """End it as a power button would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    started: list[Command] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.wait()


async def test_the_command_survives_kills_with_every_block_that_anybody_saw(
    tmp_path: Path, commands: list[Command]
) -> None:
    alice, key = demo_account("trellis", "alice")
    seen: dict[int, str] = {}
    sent: list[str] = []
    async with aiohttp.ClientSession() as session:
        for life in range(2):
            command = Command(tmp_path / "chain")
            commands.append(command)
            main = command.words["main"]
            assert command.words["alice"] == alice
            for number, block_id in seen.items():
                answer = await post(session, f"{main}/wallet/getblockbynum", {"num": number})
                assert answer["blockID"] == block_id
            for _each in range(5 + life):
                given = {"address": BOB.address, "tokens": {"USDT": 1}}
                sent += (await post(session, f"{main}/devnet/faucet", given))["transactions"]
                await asyncio.sleep(0.06)
                now = await post(session, f"{main}/walletsolidity/getnowblock", {})
                seen[now["block_header"]["raw_data"].get("number", 0)] = now["blockID"]
            command.kill()
        command = Command(tmp_path / "chain")
        commands.append(command)
        main = command.words["main"]
        await asyncio.sleep(0.2)
        found = [
            bool(await post(session, f"{main}/wallet/gettransactioninfobyid", {"value": each})) for each in sent
        ]
        asked = {
            "owner_address": BOB.address,
            "contract_address": command.words["USDT"],
            "data": call_data("balanceOf(address)", BOB.raw_address).hex(),
            "visible": True,
        }
        answer = await post(session, f"{main}/wallet/triggerconstantcontract", asked)
        assert int(answer["constant_result"][0], 16) == sum(found) >= len(sent) - 8
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(timeout=10) == 0
    assert key.secret


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("folder", "another devnet is running in {home}"),
        ("seed", "has seed trellis, not other"),
        ("port", "The devnet cannot listen: "),
    ],
)
def test_the_command_says_in_a_line_why_it_does_not_start(tmp_path: Path, spoil: str, words: str) -> None:
    home = tmp_path / "chain"
    arguments = ["devnet", "tron", "--port", "0", "--home", str(home)]
    journal = Journal(home)
    journal.open(lambda: RULES.genesis_ms, RULES, {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if spoil != "folder":
            journal.close()
        if spoil == "seed":
            arguments += ["--seed", "other"]
        if spoil == "port":
            arguments[3] = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, str(ROOT / "trellis.py"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 1
    assert words.format(home=home) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
