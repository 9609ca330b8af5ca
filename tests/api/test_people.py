"""What operators do about people, and letters on their way to a mail server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.mailer import Mailer
from adapters.mail import smtp
from api.access.letters import MAIL_TOPIC, SECRET_FIELDS
from engine.errors import Rejected, Retryable
from storage.database import Database
from storage.outbox import NewEvent, Outbox, write
from tests.api.browser import browsing, enrol, letters_to
from tests.api.conftest import Api


async def test_operators_see_people_letters_and_the_record(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        people = (await api.get("/api/v1/users?limit=500")).body["items"]
        person = next(each for each in people if each["email"] == email)
        assert (person["status"], person["roles"]) == ("active", ["user"])
        letter = (await letters_to(api, email))[0]
        assert letter["sent_ms"] is None
        assert not (await api.get("/api/v1/outbox")).body["is_sent_by_mail"]
        record = (await api.get(f"/api/v1/audit?target=user:{person['id']}")).body["items"]
        assert {entry["command"] for entry in record} == {"user.register", "session.begin"}
        assert (await api.services.people.audit.verify()).is_intact


async def test_lists_are_paged(api: Api) -> None:
    for _ in range(2):
        async with browsing(api.address) as somebody:
            await enrol(api, somebody)
    for path in ("/api/v1/users", "/api/v1/audit", "/api/v1/outbox"):
        first = (await api.get(f"{path}?limit=1")).body
        second = (await api.get(f"{path}?limit=1&cursor={first['next_cursor']}")).body
        assert len(first["items"]) == len(second["items"]) == 1
        assert first["items"] != second["items"]
        assert (await api.get(f"{path}?cursor=nonsense")).status == 400


async def test_nobody_locks_themselves_out(api: Api) -> None:
    answer = await api.post("/api/v1/users/operator/disable")
    assert (answer.status, answer.body["code"]) == (409, "own_account")


# ---------------------------------------------------------------------- a mail server


class MailServer:
    """Speaks as much SMTP as a client needs, on loopback, and keeps what it is handed."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.answer = "250 taken"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            command = line[:4].upper()
            if command == "DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append(content.decode())
                writer.write(b"250 taken\r\n")
            elif command == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                answer = self.answer if command == "RCPT" else "250 fine"
                writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def a_mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
async def outbox(database: Database) -> Outbox:
    """Give an outbox with one letter."""
    await database.rows("TRUNCATE outbox, consumed_events")
    payload = {
        "to": "ann@example.org",
        "subject": "Привет",
        "text": "Open https://x/?token=abc",
        "link": "https://x",
    }
    async with database.transaction() as connection:
        await write(connection, [NewEvent(MAIL_TOPIC, "a", payload), NewEvent("fills", "b", {})])
    return Outbox(database)


def mailer(database: Database, server: MailServer) -> Mailer:
    return Mailer(database, f"smtp://127.0.0.1:{server.port}?from=trellis@example.org", MAIL_TOPIC, SECRET_FIELDS)


async def test_a_letter_is_handed_in_once_and_its_secret_is_forgotten(outbox: Outbox, database: Database) -> None:
    async with a_mail_server() as server:
        assert await mailer(database, server).send_due() == 1
        assert await mailer(database, server).send_due() == 0
    assert "To: ann@example.org" in server.letters[0]
    assert "From: trellis@example.org" in server.letters[0]
    shown = (await outbox.page(MAIL_TOPIC)).items[0]
    assert shown.published_at_ms is not None
    assert shown.payload == {"to": "ann@example.org", "subject": "Привет"}


async def test_a_letter_waits_while_the_server_is_away(outbox: Outbox, database: Database) -> None:
    async with a_mail_server() as server:
        pass
    assert await mailer(database, server).send_due() == 1
    waiting = (await outbox.page(MAIL_TOPIC)).items[0]
    assert (waiting.published_at_ms, waiting.attempts) == (None, 1)
    assert "does not take letters" in waiting.last_error


async def test_a_letter_refused_for_good_is_kept_for_the_operator(outbox: Outbox, database: Database) -> None:
    async with a_mail_server() as server:
        server.answer = "550 no such mailbox"
        await mailer(database, server).send_due()
        server.answer = "250 fine"
        await database.rows("UPDATE outbox SET due_at_ms = 0")
        assert await mailer(database, server).send_due() == 0
    stuck = await outbox.stuck()
    assert [event.payload["to"] for event in stuck] == ["ann@example.org"]
    assert "no such mailbox" in stuck[0].last_error


async def test_links_that_open_nothing_any_more_are_forgotten(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        await api.services.people.tidy()
        assert (await letters_to(api, email))[0]["link"]
        day_ms = 25 * 3_600_000 + 1
        await api.engine.database.rows(
            "UPDATE outbox SET created_at_ms = created_at_ms - $2 WHERE payload ->> 'to' = $1", email, day_ms
        )
        await api.services.people.tidy()
        letter = (await letters_to(api, email))[0]
        assert (letter["link"], letter["text"], letter["subject"]) == ("", "", "Trellis: Confirm your address")


async def test_a_no_for_now_is_told_from_a_no_for_good() -> None:
    async with a_mail_server() as server:
        address = smtp.read_address(f"smtp://127.0.0.1:{server.port}?from=trellis@example.org")
        for answer, kind in (("451 later", Retryable), ("550 never", Rejected)):
            server.answer = answer
            with pytest.raises(kind):
                await smtp.send(address, "a@b.c", "subject", "text", "key")


async def test_a_letter_cannot_grow_a_header() -> None:
    async with a_mail_server() as server:
        address = smtp.read_address(f"smtp://127.0.0.1:{server.port}?from=trellis@example.org")
        with pytest.raises(ValueError, match="linefeed"):
            await smtp.send(address, "a@b.c\nBcc: eve@example.org", "subject", "text", "key")


async def test_beyond_loopback_a_password_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "LOOPBACK", ())
    async with a_mail_server() as server:
        address = smtp.read_address(f"smtp://me:secret@127.0.0.1:{server.port}?from=trellis@example.org")
        with pytest.raises((Retryable, ssl.SSLError)) as caught:
            await smtp.send(address, "a@b.c", "subject", "text", "key")
    assert "secret" not in str(caught.value)
    assert server.letters == []


@pytest.mark.parametrize(
    ("url", "words"), [("http://x", "is not smtp"), ("smtp://", "is not smtp"), ("smtp://host", "names no sender")]
)
def test_a_wrong_address_of_a_server_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        smtp.read_address(url)


def test_an_address_of_a_server_is_read_whole_and_shown_without_its_password() -> None:
    server = smtp.read_address("smtps://me%40x.org:s%3Acret@mail.example.org?from=trellis@example.org")
    assert (server.user, server.password, server.port, server.is_tls) == ("me@x.org", "s:cret", 465, True)
    assert "s:cret" not in repr(server)
