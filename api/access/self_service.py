"""What people change about their own account. What a thief of a session would want asks for the password again.

It decides what ends with a change (other sessions, older links) and that its owner is told by letter.
"""

from api.access import totp
from api.access.context import Client, Seals, Site
from api.access.letters import Letters
from api.access.passwords import Passwords
from api.access.sign_in import SignIn
from api.access.tokens import draw, hash_of
from api.problems import ApiProblem, FieldProblem, Kind, refused
from engine.access.one_time import Purpose
from engine.access.principals import Principal
from engine.ids import Instant
from storage import audit, one_time_tokens, outbox
from storage.credentials import Credentials, activate_totp, drop_totp, put_totp, set_password, use_totp_step
from storage.database import Connection, Database
from storage.sealed_values import seed_place
from storage.sessions import end_all
from storage.users import UserRow, Users


class SelfService:
    """Changes of one's own account."""

    def __init__(
        self, database: Database, passwords: Passwords, sign_in: SignIn, seals: Seals, site: Site
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sign_in = sign_in
        self._seals = seals
        self._letters = Letters(site.public_url)
        self._users = Users(database)
        self._credentials = Credentials(database)

    async def change_password(
        self, principal: Principal, current: str, new: str, code: str | None, client: Client
    ) -> None:
        """Set a new password; every other session ends."""
        await self._sign_in.again(principal.user, client, current, code or "", field="current")
        user = await self._user(principal)
        refusals = await self._passwords.judge(new, [user.email or "", user.display_name], "new")
        if refusals:
            raise refused(refusals)
        password_hash = await self._passwords.hash(new)

        async def write(connection: Connection) -> None:
            await set_password(connection, user.id, password_hash)
            await one_time_tokens.forget(connection, user.id)
            await end_all(connection, user.id, "password changed", but=principal.session)
            await self._told(connection, user, "password")
            await _audit(connection, principal, "password.change")

        await self._database.repeat(write)

    async def ask_email_change(self, principal: Principal, password: str, email: str, client: Client) -> None:
        """Send a confirmation to a new address; nothing changes before its link is opened."""
        await self._sign_in.again(principal.user, client, password)
        user, token = await self._user(principal), draw()
        is_taken = await self._users.by_email(email) is not None

        async def write(connection: Connection) -> None:
            if is_taken:
                letter = self._letters.known(email, user.locale)
            else:
                await one_time_tokens.put(
                    connection, Purpose.CHANGE_EMAIL, hash_of(token), user=user.id, email=email
                )
                letter = self._letters.change_email(email, user.locale, token)
            await outbox.write(connection, [letter])
            await _audit(connection, principal, "profile.email_change_asked")

        await self._database.repeat(write)

    # ------------------------------------------------------------------ one-time codes

    async def begin_totp(self, principal: Principal, password: str, client: Client) -> tuple[str, str]:
        """Draw a seed and give it with the address for the phone's camera; in force once a code proves it."""
        credential = await self._sign_in.again(principal.user, client, password)
        if credential.totp_active:
            raise ApiProblem(Kind.CONFLICT, "one-time codes are on already", code="totp_on")
        user, seed = await self._user(principal), totp.draw_seed()
        sealed = self._seals.seal(seed.encode(), *seed_place(user.id))

        async def write(connection: Connection) -> None:
            await put_totp(connection, user.id, sealed)

        await self._database.repeat(write)
        return seed, totp.address(seed, user.email or user.id)

    async def confirm_totp(self, principal: Principal, code: str) -> list[str]:
        """Put a seed in force once a code of it is right; give the recovery codes, this one time."""
        user = await self._user(principal)
        credential = await self._credentials.get(user.id)
        if credential is None or credential.totp_active or credential.totp_sealed is None:
            raise ApiProblem(Kind.CONFLICT, "there is nothing to confirm", code="totp_not_begun")
        seed = self._seals.open(credential.totp_sealed, *seed_place(user.id)).decode()
        codes = totp.draw_recovery_codes()
        async with self._database.transaction() as connection:
            now = Instant(await connection.fetchval("SELECT now_ms()"))
            step = totp.step_of(seed, totp.tidy(code), now)
            if step is None or not await use_totp_step(connection, user.id, step):
                detail = "the code does not fit: is the phone's clock right?"
                raise ApiProblem(Kind.REFUSED, detail, [FieldProblem(detail, "#/code", code="wrong_code")])
            await activate_totp(connection, user.id, [hash_of(each) for each in codes])
            await end_all(connection, user.id, "one-time codes switched on", but=principal.session)
            await self._told(connection, user, "totp_on")
            await _audit(connection, principal, "totp.on")
        return codes

    async def disable_totp(self, principal: Principal, password: str, code: str, client: Client) -> None:
        """Switch one-time codes off, for somebody who has both the password and a code."""
        credential = await self._sign_in.again(principal.user, client, password, code)
        if not credential.totp_active:
            raise ApiProblem(Kind.CONFLICT, "one-time codes are off already", code="totp_off")
        user = await self._user(principal)

        async def write(connection: Connection) -> None:
            await drop_totp(connection, user.id)
            await end_all(connection, user.id, "one-time codes switched off", but=principal.session)
            await self._told(connection, user, "totp_off")
            await _audit(connection, principal, "totp.off")

        await self._database.repeat(write)

    async def _user(self, principal: Principal) -> UserRow:
        user = await self._users.get(principal.user)
        assert user is not None
        return user

    async def _told(self, connection: Connection, user: UserRow, what: str) -> None:
        if user.email:
            await outbox.write(connection, [self._letters.changed(user.email, user.locale, what)])


async def _audit(connection: Connection, principal: Principal, command: str) -> None:
    await audit.append(connection, [audit.NewEntry(principal.actor, command, f"user:{principal.user}")])
