"""The environment that Trellis is configured by: the process's own, over the lines of a `.env` file.

It decides how a `.env` line is read. It never expands, executes or prints a value, and never changes `os.environ`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_LINE = re.compile(
    r"""
    (?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\s\#'"][^\#]*?)? )
    \s*(?:\#.*)?
    """,
    re.VERBOSE,
)


class DotenvError(ValueError):
    """The file is not lines of `NAME=value`. The message names the line, not its content: that may be secret."""


def merged_environment(environ: Mapping[str, str], file: Path) -> dict[str, str]:
    """Lay the process's environment over the file's lines; a file that is not there adds nothing."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return dict(environ)
    except OSError as error:
        raise DotenvError(f"{file.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # `from None`: the cause holds the whole content.
        raise DotenvError(f"{file.name} is not UTF-8 text") from None
    return read_dotenv(text, file.name) | dict(environ)


def read_dotenv(text: str, name: str = ".env") -> dict[str, str]:
    """Read `NAME=value` lines: `#` begins a comment, quotes keep spaces and `#`, `export` is allowed."""
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise DotenvError(f"line {number} of {name} is not NAME=value")
        values[match["name"]] = next((match[kind] for kind in ("double", "single", "bare") if match[kind]), "")
    return values
