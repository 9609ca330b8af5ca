"""The account that owns the embedded server's files when Trellis runs as root, because PostgreSQL refuses to.

It decides how little has to be opened for that account: it may walk through the folders on the way to its files,
and read the server's own programs, nothing else.
"""

import logging
import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

log = logging.getLogger(__name__)

SYSTEM_USER = "trellis-db"


class EmbeddedPostgresError(Exception):
    """The embedded server cannot run here; the message says why and what to do."""


class Identity(TypedDict, total=False):
    """Under whom a process is started: arguments for `subprocess`, none of them when it is ourselves."""

    user: int
    group: int
    extra_groups: list[int]


def file_owner() -> pwd.struct_passwd | None:
    """Give the account that must own the server's files; None means our own will do."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    useradd = shutil.which("useradd")
    if useradd is None:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root and there is no `useradd` to make it an account: "
            "run Trellis as an ordinary user, or set DATABASE_URL"
        )
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = subprocess.run(  # noqa: S603  fixed words, no shell
        command, capture_output=True, text=True, timeout=30, check=False
    )
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise EmbeddedPostgresError(f"cannot make the account {SYSTEM_USER}: {done.stderr.strip()}") from None


def as_user(owner: pwd.struct_passwd | None) -> Identity:
    """Say how to start a process as `owner`; None means as ourselves."""
    return Identity(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[]) if owner else Identity()


def make_private_dir(path: Path, owner: pwd.struct_passwd | None) -> None:
    """Make a folder that only `owner` can enter, or raise when somebody else has made it before us."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    # In a shared temporary folder someone else may have put a folder or a link of this name before us.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner.pw_uid if owner else -1}:
        raise EmbeddedPostgresError(f"{path} belongs to somebody else: remove it")
    path.chmod(0o700)
    if owner is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)


def let_pass(*folders: Path) -> None:
    """Let the server's account walk through (not list or read) the folders on its way to its files."""
    for folder in folders:
        for part in (folder, *folder.parents):
            mode = part.stat().st_mode
            if not mode & stat.S_IXOTH:
                log.warning("postgres.may_pass_through folder=%s account=%s", part, SYSTEM_USER)
                part.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def let_read(programs: Path) -> None:
    """Let the server's account read and run the server's programs, where the installer's umask hid them."""
    for folder, _, files in os.walk(programs):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                continue
            # Others may do what the owner may, except write.
            wanted = found.st_mode | (found.st_mode >> 6 & (stat.S_IROTH | stat.S_IXOTH))
            if wanted != found.st_mode:
                path.chmod(stat.S_IMODE(wanted))
