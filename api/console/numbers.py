"""How numbers, times and ages look on a terminal: exact, with their unit, aligned on the decimal point."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal


def plain(value: str | None, *, signed: bool = False) -> str:
    """Write an amount exactly, without trailing zeros; a dash where there is none."""
    if value is None:
        return "–"
    number = Decimal(value)
    digits = f"{number:,f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"+{digits}" if signed and number > 0 else digits


def aligned(values: Iterable[str | None], *, signed: bool = False) -> list[str]:
    """Write amounts so that, set flush right, their decimal points stand below each other."""
    texts = [plain(value, signed=signed) for value in values]
    widest = max((len(_fraction(text)) for text in texts), default=0)
    return [text + " " * (widest - len(_fraction(text))) for text in texts]


def percent(fraction: str | None) -> str:
    """Write a fraction as per cent with two digits; small ones keep what distinguishes them from nothing."""
    if fraction is None:
        return "–"
    number = Decimal(fraction) * 100
    digits = 2 if abs(number) >= Decimal("0.01") or not number else 6
    return f"{number:+.{digits}f} %"


def clock(at_ms: int) -> str:
    """Write a moment in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def duration(ms: int) -> str:
    """Write a span of time in its two largest units."""
    seconds = max(0, ms) // 1000
    for size, name, next_size, next_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // next_size} {next_name}"
    return f"{seconds} s"


def _fraction(text: str) -> str:
    """Give the point and what follows it."""
    point = text.find(".")
    return "" if point < 0 else text[point:]
