"""Typed identifiers: a bot's id is never mistaken for an order's id, at no cost at run time."""

from typing import NewType

BotId = NewType("BotId", str)
"""Eight characters of [a-z2-7]: short, because each order id of the bot carries it."""

AccountId = NewType("AccountId", str)
"""One set of exchange credentials: the unit that rate limits, balances and private streams belong to."""

UserId = NewType("UserId", str)
"""Who owns bots and accounts."""

LinkId = NewType("LinkId", str)
"""The order id that we choose (`orderLinkId` at Bybit): at most 36 characters of [A-Za-z0-9_-]."""

VenueOrderId = NewType("VenueOrderId", str)
"""The order id that the venue chose."""

ExecutionId = NewType("ExecutionId", str)
"""The venue's id of one execution; deduplication goes by it."""

Instant = NewType("Instant", int)
"""Milliseconds since the epoch, UTC. Always an argument: the engine has no clock."""

# ---------------------------------------------------------------------- settlement

CompanyId = NewType("CompanyId", str)
"""A member company of the club: `co_` and a word."""

MemberId = NewType("MemberId", str)
"""A person who acts for companies: `mb_…`."""

WalletId = NewType("WalletId", str)
"""An address of a company in its allow-list: `wa_…`."""

HotWalletId = NewType("HotWalletId", str)
"""An address whose key the platform holds: `hw_…`. One signer each."""

OfferId = NewType("OfferId", str)
"""`of_…`."""

DealId = NewType("DealId", str)
"""`de_…`."""

PairId = NewType("PairId", str)
"""A trust pair: `tp_…`."""

TrustSessionId = NewType("TrustSessionId", str)
"""One day of a trust pair: the pair's id and the local date, `tp_x:2026-11-22`."""

SettlementId = NewType("SettlementId", str)
"""What one side of a pair owes the other after a close: `se_…`."""

PayoutId = NewType("PayoutId", str)
"""What is approved and paid as one amount: `po_…`. A function of what it pays for, so that it exists once."""

PayoutTaskId = NewType("PayoutTaskId", str)
"""One transfer of a payout: the payout's id and the part's number, `po_x.1`."""

TelegramId = NewType("TelegramId", int)
"""A person, as Telegram counts them."""

CorrectionId = NewType("CorrectionId", str)
"""A correction of an address's books."""

TransferId = NewType("TransferId", str)
"""A ledger transfer: a function of the movement that it belongs to, so that it exists once."""

TxId = NewType("TxId", str)
"""A chain's transaction: 64 lower-case hex digits."""
