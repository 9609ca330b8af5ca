"""Cut an amount into transfers under the cap, exactly: what goes out in parts is what was approved as a whole."""


def split(units: int, cap_units: int) -> tuple[int, ...]:
    """Give the parts of `units`, each at most `cap_units`: as few as possible, full ones first.

    Their sum is `units` to the last base unit. Raise ValueError for an amount or a cap that is not positive.
    """
    if units <= 0 or cap_units <= 0:
        raise ValueError(f"neither {units} units nor a cap of {cap_units} may be zero or less")
    full, rest = divmod(units, cap_units)
    return (cap_units,) * full + ((rest,) if rest else ())
