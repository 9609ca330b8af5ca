"""What every benchmark shares: the machine and commit that a figure belongs to, result files, quantiles, tables.

A figure without its machine and commit is a rumour, so there is one way to write a result down and it adds both.
Nothing in a result names a host, a user or a folder.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


class Machine(msgspec.Struct, frozen=True):
    """The machine as far as it explains a figure."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    load: float
    """The one-minute load average when the run began: what else the machine was doing."""

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine now."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.release().split('-')[0]}",
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 2),
        )


class Spread(msgspec.Struct, frozen=True):
    """Repeated measurements of one thing, in microseconds."""

    count: int
    median: float
    p99: float
    least: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> "Spread":
        """Sum up measurements; there must be one at least."""
        ordered = sorted(nanoseconds)
        figures = (median(ordered), quantile(ordered, 99), ordered[0])
        return cls(len(ordered), *(round(each / 1_000, 2) for each in figures))


class Waits(msgspec.Struct, frozen=True):
    """How long people wait for one thing, in milliseconds."""

    count: int
    median: float
    p95: float
    longest: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Waits":
        """Sum up measurements; there must be one at least."""
        ordered = sorted(milliseconds)
        figures = (median(ordered), quantile(ordered, 95), ordered[-1])
        return cls(len(ordered), *(round(each, 2) for each in figures))


class Result(msgspec.Struct, frozen=True):
    """One run of one benchmark."""

    benchmark: str
    at: str
    commit: str
    machine: Machine
    packages: dict[str, str]
    settings: dict[str, Any]
    figures: dict[str, Any]


def commit() -> str:
    """Name the commit that is checked out, with a plus sign if files differ from it."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{name}+" if changed else name


def result(
    benchmark: str,
    machine: Machine,
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
    packages: Sequence[str] = (),
) -> Result:
    """Put a result together."""
    return Result(
        benchmark=benchmark,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine,
        packages={name: version(name) for name in packages},
        settings=dict(settings),
        figures=dict(figures),
    )


def save(outcome: Result, folder: Path = RESULTS) -> Path:
    """Write a result to its own file."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = outcome.at[:19].replace("-", "").replace(":", "").replace("T", "-")
    path = folder / f"{outcome.benchmark}-{stamp}-{outcome.commit.rstrip('+')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
    return path


def introduce(console: Console, title: str, machine: Machine) -> None:
    """Print what is about to be measured, and on what."""
    console.rule(title)
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}, "
        f"Python {machine.python}, load {machine.load}, commit {commit()}"
    )


def table(console: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows of figures; the first column is text, the others are numbers."""
    console.print(f"\n[bold]{title}[/bold]")
    grid = Table()
    for position, head in enumerate(heads):
        grid.add_column(head, justify="left" if position == 0 else "right")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    console.print(grid)


def shared_ticks() -> Path | None:
    """Find the folder with the exchange recordings; None where it is not there."""
    folder = Path(os.environ.get("TRELLIS_SHARED", ROOT.parent / "shared")) / "data" / "ticks"
    return folder if folder.is_dir() else None


def quantile(ordered: Sequence[float], percent: int) -> float:
    """Give the value that `percent` of the ordered ones are below."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        ["git", "-C", str(ROOT), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()
