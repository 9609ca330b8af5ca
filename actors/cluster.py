"""Ray for this program: a local one of our own, or a cluster that is already there.

It decides how Ray is started, under whose token, and that nothing of a local Ray is left behind. What runs on it
is the supervisor's business.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from actors.home import Home
from actors.settings import Settings

log = logging.getLogger(__name__)

ATTEMPTS = 3
STOP_LIMIT_S = 10.0
REACH_LIMIT_S = 10.0
OBJECT_STORE_BYTES = 100 * 2**20
"""Our messages are small; Ray's default would take a third of the machine's memory."""
TEMP_PATH_BYTES_MAX = 40
"""Ray appends about 65 bytes to its folder to name a socket, and a socket's name ends at 107."""


class ClusterError(Exception):
    """Ray cannot be started or joined; the message says why and what to do."""


class Cluster:
    """The Ray that this program runs on. `start` once, `stop` once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = Home(settings.home)
        self._temp = _temp_dir(settings.home)
        self._stopped = threading.Event()
        self._servers: list[psutil.Process] = []
        self.client_is_stuck = False
        """Ray's client in this process waits for servers that are gone: the process must end without waiting."""

    @property
    def is_local(self) -> bool:
        """Tell whether Ray is ours to stop."""
        return self._settings.ray_address is None

    async def start(self) -> None:
        """Start or join. A local start that fails is tried again: a busy machine misses Ray's own time limit."""
        await self._check_reachable()
        self._set_environment()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._init_aside()
                return
            except Exception as error:
                # Ray raises whatever its parts raise; a failed start is cleaned up, tried again, then explained.
                await asyncio.to_thread(self._shut_down)
                log.warning("ray.start_failed attempt=%s error=%s", attempt, error)
                if not self.is_local or attempt == ATTEMPTS:
                    raise ClusterError(self._explain(error)) from error

    async def stop(self) -> None:
        """Leave a cluster, or end every process of a local Ray. Twice is harmless."""
        await asyncio.to_thread(self._shut_down)

    # ------------------------------------------------------------------ Ray

    def _set_environment(self) -> None:
        os.environ["RAY_AUTH_TOKEN"] = self._token()
        # Ray would take the address from here even where we ask for a local start.
        os.environ.pop("RAY_ADDRESS", None)

    def _token(self) -> str:
        given = self._settings.ray_auth_token
        return given.value if given else self._home.token("ray")

    async def _check_reachable(self) -> None:
        """Knock before joining: Ray would try a silent address for minutes, and only in its log."""
        address = self._settings.ray_address
        if address is None or address == "auto":
            return
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(REACH_LIMIT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError) as error:
            raise ClusterError(self._explain(error)) from error
        writer.close()

    async def _init_aside(self) -> None:
        """Run Ray's start, which blocks for seconds, in a thread that stays until `stop`."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._init()
            except BaseException as error:
                # It belongs to whoever waits for this thread, and is raised there.
                errors.append(error)
            with suppress(RuntimeError):  # The loop may be gone when the start was given up.
                loop.call_soon_threadsafe(done.set)
            # The kernel ends Ray's servers with the thread that started them (PR_SET_PDEATHSIG).
            stopped.wait()

        self._stopped = stopped = threading.Event()
        self.client_is_stuck = True
        threading.Thread(target=work, name="ray start", daemon=True).start()
        await done.wait()
        self.client_is_stuck = False
        if errors:
            raise errors[0]

    def _init(self) -> None:
        import ray

        from actors.wiring import NAMESPACE

        common: dict[str, Any] = {
            "namespace": NAMESPACE,
            "logging_level": logging.ERROR,
            "log_to_driver": False,
            "configure_logging": True,
        }
        if not self.is_local:
            ray.init(address=self._settings.ray_address, **common)
            return
        _clear(self._temp)
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(self._temp),
            **common,
        )
        package = Path(ray.__file__).parent
        self._servers = [each for each in psutil.Process().children() if _is_server(each, package)]

    def _shut_down(self) -> None:
        import ray

        own = _processes(Path(ray.__file__).parent) if self.is_local else []
        # Whoever told us to end may have told them too (a closed terminal, systemd): Ray's client would abort.
        if not all(_is_alive(server) for server in self._servers):
            self.client_is_stuck = True
        if not self.client_is_stuck:
            ray.shutdown()
        if self.is_local:
            _end(own, at_once=self.client_is_stuck)
            shutil.rmtree(self._temp, ignore_errors=True)
        self._stopped.set()

    def _explain(self, error: Exception) -> str:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not self.is_local:
            return (
                f"cannot join the Ray cluster at {self._settings.ray_address}: {reason}. "
                "Check that `ray status` works there, that both sides run the same Ray and Python version, and "
                "that RAY_AUTH_TOKEN is the cluster's"
            )
        return (
            f"Ray did not start after {ATTEMPTS} attempts: {reason}. Its own log is in "
            f"{self._temp}/session_latest/logs. On a busy machine wait a moment and start again"
        )


def _temp_dir(home: Path) -> Path:
    """Choose Ray's folder: in our home, unless that is too long for the sockets inside."""
    inside = home / "ray"
    if len(os.fsencode(inside)) <= TEMP_PATH_BYTES_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"trellis-ray-{os.geteuid()}-{digest}"


def _clear(folder: Path) -> None:
    """Empty the folder of what a killed program left; only one program runs on a home, so nobody uses it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


def _processes(package: Path) -> list[psutil.Process]:
    """List the servers that Ray has started from its package as our children, and all that they have started."""
    found = []
    for child in psutil.Process().children():
        try:
            if _is_server(child, package):
                found += [child, *child.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def _is_server(process: psutil.Process, package: Path) -> bool:
    try:
        return any(part.startswith(str(package)) for part in process.cmdline()[:3])
    except psutil.Error:
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end(processes: list[psutil.Process], *, at_once: bool) -> None:
    """End processes that should be ending by themselves, or that nobody has told yet."""
    _, left = psutil.wait_procs(processes, timeout=0 if at_once else STOP_LIMIT_S / 2)
    for process in left:
        log.warning("ray.left_behind pid=%s", process.pid)
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_LIMIT_S / 2)
