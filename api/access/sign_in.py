"""Signing in and staying signed in: a password, a one-time code where one is asked for, a session with its tokens.

It decides what a wrong answer tells (nothing) and costs (a growing wait). Whether an account exists cannot be told
from an answer, nor from the time that it took.
"""

import hashlib
import hmac
import logging
import secrets
import time

from api.access import totp
from api.access.context import Client, Grant, Seals
from api.access.passwords import Passwords
from api.access.tokens import draw, draw_word, hash_of
from api.problems import ApiProblem, FieldProblem, Kind
from engine.access import backoff
from engine.access.principals import SessionId
from engine.access.sessions import ACCESS_MS, Renewal
from engine.ids import Instant, UserId
from storage import audit
from storage.credentials import (
    CredentialRow,
    Credentials,
    set_password,
    use_recovery_code,
    use_totp_step,
)
from storage.database import Connection, Database
from storage.sealed_values import seed_place
from storage.sessions import NewSession, Sessions, SignedIn, TokenHashes, begin
from storage.users import Users

log = logging.getLogger(__name__)

SEEN_MAX = 2_000
"""How many people are remembered for an emergency."""


class SignIn:
    """Lets people in, knows them again, and renews their sessions."""

    def __init__(self, database: Database, passwords: Passwords, seals: Seals) -> None:
        self._database = database
        self._passwords = passwords
        self._seals = seals
        self._users = Users(database)
        self._credentials = Credentials(database)
        self._sessions = Sessions(database)
        self._seen: dict[bytes, tuple[float, SignedIn]] = {}

    # ------------------------------------------------------------------ proving who one is

    async def with_password(self, email: str, password: str, code: str | None, client: Client) -> Grant:
        """Sign somebody in. Raises 401 `wrong_credentials` or `totp_required`, 429 while a guesser must wait."""
        key = _failure_key(email, client)
        await self._wait_is_over(key)
        user = await self._users.by_email(email)
        credential = None if user is None else await self._credentials.get(user.id)
        is_right = await self._passwords.is_right(credential.password_hash if credential else None, password)
        if user is None or credential is None or not is_right:
            raise await self._wrong(key, wrong_credentials())
        if not user.is_active:
            raise ApiProblem(Kind.FORBIDDEN, "this account is disabled", code="account_disabled")
        await self._check_code(credential, code, key)
        await self._credentials.forget_failures(key)
        if self._passwords.is_outdated(credential.password_hash):
            await self._write_hash(user.id, await self._passwords.hash(password))

        async def open_session(connection: Connection) -> Grant:
            return await self.begin(connection, user.id, client)

        return await self._database.repeat(open_session)

    async def again(
        self, user: UserId, client: Client, password: str, code: str | None = None, *, field: str = "password"
    ) -> CredentialRow:
        """Have somebody who is signed in prove it again, before anything that a thief would want."""
        key = _failure_key(user, client)
        await self._wait_is_over(key)
        credential = await self._credentials.get(user)
        if credential is None or not await self._passwords.is_right(credential.password_hash, password):
            error = FieldProblem("this is not your password", f"#/{field}", code="wrong_password")
            raise await self._wrong(key, ApiProblem(Kind.REFUSED, error.detail, [error], code="wrong_password"))
        if code is not None:
            await self._check_code(credential, code, key)
        await self._credentials.forget_failures(key)
        return credential

    async def check_code(self, user: UserId, code: str | None, client: Client) -> None:
        """Ask for a one-time code where its owner has switched them on; each is good for once."""
        credential = await self._credentials.get(user)
        if credential is not None:
            key = _failure_key(user, client)
            await self._wait_is_over(key)
            await self._check_code(credential, code, key)

    async def _check_code(self, credential: CredentialRow, code: str | None, key: bytes) -> None:
        if not credential.totp_active:
            return
        if not code:
            raise ApiProblem(Kind.UNAUTHORISED, "a one-time code is needed too", code="totp_required")
        if not await self._use_code(credential, totp.tidy(code)):
            detail = "the code is wrong, too old, or was used already"
            error = FieldProblem(detail, "#/code", code="wrong_code")
            raise await self._wrong(key, ApiProblem(Kind.UNAUTHORISED, detail, [error], code="wrong_code"))

    async def _use_code(self, credential: CredentialRow, code: str) -> bool:
        user = credential.user_id
        assert credential.totp_sealed is not None
        if code.isdigit():
            seed = self._seals.open(credential.totp_sealed, *seed_place(user)).decode()
            async with self._database.transaction() as connection:
                now = Instant(await connection.fetchval("SELECT now_ms()"))
                step = totp.step_of(seed, code, now)
                return step is not None and await use_totp_step(connection, user, step)
        async with self._database.transaction() as connection:
            is_right = await use_recovery_code(connection, user, hash_of(code))
            if is_right:
                entry = audit.NewEntry(f"user:{user}", "totp.recovery_code_used", f"user:{user}")
                await audit.append(connection, [entry])
            return is_right

    # ------------------------------------------------------------------ wrong guesses

    async def _wait_is_over(self, key: bytes) -> None:
        found = await self._credentials.failures(key)
        wait_ms = backoff.wait_ms(found.failures, found.last_at_ms, found.now_ms) if found else 0
        if wait_ms:
            wait_s = -(-wait_ms // 1000)
            raise ApiProblem(
                Kind.TOO_MANY, f"too many wrong answers: wait {wait_s} s", code="wait", retry_after_s=wait_s
            )

    async def _wrong(self, key: bytes, problem: ApiProblem) -> ApiProblem:
        failures = await self._credentials.note_failure(key, backoff.FORGET_MS)
        log.warning(
            "access.wrong_answer key=%s code=%s failures=%s", key.hex()[:12], problem.problem.code, failures
        )
        return problem

    # ------------------------------------------------------------------ sessions

    async def begin(self, connection: Connection, user: UserId, client: Client) -> Grant:
        """Begin a session, in the transaction that proved who it is, with tokens that nobody has seen before."""
        new = NewSession(SessionId(draw_word(16)), user, secrets.token_bytes(32), client.device, client.ip)
        access, refresh = draw(), draw()
        await begin(connection, new, TokenHashes(hash_of(access), hash_of(refresh)))
        after = {"session": new.id, "device": client.device, "ip": client.ip}
        await audit.append(
            connection, [audit.NewEntry(f"user:{user}", "session.begin", f"user:{user}", after=after)]
        )
        expires: int = await connection.fetchval(
            "SELECT expires_at_ms FROM session_tokens WHERE hash = $1", hash_of(access)
        )
        return Grant(user, new.id, access, refresh, Instant(expires), csrf_of(new.csrf_key, new.id))

    async def known(self, access: str) -> SignedIn | None:
        """Find whom an access token stands for now."""
        access_hash = hash_of(access)
        signed_in = await self._sessions.by_access(access_hash)
        self._seen.pop(access_hash, None)
        if signed_in is not None:
            self._seen[access_hash] = (time.monotonic(), signed_in)
            if len(self._seen) > SEEN_MAX:
                del self._seen[next(iter(self._seen))]
        return signed_in

    def remembered(self, access: str) -> SignedIn | None:
        """Give whom an access token stood for lately, without asking the database: for emergencies."""
        seen_at, signed_in = self._seen.get(hash_of(access), (0.0, None))
        return signed_in if time.monotonic() - seen_at < ACCESS_MS / 1000 else None

    def csrf(self, signed_in: SignedIn) -> str:
        """Give the word that the commands of a session must bring."""
        return csrf_of(signed_in.csrf_key, signed_in.session)

    async def renew(self, refresh: str) -> Grant:
        """Exchange a renewal token. Raises 401 `session_ended` when it, or its session, is over."""
        access, next_refresh = draw(), draw()
        renewed = await self._sessions.renew(hash_of(refresh), TokenHashes(hash_of(access), hash_of(next_refresh)))
        if renewed.outcome is Renewal.REUSED:
            log.warning("access.token_reused user=%s session=%s", renewed.user, renewed.session)
        signed_in = await self.known(access)
        if signed_in is None:
            raise ApiProblem(Kind.UNAUTHORISED, "the session is over: sign in again", code="session_ended")
        csrf = self.csrf(signed_in)
        return Grant(signed_in.user, signed_in.session, access, next_refresh, signed_in.expires_at_ms, csrf)

    async def leave(self, token: str) -> None:
        """End the session that a token of either kind belongs to."""
        found = await self._sessions.session_of(hash_of(token))
        if found is not None:
            session, user = found
            await self._sessions.end(user, session, "signed out", f"user:{user}")

    async def _write_hash(self, user: UserId, password_hash: str) -> None:
        async def write(connection: Connection) -> None:
            await set_password(connection, user, password_hash)

        await self._database.repeat(write)


def wrong_credentials() -> ApiProblem:
    """Say no, and nothing else."""
    return ApiProblem(Kind.UNAUTHORISED, "the address or the password is wrong", code="wrong_credentials")


def csrf_of(csrf_key: bytes, session: SessionId) -> str:
    """Give the word that a page of ours sends along, and a page of another site cannot know."""
    return hmac.new(csrf_key, f"csrf:{session}".encode(), hashlib.sha256).hexdigest()


def _failure_key(who: str, client: Client) -> bytes:
    return hashlib.sha256(f"{who.lower()}\n{client.ip}".encode()).digest()
