"""Cut an amount into transfers under the cap, exactly: what goes out in parts is what was approved as a whole."""

from collections.abc import Mapping


def split(units: int, cap_units: int) -> tuple[int, ...]:
    """Give the parts of `units`, each at most `cap_units`: as few as possible, full ones first.

    Their sum is `units` to the last base unit. Raise ValueError for an amount or a cap that is not positive.
    """
    if units <= 0 or cap_units <= 0:
        raise ValueError(f"neither {units} units nor a cap of {cap_units} may be zero or less")
    full, rest = divmod(units, cap_units)
    return (cap_units,) * full + ((rest,) if rest else ())


def split_as_signed(units: int, signed: Mapping[int, int], cap_units: int) -> tuple[int, ...]:
    """Cut `units` again as they were when some parts were signed: `signed` gives the units by the part's number.

    The cap may have been another one then. Where no cap explains what was signed, the one of today holds.
    """
    if not signed:
        return split(units, cap_units)
    last = max(signed)
    # Full parts are the cap itself; of the last one alone, all those before it follow.
    caps = {max(signed.values()), (units - signed[last]) // max(last - 1, 1)}
    for cap in sorted(cap for cap in caps if cap > 0):
        parts = split(units, cap)
        if last <= len(parts) and all(parts[part - 1] == of_it for part, of_it in signed.items()):
            return parts
    return split(units, cap_units)
