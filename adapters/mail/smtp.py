"""Sends letters through a mail server (SMTP), with the standard library's client beside the loop.

It decides how a server's no is sorted: a definite one is `Rejected`, anything else may be tried again. A letter
that was sent twice is a nuisance, one that never arrives locks somebody out, so doubt counts as "try again".
"""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from engine.errors import Rejected, RejectReason, Retryable

TIMEOUT_S = 20.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class MailServer(msgspec.Struct, frozen=True):
    """Where letters are handed in, and who they are from."""

    host: str
    port: int
    user: str
    password: str
    sender: str
    is_tls: bool
    """TLS from the first byte; otherwise it is begun by STARTTLS, which is not left out unless on loopback."""

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port}, ***)"


def read_address(url: str) -> MailServer:
    """Read smtp[s]://user:password@host:port?from=address; raise ValueError with what is wrong."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # `from None`: the cause quotes what it could not read, and that may be half a password.
        raise ValueError("is not an address: write special letters of the password as %XX") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("is not smtp://host or smtps://host")
    user, is_tls = unquote(parts.username or ""), parts.scheme == "smtps"
    sender = parse_qs(parts.query).get("from", [user])[0]
    if "@" not in sender or not sender.isprintable():
        raise ValueError("names no sender: add ?from=trellis@example.org")
    port = port or (465 if is_tls else 587)
    return MailServer(parts.hostname, port, user, unquote(parts.password or ""), sender, is_tls)


async def send(server: MailServer, to: str, subject: str, text: str, message_key: str) -> None:
    """Hand a letter in. Raises `Rejected` for a definite no, `Retryable` for anything else.

    The same `message_key` makes the same Message-ID, so that a mailbox can tell a letter that came twice.
    """
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = server.sender, to, subject
    letter["Date"] = formatdate()
    letter["Message-ID"] = f"<{message_key}@{server.sender.partition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(text)
    await asyncio.to_thread(_send, server, letter)


def _send(server: MailServer, letter: EmailMessage) -> None:
    context = ssl.create_default_context()
    try:
        with _connected(server, context) as client:
            if not server.is_tls and server.host not in LOOPBACK:
                client.starttls(context=context)
            if server.user:
                client.login(server.user, server.password)
            client.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        raise _sorted(code, words) from None
    except smtplib.SMTPResponseException as error:
        # `from None`: the cause may quote what was sent at the login.
        raise _sorted(error.smtp_code, error.smtp_error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Retryable(f"the mail server {server.host} does not take letters: {type(error).__name__}") from None


def _connected(server: MailServer, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.is_tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)


def _sorted(code: int, words: bytes | str) -> Rejected | Retryable:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    if 500 <= code < 600 and code not in (530, 534, 535):
        return Rejected(RejectReason.OTHER, f"the mail server refused the letter: {text[:200]}", str(code))
    # A wrong password of ours (53x) is the operator's to mend; the letters wait meanwhile.
    return Retryable(f"the mail server refused for now: {code}")
