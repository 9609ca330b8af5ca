"""Who may sign what: owner, active permissions, thresholds, and the words of a refusal."""

from adapters.chains.tron.devnet.accounts import DEFAULT_OPERATIONS
from adapters.chains.tron.devnet.transaction_json import shown
from adapters.chains.tron.devnet.transactions import (
    Call,
    Key,
    Permission,
    Transaction,
    UpdatePermissions,
)

from .town import ALICE, BOB, CAROL, TRX, Person, Town, transfer_of_trx

ONLY_CALLS = bytes([0, 0, 0, 0x80, *bytes(28)])  # Bit 31: TriggerSmartContract.


def two_of_three() -> Permission:
    return Permission(0, "owner", 2, tuple(Key(each.raw_address, 1) for each in (ALICE, BOB, CAROL)))


def for_calls(*keys: Person) -> Permission:
    return Permission(2, "payouts", 1, tuple(Key(each.raw_address, 1) for each in keys), ONLY_CALLS)


def update(town: Town, owner: Permission, *actives: Permission) -> Transaction:
    return town.sign(UpdatePermissions(ALICE.raw_address, owner, actives))


def test_a_stranger_s_signature_is_refused_by_name() -> None:
    town = Town()
    payment = town.sign(transfer_of_trx(TRX), BOB.key)
    answer = town.send(payment)
    assert answer["code"] == "SIGERROR"
    assert answer["message"] == (
        f"Validate signature error: {payment.id} is signed by {BOB.address} but it is not contained of permission."
    )


def test_nothing_signed_twice_signed_or_signed_with_rubbish_is_accepted() -> None:
    town = Town()
    plain = transfer_of_trx(TRX)
    assert town.code(town.sign(plain, ALICE.key, ALICE.key)) == "SIGERROR"
    from adapters.chains.tron.devnet.transactions import signed_with

    payment = town.sign(plain)
    assert town.code(signed_with(payment)) == "SIGERROR"
    assert town.code(signed_with(payment, bytes(65))) == "SIGERROR"
    assert town.code(signed_with(payment, b"short")) == "SIGERROR"
    assert town.code(payment) == "SUCCESS"


def test_new_permissions_cost_a_hundred_trx_and_hold_from_then_on() -> None:
    town = Town()
    assert town.paid(update(town, two_of_three(), for_calls(ALICE)))["fee"] == 100 * TRX
    assert town.send(town.sign(transfer_of_trx(TRX)))["message"].endswith("Signature weight is not enough")
    both = town.sign(transfer_of_trx(TRX), ALICE.key, CAROL.key)
    before = town.trx_of(ALICE)
    receipt = town.paid(both)
    # Activation, and a TRX for more than one signature.
    assert receipt["fee"] == 1_100_000 + TRX
    assert town.trx_of(ALICE) == before - TRX - receipt["fee"]


def test_an_active_permission_signs_with_its_keys_and_only_its_operations() -> None:
    town = Town()
    town.paid(update(town, two_of_three(), for_calls(CAROL)))
    payment = town.transfer(5)
    call = payment.raw.contract
    assert isinstance(call, Call)
    assert town.code(town.sign(call, ALICE.key, permission_id=2)) == "SIGERROR"
    assert town.code(town.sign(transfer_of_trx(TRX), CAROL.key, permission_id=2)) == "SIGERROR"
    assert town.code(town.sign(call, CAROL.key, permission_id=3)) == "SIGERROR"
    assert town.code(town.sign(call, CAROL.key, permission_id=0)) == "SIGERROR"
    assert town.paid(town.sign(call, CAROL.key, permission_id=2))["receipt"]["result"] == "SUCCESS"


def test_an_account_that_never_changed_them_has_the_usual_active_permission() -> None:
    town = Town()
    payment = town.transfer(5)
    assert town.paid(town.sign(payment.raw.contract, permission_id=2))["receipt"]["result"] == "SUCCESS"
    change = UpdatePermissions(ALICE.raw_address, two_of_three(), (for_calls(ALICE),))
    assert town.code(town.sign(change, permission_id=2)) == "SIGERROR"
    account = town.ask("getaccount", address=ALICE.address, visible=True)
    assert account["active_permission"][0]["operations"] == DEFAULT_OPERATIONS.hex()


def test_a_reorganisation_takes_a_change_of_permissions_back() -> None:
    town = Town()
    change = update(town, two_of_three(), for_calls(ALICE))
    town.paid(change)
    town.devnet.fork(1, lost={change.id})
    assert town.code(town.sign(transfer_of_trx(TRX))) == "SUCCESS"


def test_the_weight_of_signatures_is_told_without_broadcasting() -> None:
    town = Town()
    town.paid(update(town, two_of_three(), for_calls(ALICE)))
    one = town.sign(transfer_of_trx(TRX), BOB.key)
    two = town.sign(transfer_of_trx(TRX), BOB.key, CAROL.key)
    answer = town.ask("getsignweight", **shown(one, visible=True))
    assert answer["result"] == {"code": "NOT_ENOUGH_PERMISSION"}
    assert (answer["current_weight"], answer["approved_list"]) == (1, [BOB.address])
    assert answer["transaction"]["transaction"]["txID"] == one.id
    answer = town.ask("getsignweight", **shown(two, visible=False))
    assert (answer["result"], answer["current_weight"]) == ({}, 2)
    stranger = town.sign(transfer_of_trx(TRX), Person("stranger").key)
    assert town.ask("getsignweight", **shown(stranger, visible=True))["result"]["code"] == "PERMISSION_ERROR"
    assert town.ask("getpendingsize") == {"pendingSize": 0}
