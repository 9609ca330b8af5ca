"""A case to run, and what came of it: what parent and workers tell each other."""

import msgspec


class Job(msgspec.Struct, frozen=True):
    """One case. `kind` says what `number` and `name` mean (`cases`)."""

    kind: str
    number: int
    name: str = ""
    payouts: int = 20
    trace: bool = False
    """Tell every event on standard error."""


class Report(msgspec.Struct):
    """What came of one case."""

    job: Job
    digest: str = ""
    took_s: float = 0.0
    findings: list[str] = []
    counts: dict[str, int] = {}
    """Payouts, doubles, losses, stuck and whatever else is counted."""
    faults: dict[str, int] = {}
    crash_points: dict[str, int] = {}
    died: str = ""
    """Why the case could not be run: a mistake of the simulation or of the machine, which proves nothing."""
    repeated: str = ""
    """Why its first run came to nothing, if this is the second."""

    @property
    def is_clean(self) -> bool:
        """Tell whether it was run, and nothing was found."""
        return not self.findings and not self.died
