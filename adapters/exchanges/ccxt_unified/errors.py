"""ccxt's exceptions, sorted into our three."""

from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable, VenueError

_BY_CLASS = (
    ("InsufficientFunds", RejectReason.INSUFFICIENT_BALANCE),
    ("DuplicateOrderId", RejectReason.DUPLICATE_LINK_ID),
    ("OrderImmediatelyFillable", RejectReason.WOULD_TAKE_LIQUIDITY),
    ("OrderNotFound", RejectReason.NOT_FOUND),
    ("BadSymbol", RejectReason.NOT_FOUND),
    ("AuthenticationError", RejectReason.PERMISSION),
    ("PermissionDenied", RejectReason.PERMISSION),
    ("AccountSuspended", RejectReason.PERMISSION),
    ("MarketClosed", RejectReason.HALTED),
)
_BY_WORDS = (
    # ccxt knows most refusals only as InvalidOrder; the exchange's own text says which. First match wins.
    (("duplicate", "already exist", "170141", "110072"), RejectReason.DUPLICATE_LINK_ID),
    (("post only", "postonly", "would immediately match", "170218"), RejectReason.WOULD_TAKE_LIQUIDITY),
    (("does not exist", "not exist", "unknown order", "order not found"), RejectReason.NOT_FOUND),
    (("filled or cancel", "already been cancel", "already closed", "110008", "110010", "170142", "170139"),
     RejectReason.ALREADY_CLOSED),
    (("notional", "min value", "lower limit", "minimum", "funds should", "110094", "170140", "170136"),
     RejectReason.BELOW_MINIMUM),
    (("reduce only", "reduceonly", "reduce-only", "110017"), RejectReason.REDUCE_ONLY),
    (("insufficient", "110007", "170131"), RejectReason.INSUFFICIENT_BALANCE),
    (("max num orders", "max_num_orders", "max open order", "maximum order limit", "too many orders",
      "pending orders reached", "110020"),
     RejectReason.TOO_MANY_ORDERS),
    (("percent_price", "price limit", "110003", "170132", "170133", "170193", "170194",
      "max. price", "price should be", "price can't be", "price exceeds"),
     RejectReason.PRICE_OUT_OF_RANGE),
    (("lot_size", "quantity", "qty", "amount", "size increment"), RejectReason.INVALID_QUANTITY),
    (("price_filter", "price"), RejectReason.INVALID_PRICE),
)  # fmt: skip
_VAGUE = frozenset({RejectReason.OTHER, RejectReason.INVALID_PRICE, RejectReason.INVALID_QUANTITY})
"""Reasons that a single common word suggests: too little to call an unknown error a definite refusal."""


def translate(error: Exception, *, command: bool) -> VenueError:
    """Say what an exception of ccxt means. A command that got no definite answer may have taken effect."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = f"{type(error).__name__}: {error}"[:300]
    if "OperationFailed" in kinds or "ExchangeClosedByUser" in kinds or isinstance(error, (OSError, TimeoutError)):
        return OutcomeUnknown(text) if command else Retryable(text, retry_after_ms=1_000)
    for kind, reason in _BY_CLASS:
        if kind in kinds:
            # KuCoin's "below the minimum" has the number of another refusal, and ccxt goes by numbers.
            too_little = reason is RejectReason.INSUFFICIENT_BALANCE and "below the minimum" in text.lower()
            return Rejected(RejectReason.BELOW_MINIMUM if too_little else reason, text, kind)
    if "InvalidOrder" in kinds or "BadRequest" in kinds:
        return Rejected(reason_in(text), text, type(error).__name__)
    if "BaseError" in kinds:
        reason = reason_in(text)
        if command and type(error).__name__ == "ExchangeError" and reason in _VAGUE:
            # ccxt's word for whatever it does not know: it may well have been a fault of the exchange.
            return OutcomeUnknown(text)
        return Rejected(reason, text, type(error).__name__)
    raise error


def reason_in(text: str) -> RejectReason:
    """Guess the reason from an exchange's own words."""
    words = text.lower()
    for hints, reason in _BY_WORDS:
        if any(hint in words for hint in hints):
            return reason
    return RejectReason.OTHER
