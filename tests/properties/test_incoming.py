"""Matching as a machine: whatever arrives, money goes to one place each, and no deal is funded twice."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ids import CompanyId, HotWalletId, Instant
from engine.money import Asset
from engine.payments.allowlist import AllowedWallet
from engine.payments.incoming import (
    Arrival,
    Expectations,
    IncomingStatus,
    MatchingPolicy,
    Place,
    Verdict,
    match,
    tolerance_units,
)
from engine.settlement.deals import DealStatus, Expected
from engine.settlement.pass_through import follow
from tests.unit.payments.arrivals import (
    BLOCK_TIME,
    TRX,
    USDC,
    USDT,
    arrival,
    deal,
    expecting,
    proved_wallet,
    unproved_wallet,
)

POLICY = MatchingPolicy()
# Few different amounts, near each other and far: so that they meet.
AMOUNTS = st.sampled_from([999, 9_999, 10_000, 34_567, 999_500, 1_000_000, 1_000_900, 1_002_000, 5_000_000])
SENDERS = st.sampled_from(["TKnown", "TNew", "TStranger"])
ASSETS = st.sampled_from([USDT, USDT, USDT, USDC, TRX, None])
HOTS = st.sampled_from(["hw_payer", "hw_other"])

DEALS = st.lists(
    st.tuples(
        AMOUNTS,
        st.sampled_from([USDT, USDT, USDC]),
        st.sampled_from(list(DealStatus)),
        HOTS,
        st.sampled_from([-1, 0, 60_000]),
    ),
    max_size=8,
)
ARRIVALS = st.lists(st.tuples(AMOUNTS, ASSETS, SENDERS, HOTS), max_size=12)


def made(
    deals: Sequence[tuple[int, Asset, DealStatus, str, int]],
    arrivals: Sequence[tuple[int, Asset | None, str, str]],
) -> tuple[list[Arrival], Expectations]:
    awaited: list[Expected] = [
        deal(f"de_{n}", units, asset=asset, status=status, hot_wallet=hot, deadline_ms=Instant(BLOCK_TIME + left))
        for n, (units, asset, status, hot, left) in enumerate(deals)
    ]
    wallets: list[AllowedWallet] = [proved_wallet("wa_k", "TKnown"), unproved_wallet("wa_n", "TNew", units=34_567)]
    came = [
        arrival(
            units,
            sender=sender,
            asset=asset,
            tx=n,
            hot_wallet=HotWalletId(hot),
            company=CompanyId(hot.replace("hw_", "co_")),
        )
        for n, (units, asset, sender, hot) in enumerate(arrivals)
    ]
    return came, expecting(*awaited, wallets=wallets)


@settings(max_examples=150, deadline=None)
@given(DEALS, ARRIVALS)
def test_each_transfer_has_one_verdict_and_every_unit_of_it_one_place(
    deals: list[tuple[int, Asset, DealStatus, str, int]], arrivals: list[tuple[int, Asset | None, str, str]]
) -> None:
    came, expected = made(deals, arrivals)

    verdicts = match(came, expected, POLICY, BLOCK_TIME)

    assert [verdict.arrival for verdict in verdicts] == came
    for verdict in verdicts:
        assert verdict.units + verdict.surplus_units == verdict.arrival.units
        assert verdict.units > 0
        assert verdict.surplus_units >= 0
        assert verdict.status is not IncomingStatus.REVERSED
        assert (verdict.place is Place.NOWHERE) == (verdict.arrival.asset is None)
        assert verdict.surplus_units == 0 or verdict.place is Place.DEAL


@settings(max_examples=150, deadline=None)
@given(DEALS, ARRIVALS)
def test_no_deal_is_funded_twice_nor_with_more_or_much_less_than_its_amount(
    deals: list[tuple[int, Asset, DealStatus, str, int]], arrivals: list[tuple[int, Asset | None, str, str]]
) -> None:
    came, expected = made(deals, arrivals)

    verdicts = match(came, expected, POLICY, BLOCK_TIME)

    funded = [verdict for verdict in verdicts if verdict.place is Place.DEAL]
    assert max(Counter(verdict.matched_to for verdict in funded).values(), default=1) == 1
    for verdict in funded:
        assert verdict.deal is not None
        asset = verdict.arrival.asset
        assert asset is not None
        assert verdict.deal.asset == asset.id
        assert verdict.deal.hot_wallet == verdict.arrival.hot_wallet
        assert verdict.deal.status is DealStatus.AWAITING_INCOMING
        assert verdict.deal.deadline_ms >= BLOCK_TIME
        assert verdict.deal.units - tolerance_units(POLICY, asset, verdict.deal.units) <= verdict.units
        assert verdict.units <= verdict.deal.units


@settings(max_examples=150, deadline=None)
@given(DEALS, ARRIVALS)
def test_what_follows_books_every_listed_unit_once_and_pays_no_more_than_came(
    deals: list[tuple[int, Asset, DealStatus, str, int]], arrivals: list[tuple[int, Asset | None, str, str]]
) -> None:
    came, expected = made(deals, arrivals)
    verdicts = match(came, expected, POLICY, BLOCK_TIME)

    then = follow(verdicts, {}, BLOCK_TIME)

    booked: Counter[str] = Counter()
    for transfer in then.transfers:
        assert transfer.debit.code.startswith("wallet:")
        booked[transfer.reference] += transfer.units
    assert booked == Counter({each.id: each.units for each in came if each.asset is not None})
    assert len({transfer.id for transfer in then.transfers}) == len(then.transfers)
    by_id = {verdict.arrival.id: verdict for verdict in verdicts}
    paid = [(payout.purpose_id, payout.units) for payout in then.payouts]
    assert len({payout.id for payout in then.payouts}) == len(paid)
    for purpose_id, units in paid:
        source = by_id.get(purpose_id) or next(v for v in verdicts if v.matched_to == purpose_id)  # type: ignore[call-overload]
        assert units == source.units
    assert len(then.announcements) == len(came)


@settings(max_examples=150, deadline=None)
@given(DEALS, ARRIVALS, st.randoms(use_true_random=False))
def test_the_order_of_transfers_to_different_addresses_does_not_matter(
    deals: list[tuple[int, Asset, DealStatus, str, int]],
    arrivals: list[tuple[int, Asset | None, str, str]],
    random: object,
) -> None:
    came, expected = made(deals, arrivals)
    one = [each for each in came if each.hot_wallet == "hw_payer"]
    other = [each for each in came if each.hot_wallet != "hw_payer"]
    # Any order that keeps each address's own.
    picks = [one] * len(one) + [other] * len(other)
    random.shuffle(picks)  # type: ignore[attr-defined]
    waiting = {id(one): iter(one), id(other): iter(other)}
    mixed = [next(waiting[id(pick)]) for pick in picks]

    def by_id(verdicts: list[Verdict]) -> dict[str, Verdict]:
        return {verdict.arrival.id: verdict for verdict in verdicts}

    in_order = match(came, expected, POLICY, BLOCK_TIME)
    assert by_id(match(mixed, expected, POLICY, BLOCK_TIME)) == by_id(in_order)
