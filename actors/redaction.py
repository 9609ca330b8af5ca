"""Keeps secrets and forged lines out of the log, whoever writes to it.

It is the second line: nobody logs a secret on purpose. It masks what looks like one (a token, a cookie, a field
that is called so), and writes control characters as text, so that nothing from outside can begin a line.
"""

import logging
import re
import time

_MASK = "***"
_NAMES = (
    "password|passphrase|secret|token|totp|csrf|api_?key|key_?secret|authorization|cookie|"
    r"set-cookie|x-csrf-token|trellis_access|trellis_refresh"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|(?:bearer\s+)?[^\s"',;&}]+)"""
_FIELD = re.compile(rf"""(?i)(["']?\b(?:[\w-]*(?:{_NAMES}))["']?\s*[:=]\s*){_VALUE}""")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
_ARGON = re.compile(r"\$argon2\w*\$\S+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def redact(text: str) -> str:
    """Mask what looks like a secret."""
    text = _BEARER.sub(rf"\1 {_MASK}", text)
    text = _FIELD.sub(rf"\1{_MASK}", text)
    text = _ARGON.sub(_MASK, text)
    return _URL_PASSWORD.sub(rf"\1{_MASK}@", text)


class RedactingFormatter(logging.Formatter):
    """Writes a line as usual, without secrets; a traceback keeps its lines, a message is one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Write the line itself."""
        record.message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], redact(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        """Write a traceback, whose last line may quote anything."""
        # typeshed names the parameter by a private alias.
        return redact(super().formatException(ei))  # type: ignore[arg-type]


def formatter() -> RedactingFormatter:
    """Give the form of a line in the installation's log: times in UTC, whatever the machine's zone."""
    made = RedactingFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(process)d %(name)s %(message)s")
    made.datefmt = "%Y-%m-%dT%H:%M:%S"
    made.converter = time.gmtime
    return made
