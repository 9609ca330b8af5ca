"""Splits, approvals, the allow-list, freezes, velocity and the purse: tables for each bound."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import CompanyId, HotWalletId, Instant, MemberId, PayoutId, WalletId
from engine.money import AssetId, Network
from engine.payments.allowlist import (
    LABEL_LENGTH_MAX,
    AllowedWallet,
    Standing,
    challenge_units,
    is_payable,
    proves,
    refuse_label,
    standing,
)
from engine.payments.approval import Approval, PayoutFields, fields_hash, missing, refuse_approver, valid_approvers
from engine.payments.batching import split, split_as_signed
from engine.payments.chain import Preflight, Shortage
from engine.payments.freeze import Freeze, Scope, may_leave, stopping
from engine.payments.purse import UnderWay, allot
from engine.payments.velocity import PayoutPolicy, room_units

USDT = AssetId("tron:USDT")
CAP = 200_000_000_000
ANNA, BORIS, CLARA, IVAN = (MemberId(name) for name in ("mb_anna", "mb_boris", "mb_clara", "mb_ivan"))
FIELDS = PayoutFields(PayoutId("po_x"), Network.TRON, USDT, 5_000, "TThere")

# ---------------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("units", "parts"),
    [
        (1, (1,)),
        (CAP - 1, (CAP - 1,)),
        (CAP, (CAP,)),
        (CAP + 1, (CAP, 1)),
        (2 * CAP, (CAP, CAP)),
        (2 * CAP + 7, (CAP, CAP, 7)),
    ],
)
def test_what_is_over_the_cap_is_split_exactly(units: int, parts: tuple[int, ...]) -> None:
    assert split(units, CAP) == parts


@given(st.integers(1, 10**24), st.integers(10**20, 10**23))
def test_the_parts_are_the_whole_and_none_is_over_the_cap(units: int, cap: int) -> None:
    parts = split(units, cap)
    assert sum(parts) == units
    assert all(0 < part <= cap for part in parts)
    assert len(parts) == -(-units // cap)


@pytest.mark.parametrize(("units", "cap"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_nothing_cannot_be_split(units: int, cap: int) -> None:
    with pytest.raises(ValueError, match="zero or less"):
        split(units, cap)


@given(st.integers(1, 10**6), st.integers(10**4, 10**6), st.integers(10**4, 10**6), st.data())
def test_whatever_was_signed_of_it_a_payout_is_cut_as_it_was(
    units: int, cap: int, cap_of_today: int, data: st.DataObject
) -> None:
    parts = split(units, cap)
    numbers = data.draw(st.sets(st.integers(1, len(parts)), min_size=1))
    again = split_as_signed(units, {number: parts[number - 1] for number in numbers}, cap_of_today)
    assert sum(again) == units
    assert all(again[number - 1] == parts[number - 1] for number in numbers)


def test_where_nothing_was_signed_or_nothing_explains_it_the_cap_of_today_holds() -> None:
    assert split_as_signed(2 * CAP + 7, {}, CAP) == (CAP, CAP, 7)
    assert split_as_signed(2 * CAP + 7, {2: CAP, 1: 3}, CAP) == (CAP, CAP, 7)


# ---------------------------------------------------------------------- approvals


@pytest.mark.parametrize(
    "changed",
    [
        {"id": PayoutId("po_y")},
        {"asset": AssetId("tron:USDC")},
        {"units": 5_001},
        {"destination": "TElsewhere"},
    ],
)
def test_a_changed_field_voids_the_approvals(changed: dict[str, object]) -> None:
    given_before = [Approval(ANNA, fields_hash(FIELDS)), Approval(BORIS, fields_hash(FIELDS))]
    now = fields_hash(msgspec.structs.replace(FIELDS, **changed))
    assert missing(2, given_before, fields_hash(FIELDS), {ANNA, BORIS}, "engine") == 0
    assert missing(2, given_before, now, {ANNA, BORIS}, "engine") == 2


def test_no_two_contents_are_hashed_alike() -> None:
    one = msgspec.structs.replace(FIELDS, id=PayoutId("po_x1"), destination="T")
    other = msgspec.structs.replace(FIELDS, id=PayoutId("po_x"), destination="T1")
    assert len({fields_hash(one), fields_hash(other), fields_hash(FIELDS)}) == 3


@pytest.mark.parametrize(
    ("who", "approvers", "initiator", "counted"),
    [
        ([ANNA, BORIS], {ANNA, BORIS}, "engine", {ANNA, BORIS}),
        ([ANNA, ANNA, ANNA], {ANNA, BORIS}, "engine", {ANNA}),
        ([ANNA, BORIS], {ANNA, BORIS}, BORIS, {ANNA}),
        ([ANNA, CLARA], {ANNA, BORIS}, "engine", {ANNA}),
        ([IVAN], set(), "engine", set()),
    ],
)
def test_only_distinct_present_approvers_who_did_not_ask_count(
    who: list[MemberId], approvers: set[MemberId], initiator: str, counted: set[MemberId]
) -> None:
    wanted = fields_hash(FIELDS)
    given_now = [Approval(member, wanted) for member in who]
    assert valid_approvers(given_now, wanted, approvers, initiator) == counted
    assert missing(2, given_now, wanted, approvers, initiator) == 2 - len(counted)


def test_who_asked_and_who_is_no_approver_may_not_approve() -> None:
    asked = refuse_approver(ANNA, {ANNA, BORIS}, ANNA)
    outsider = refuse_approver(CLARA, {ANNA, BORIS}, ANNA)
    assert asked is not None
    assert asked.code == "approver_is_initiator"
    assert outsider is not None
    assert outsider.code == "not_an_approver"
    assert refuse_approver(BORIS, {ANNA, BORIS}, ANNA) is None


# ---------------------------------------------------------------------- the allow-list


def wallet(**changes: object) -> AllowedWallet:
    row = AllowedWallet(
        id=WalletId("wa_x"),
        company_id=CompanyId("co_x"),
        network=Network.TRON,
        token=USDT,
        address="TThere",
        label="treasury",
        challenge_units=12_345,
        challenge_until_ms=Instant(1_000),
        verified_at_ms=None,
        active_from_ms=None,
        revoked_at_ms=None,
        created_at_ms=Instant(0),
    )
    return msgspec.structs.replace(row, **changes)


VERIFIED = {"verified_at_ms": 500, "active_from_ms": 2_000}


@pytest.mark.parametrize(
    ("row", "now", "reached"),
    [
        (wallet(), 1_000, Standing.CHALLENGED),
        (wallet(), 1_001, Standing.LAPSED),
        (wallet(**VERIFIED), 1_999, Standing.COOLING_OFF),
        (wallet(**VERIFIED), 2_000, Standing.ACTIVE),
        (wallet(**VERIFIED, revoked_at_ms=2_500), 3_000, Standing.REVOKED),
        (wallet(revoked_at_ms=1), 1, Standing.REVOKED),
    ],
)
def test_an_address_is_proved_then_cools_off_then_is_active(
    row: AllowedWallet, now: int, reached: Standing
) -> None:
    assert standing(row, Instant(now)) is reached


@pytest.mark.parametrize(
    ("sender", "token", "units", "at", "is_proof"),
    [
        ("TThere", USDT, 12_345, 1_000, True),
        ("TThere", USDT, 12_345, 1_001, False),
        ("TThere", USDT, 12_344, 500, False),
        ("TElsewhere", USDT, 12_345, 500, False),
        ("TThere", AssetId("tron:USDC"), 12_345, 500, False),
    ],
)
def test_only_the_very_transfer_that_was_asked_for_proves(
    sender: str, token: AssetId, units: int, at: int, is_proof: bool
) -> None:
    assert proves(wallet(), sender, token, units, Instant(at)) is is_proof


def test_a_revoked_address_cannot_be_proved_any_more() -> None:
    assert not proves(wallet(revoked_at_ms=1), "TThere", USDT, 12_345, Instant(500))


def test_challenges_are_at_least_a_cent_and_differ() -> None:
    assert challenge_units(0) == 10_000
    assert challenge_units(89_999) == 99_999
    assert challenge_units(90_000) == 10_000


@pytest.mark.parametrize(
    "changed",
    [
        {"payee": CompanyId("co_other")},
        {"token": AssetId("tron:USDC")},
        {"address": "TElsewhere"},
    ],
)
def test_a_row_is_payable_for_its_own_company_and_destination_only(changed: dict[str, object]) -> None:
    asked = {"payee": CompanyId("co_x"), "network": Network.TRON, "token": USDT, "address": "TThere"}
    assert is_payable(wallet(), **asked)  # type: ignore[arg-type]
    assert not is_payable(wallet(), **(asked | changed))  # type: ignore[arg-type]
    assert not is_payable(None, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["x" * (LABEL_LENGTH_MAX + 1), "two\nlines", "\x00"])
def test_a_label_that_cannot_be_shown_is_refused(label: str) -> None:
    assert refuse_label(label) is not None
    assert refuse_label("Казначейство, main") is None


# ---------------------------------------------------------------------- freezes


def freeze(scope: Scope, subject: str = "") -> Freeze:
    return Freeze("fz", scope, subject, False, "")


@pytest.mark.parametrize(
    ("freezes", "stops"),
    [
        ([], False),
        ([freeze(Scope.GLOBAL)], True),
        ([freeze(Scope.NETWORK, "tron")], True),
        ([freeze(Scope.NETWORK, "ton")], False),
        ([freeze(Scope.WALLET, "hw_1")], True),
        ([freeze(Scope.WALLET, "hw_2")], False),
        ([freeze(Scope.COMPANY, "co_payer")], True),
        ([freeze(Scope.COMPANY, "co_payee")], True),
        ([freeze(Scope.COMPANY, "co_other"), freeze(Scope.WALLET, "hw_2")], False),
        ([freeze(Scope.COMPANY, "co_other"), freeze(Scope.GLOBAL)], True),
    ],
)
def test_a_freeze_stops_its_scope_and_nothing_else(freezes: list[Freeze], stops: bool) -> None:
    companies = {CompanyId("co_payer"), CompanyId("co_payee")}
    assert (stopping(freezes, Network.TRON, HotWalletId("hw_1"), companies) is not None) is stops


@pytest.mark.parametrize(("actors", "leaves"), [(set(), False), ({"a"}, False), ({"a", "b"}, True)])
def test_leaving_a_freeze_takes_two(actors: set[str], leaves: bool) -> None:
    assert may_leave(actors) is leaves


# ---------------------------------------------------------------------- velocity


@pytest.mark.parametrize(("gone", "room"), [(0, 100), (99, 1), (100, 0), (130, 0)])
def test_what_has_gone_leaves_less_room(gone: int, room: int) -> None:
    assert room_units(PayoutPolicy(USDT, 50, 0, 1_000, 100), gone) == room


# ---------------------------------------------------------------------- the purse


def weighed(**changes: int | Shortage | None) -> Preflight:
    plain = Preflight(
        fee_limit=10,
        coin_units=100,
        token_units=1_000,
        energy_left=0,
        energy_needed=5,
        worst_fee_units=11,
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize(
    ("units", "facts", "under_way", "lacking"),
    [
        # Three fees of 11, and one unit less.
        ([1] * 3, {"coin_units": 33}, UnderWay(), [None, None, None]),
        ([1] * 3, {"coin_units": 32}, UnderWay(), [None, None, Shortage.ENERGY]),
        ([600, 500, 400], {}, UnderWay(), [None, Shortage.TOKEN, None]),
        ([600], {}, UnderWay(token_units=401, count=1), [Shortage.TOKEN]),
        ([600], {}, UnderWay(token_units=400, count=1), [None]),
        ([1], {"coin_units": 20}, UnderWay(count=1, fee_limits=10), [Shortage.ENERGY]),
        # Energy for two, and coin for the bandwidth of two and all of a third.
        ([1] * 3, {"energy_left": 10, "worst_fee_units": 1, "coin_units": 13}, UnderWay(), [None] * 3),
        (
            [1] * 3,
            {"energy_left": 10, "worst_fee_units": 1, "coin_units": 12},
            UnderWay(),
            [None, None, Shortage.ENERGY],
        ),
        # What is under way is covered by energy and needs no coin.
        ([1], {"energy_left": 10, "worst_fee_units": 1, "coin_units": 1}, UnderWay(1, 10), [None]),
        ([1], {"shortage": Shortage.RECIPIENT_NOT_ACTIVE}, UnderWay(), [Shortage.RECIPIENT_NOT_ACTIVE]),
    ],
)
def test_a_batch_shares_one_purse(
    units: list[int], facts: dict[str, int], under_way: UnderWay, lacking: list[Shortage | None]
) -> None:
    assert allot([(weighed(**facts), each) for each in units], under_way) == lacking


@given(
    st.lists(st.integers(1, 500), max_size=30),
    st.integers(0, 300),
    st.integers(0, 40),
    st.integers(0, 2_000),
)
def test_no_batch_spends_more_than_there_is(units: list[int], coin: int, energy: int, tokens: int) -> None:
    has_energy = energy >= 5
    one = weighed(coin_units=coin, energy_left=energy, token_units=tokens, worst_fee_units=1 if has_energy else 11)
    answers = allot([(one, each) for each in units], UnderWay())
    sent = [each for each, lacks in zip(units, answers, strict=True) if lacks is None]
    covered = min(len(sent), energy // 5)
    assert sum(sent) <= tokens
    assert covered * 1 + (len(sent) - covered) * 11 <= coin
