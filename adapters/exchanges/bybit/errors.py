"""What Bybit's return codes mean for us: a definite no and its reason, or a doubt."""

from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable, VenueError

OK = 0
CLOCK = 10002
RATE_LIMITED = frozenset({429, 10006, 170005, 170222})
IP_BANNED = frozenset({403, 10018})
OVERLOADED = frozenset({10016, 10429, 20003})
RESTARTING = 10019

AMBIGUOUS = frozenset(
    {403, 429, 10000, 10006, 10016, 10018, 10019, 10403, 10429, 170001, 170005, 170007, 170032, 170222, 20003,
     20006, 500000}
)  # fmt: skip
"""An order that was answered with one of these may exist all the same. Some look definite (a rate limit); the
venue has been seen to accept such orders, so only a look-up settles them."""

_REASONS: dict[RejectReason, tuple[int, ...]] = {
    RejectReason.INSUFFICIENT_BALANCE: (
        110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051, 110052, 110053, 170033, 170131,
    ),
    RejectReason.WOULD_TAKE_LIQUIDITY: (170218,),
    RejectReason.DUPLICATE_LINK_ID: (110072, 170141),
    RejectReason.PRICE_OUT_OF_RANGE: (110003, 170132, 170133, 170193, 170194),
    RejectReason.INVALID_PRICE: (170134,),
    RejectReason.INVALID_QUANTITY: (170124, 170135, 170137),
    RejectReason.BELOW_MINIMUM: (110094, 170136, 170140),
    RejectReason.TOO_MANY_ORDERS: (110009, 110020, 170810),
    RejectReason.REDUCE_ONLY: (110017,),
    RejectReason.NOT_FOUND: (110001, 170213),
    RejectReason.ALREADY_CLOSED: (110008, 110010, 170139, 170142),
    RejectReason.PERMISSION: (10003, 10004, 10005, 10007, 10009, 10010, 10024, 10028, 33004),
    RejectReason.HALTED: (110066, 110074, 170209, 170344),
}  # fmt: skip
_REASON_BY_CODE = {code: reason for reason, codes in _REASONS.items() for code in codes}

_MATCHING_REASONS = {
    "EC_PostOnlyWillTakeLiquidity": RejectReason.WOULD_TAKE_LIQUIDITY,
    "EC_LimitOrderInvalidPrice": RejectReason.INVALID_PRICE,
    "EC_InvalidPriceScale": RejectReason.INVALID_PRICE,
    "EC_QtyCannotBeZero": RejectReason.INVALID_QUANTITY,
    "EC_DuplicatedClOrdID": RejectReason.DUPLICATE_LINK_ID,
    "EC_InvalidSymbolStatus": RejectReason.HALTED,
    "EC_ReachMaxTradeNum": RejectReason.OTHER,
    "CancelByReduceOnly": RejectReason.REDUCE_ONLY,
    "CancelByNoEnoughBalance": RejectReason.INSUFFICIENT_BALANCE,
    "CancelByInsufficientBalance": RejectReason.INSUFFICIENT_BALANCE,
}
_OUR_OWN_DOING = frozenset(
    {"", "EC_NoError", "EC_PerCancelRequest", "UNKNOWN", "CancelByUser", "CancelAllBeforeReplace"}
)


def reject_reason(code: int, text: str) -> RejectReason:
    """Put a definite refusal into our words."""
    reason = _REASON_BY_CODE.get(code)
    if reason is not None:
        return reason
    # 10001 is "some parameter is wrong"; only the text says which.
    words = text.lower()
    if "qty" in words or "quantity" in words:
        return RejectReason.INVALID_QUANTITY
    if "price" in words:
        return RejectReason.INVALID_PRICE
    return RejectReason.OTHER


def matching_reason(reject: str, cancel_type: str) -> RejectReason | None:
    """Say why the matching engine ended an order; None if nothing ended it but ourselves."""
    for word in (reject, cancel_type):
        if word not in _OUR_OWN_DOING:
            return _MATCHING_REASONS.get(word, RejectReason.OTHER)
    return None


def query_error(code: int, text: str) -> VenueError:
    """Turn the refusal of a query into one of our three."""
    if code in AMBIGUOUS or code == CLOCK:
        return Retryable(f"{text} ({code})", retry_after_ms=1_000)
    return Rejected(reject_reason(code, text), text, str(code))


def command_error(code: int, text: str) -> VenueError:
    """Turn the refusal of a command that changes something into one of our three."""
    if code in AMBIGUOUS:
        return OutcomeUnknown(f"{text} ({code})")
    return query_error(code, text)
