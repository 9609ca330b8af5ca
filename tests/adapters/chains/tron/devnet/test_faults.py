"""Each fault of a node: what it says, and what truly becomes of the transaction."""

import pytest

from adapters.chains.tron.devnet import HONEST, Conduct, Reading, Request, Sending, View

from .town import ALICE, BOB, USDT, Person, Town

SAID = {  # The status, the code and whether the transaction is in the next block after all.
    Sending.ANSWERED: (200, "SUCCESS", True),
    Sending.SILENT_ACCEPTED: (0, None, True),
    Sending.SILENT_DROPPED: (0, None, False),
    Sending.SILENT_LATE: (0, None, False),
    Sending.BROKEN_ACCEPTED: (500, None, True),
    Sending.BROKEN_DROPPED: (500, None, False),
    Sending.ERROR_ACCEPTED: (200, "NOT_ENOUGH_EFFECTIVE_CONNECTION", True),
    Sending.DUP_DROPPED: (200, "DUP_TRANSACTION_ERROR", False),
    Sending.BUSY: (200, "SERVER_BUSY", False),
    Sending.NO_CONNECTION: (200, "NO_CONNECTION", False),
    Sending.BLOCK_UNSOLIDIFIED: (200, "BLOCK_UNSOLIDIFIED", False),
    Sending.TOO_MANY: (429, None, False),
    Sending.TAKEN_DROPPED: (200, "SUCCESS", False),
}


@pytest.mark.parametrize("sending", Sending)
def test_a_broadcast_says_one_thing_and_does_another(sending: Sending) -> None:
    town = Town()
    payment = town.transfer(1)
    status, code, is_included = SAID[sending]
    town.node.next_sends.append(Conduct(sending=sending, late_blocks=2))
    answer = town.node.answer("wallet/broadcasthex", {"transaction": payment.content.hex()})
    assert answer.status == status
    assert (answer.json or {}).get("code") == code
    town.produce()
    assert bool(town.receipt(payment)) == is_included
    town.produce(2)
    assert bool(town.receipt(payment)) == (is_included or sending is Sending.SILENT_LATE)
    expected = {} if sending is Sending.ANSWERED else {f"sending:{sending}": 1}
    assert town.devnet.injected == expected


@pytest.mark.parametrize("sending", [Sending.SILENT_ACCEPTED, Sending.ERROR_ACCEPTED, Sending.SILENT_LATE])
def test_a_fault_never_accepts_what_a_node_would_refuse(sending: Sending) -> None:
    town = Town()
    payment = town.sign(town.transfer(1).raw.contract, BOB.key)
    town.node.next_sends.append(Conduct(sending=sending, late_blocks=1))
    town.send(payment)
    town.produce(5)
    assert town.receipt(payment) == {}


def test_late_bytes_that_another_node_takes_meanwhile_are_included_once_and_at_once() -> None:
    town = Town()
    payment = town.transfer(1)
    town.node.next_sends.append(Conduct(sending=Sending.SILENT_LATE, late_blocks=4))
    town.send(payment)
    assert town.send(payment, "fallback")["code"] == "SUCCESS"
    town.produce()
    assert town.usdt_of(BOB) == 1
    assert town.send(payment)["code"] == "DUP_TRANSACTION_ERROR"
    town.produce(8)
    assert town.usdt_of(BOB) == 1


def test_with_the_cache_of_ids_a_refused_transaction_is_a_duplicate_at_its_second_try() -> None:
    town = Town()
    town.node.conduct = Conduct(caches_ids=True)
    early = town.transfer(1, expires_in_ms=86_400_001)
    assert town.code(early) == "TRANSACTION_EXPIRATION_ERROR"
    town.produce()
    assert town.code(early) == "DUP_TRANSACTION_ERROR"  # Now it would be in time, and is still told to be known.
    town.produce(3)
    assert town.receipt(early) == {}
    assert town.send(early, "fallback")["code"] == "SUCCESS"


@pytest.mark.parametrize(
    ("reading", "status"), [("silent", 0), ("broken", 500), ("unavailable", 503), ("too_many", 429)]
)
def test_a_reading_request_is_lost_exactly_once(reading: str, status: int) -> None:
    town = Town()
    town.node.next_reads.append(Conduct(reading=Reading(reading)))
    assert town.node.answer("wallet/getnowblock").status == status
    assert town.node.answer("wallet/getnowblock").status == 200
    assert town.devnet.injected == {f"reading:{reading}": 1}


def test_a_lagging_node_is_behind_in_everything() -> None:
    town = Town()
    town.produce(5)
    payment = town.transfer(5 * USDT)
    town.paid(payment)
    town.produce(18)
    assert town.receipt(payment, "walletsolidity")
    town.node.conduct = Conduct(view=View(lag=3))
    head = town.devnet.head.number
    assert town.ask("getnodeinfo")["block"].startswith(f"Num:{head - 3},")
    assert town.ask("getnodeinfo")["solidityBlock"].startswith(f"Num:{town.devnet.solid_number - 3},")
    assert town.ask("getblockbynum", num=head - 2) == {}
    assert town.ask("gettransactioninfobyblocknum", num=head - 2) == []
    assert town.receipt(payment, "walletsolidity") == {}
    assert _balance_told(town, BOB, "walletsolidity") == 0
    assert _balance_told(town, BOB, "wallet") == 5 * USDT


def test_a_node_that_missed_the_reorganisation_shows_the_old_branch_whole() -> None:
    town = Town()
    town.produce(20)
    payment = town.transfer(5)
    town.paid(payment)
    old = town.ask("getnowblock")
    town.devnet.fork(2, lost={payment.id})
    town.node.conduct = Conduct(view=View(on_abandoned=True))
    assert town.ask("getnowblock") == old
    number = town.receipt(payment)["blockNumber"]
    assert number == old["block_header"]["raw_data"]["number"]
    town.produce(30)
    assert town.ask("getnowblock") == old
    assert town.ask("walletsolidity/getnowblock")["block_header"]["raw_data"]["number"] == number - 2
    assert town.receipt(payment, "walletsolidity") == {}
    town.node.conduct = HONEST
    assert town.ask("getnowblock")["blockID"] != old["blockID"]
    assert town.receipt(payment) == {}


def test_a_node_on_another_branch_disagrees_from_a_number_on_and_its_blocks_hang_together() -> None:
    town = Town()
    town.produce(30)
    town.devnet.node("fallback").conduct = Conduct(view=View(branch_from=20))
    true = [town.devnet.node("main").answer("wallet/getblockbynum", {"num": each}).json for each in range(31)]
    other = [town.devnet.node("fallback").answer("wallet/getblockbynum", {"num": each}).json for each in range(31)]
    assert true[:20] == other[:20]
    for number in range(20, 31):
        assert true[number]["blockID"] != other[number]["blockID"]
        assert other[number]["block_header"]["raw_data"]["parentHash"] == other[number - 1]["blockID"]


def test_a_lying_node_hides_a_transaction_from_block_receipts_and_look_ups() -> None:
    town = Town()
    hidden, plain = town.transfer(1), town.transfer(2)
    town.send(hidden)
    number = town.paid(plain)["blockNumber"]
    town.node.conduct = Conduct(view=View(withheld=frozenset({hidden.id})))
    assert [each["txID"] for each in town.ask("getblockbynum", num=number)["transactions"]] == [plain.id]
    assert [each["id"] for each in town.ask("gettransactioninfobyblocknum", num=number)] == [plain.id]
    assert town.receipt(hidden) == town.ask("gettransactionbyid", value=hidden.id) == {}
    town.node.conduct = Conduct(view=View(no_receipt=True))
    assert town.receipt(plain) == {}
    assert town.ask("gettransactionbyid", value=plain.id)["txID"] == plain.id


def test_receipts_of_a_block_that_a_node_lacks_are_an_empty_list_as_if_the_block_were_empty() -> None:
    town = Town()
    number = town.paid(town.transfer(1))["blockNumber"]
    town.node.conduct = Conduct(view=View(missing=frozenset({number})))
    assert town.ask("gettransactioninfobyblocknum", num=number) == []
    assert town.ask("getblockbynum", num=number) == {}
    town.node.conduct = Conduct(view=View(empty_receipts=True))
    assert town.ask("gettransactioninfobyblocknum", num=number) == []
    assert town.ask("getblockbynum", num=number)["transactions"]


def test_a_lying_node_tells_wrong_balances() -> None:
    town = Town()
    lies = View(balances=((ALICE.address, 7),), token_balances=((BOB.address, 9),))
    town.node.conduct = Conduct(view=lies)
    assert town.ask("getaccount", address=ALICE.address, visible=True)["balance"] == 7
    assert _balance_told(town, BOB, "wallet") == 9
    assert _balance_told(town, ALICE, "wallet") == 1_000_000 * USDT


def test_a_chooser_sees_each_request_and_decides_it() -> None:
    town = Town()
    seen: list[Request] = []

    def choose(request: Request) -> Conduct | None:
        seen.append(request)
        return Conduct(reading=Reading.BROKEN) if request.node == "fallback" else None

    town.devnet.choose_with(choose)
    assert town.devnet.node("fallback").answer("walletsolidity/getnowblock").status == 500
    payment = town.transfer(1)
    assert town.code(payment) == "SUCCESS"
    assert [(each.node, each.path, each.is_broadcast, each.number) for each in seen] == [
        ("fallback", "walletsolidity/getnowblock", False, 0),
        ("main", "wallet/broadcasthex", True, 1),
    ]
    assert seen[1].body == {"transaction": payment.content.hex()}


def _balance_told(town: Town, person: Person, area: str) -> int:
    parameter = (bytes(12) + person.raw_address[1:]).hex()
    answer = town.ask(
        f"{area}/triggerconstantcontract",
        owner_address=ALICE.address,
        contract_address=town.usdt,
        function_selector="balanceOf(address)",
        parameter=parameter,
        visible=True,
    )
    return int(answer["constant_result"][0], 16)
