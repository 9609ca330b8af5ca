"""The venue's refusals: Bybit's numbers with the words that come with them.

A refusal is an answer, not a failure: over HTTP it travels with status 200. Spot and linear use different numbers
for the same "no"; `Refusals` pairs them so that the rules are written once.
"""

from enum import IntEnum

import msgspec

from engine.trading.instrument import Market


class Code(IntEnum):
    """Return codes that belong to no particular market."""

    OK = 0
    PARAMETER = 10001
    TIMESTAMP = 10002
    BAD_KEY = 10003
    BAD_SIGNATURE = 10004
    PERMISSION = 10005
    RATE_LIMIT = 10006
    SERVER_ERROR = 10016
    BAD_PATH = 10017
    IP_RATE_LIMIT = 10018
    BAD_OPERATION = 10404
    ALREADY_AUTHENTICATED = 20001
    DUPLICATE_REQUEST_ID = 20006
    SYMBOL_NOT_TRADING = 110074


class Refused(Exception):
    """The venue says no; `code` and `message` go to the client as they are."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message


class Refusals(msgspec.Struct, frozen=True):
    """One market's numbers for the refusals that both markets know."""

    no_such_order: int
    duplicate_link_id: int
    insufficient: int
    price_too_high: int
    price_too_low: int
    price_step: int
    quantity_too_large: int
    quantity_too_small: int
    quantity_step: int
    below_minimum_value: int
    above_maximum_value: int
    above_price_cap: int
    below_price_floor: int
    too_many_orders: int


REFUSALS = {
    Market.SPOT: Refusals(
        no_such_order=170213,
        duplicate_link_id=170141,
        insufficient=170131,
        price_too_high=170132,
        price_too_low=170133,
        price_step=170134,
        quantity_too_large=170135,
        quantity_too_small=170136,
        quantity_step=170137,
        below_minimum_value=170140,
        above_maximum_value=170135,
        above_price_cap=170193,
        below_price_floor=170194,
        too_many_orders=170810,
    ),
    Market.LINEAR: Refusals(
        no_such_order=110001,
        duplicate_link_id=110072,
        insufficient=110007,
        price_too_high=110003,
        price_too_low=110003,
        price_step=Code.PARAMETER,
        quantity_too_large=Code.PARAMETER,
        quantity_too_small=Code.PARAMETER,
        quantity_step=Code.PARAMETER,
        below_minimum_value=110094,
        above_maximum_value=Code.PARAMETER,
        above_price_cap=110003,
        below_price_floor=110003,
        too_many_orders=110020,
    ),
}

REDUCE_ONLY = 110017
POSITION_MODE_UNCHANGED = 110025
LEVERAGE_UNCHANGED = 110043
MARGIN_MODE_UNCHANGED = 110026
