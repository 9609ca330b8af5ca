"""How people come: the first operator with the word on the terminal, everybody else by a confirmed address.

It decides what a link opens and how often (once). Asking about an address never tells whether it has an account.
"""

from api.access.context import Client, Grant, Registration, Site
from api.access.letters import Letters
from api.access.passwords import Passwords
from api.access.sign_in import SignIn
from api.access.tokens import draw, draw_word, hash_of
from api.problems import ApiProblem, FieldProblem, Kind, refused
from engine.access.one_time import Purpose
from engine.access.principals import Principal, Role
from engine.errors import Refusal
from engine.ids import UserId
from storage import audit, invites, one_time_tokens, outbox
from storage.credentials import set_password
from storage.database import Connection, Database
from storage.invites import Invites
from storage.one_time_tokens import OneTimeToken
from storage.seed import OPERATOR
from storage.sessions import end_all
from storage.users import EmailTaken, UserRow, Users, add_user, grant_role, set_email, set_profile


class Enrolment:
    """Makes accounts, and gives the way back into one."""

    def __init__(self, database: Database, passwords: Passwords, sign_in: SignIn, site: Site) -> None:
        self._database = database
        self._passwords = passwords
        self._sign_in = sign_in
        self._site = site
        self._letters = Letters(site.public_url)
        self._users = Users(database)
        self._invites = Invites(database)

    # ------------------------------------------------------------------ the first operator

    async def offer_set_up(self) -> str | None:
        """Draw the word with which the first operator's account is made; None when there is one already."""
        if await self._users.has_operator():
            return None
        token = draw()

        async def write(connection: Connection) -> None:
            await one_time_tokens.put(connection, Purpose.SET_UP, hash_of(token), user=OPERATOR)

        await self._database.repeat(write)
        return token

    async def set_up(
        self, token: str, email: str, password: str, display_name: str, locale: str, client: Client
    ) -> Grant:
        """Make the first operator's account: the owner of the bots that this machine's console has made."""
        await self._check_password(password, [email, display_name])
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            taken = await one_time_tokens.take(connection, Purpose.SET_UP, hash_of(token))
            # Its row is the lock: of two who come with one token, the second finds it gone.
            if taken is None:
                raise dead_link("the set-up token is wrong or was used; `trellis up` prints a new one")
            await _write_email(connection, OPERATOR, email)
            await set_profile(connection, OPERATOR, {"display_name": display_name, "locale": locale})
            await set_password(connection, OPERATOR, password_hash)
            for role in (Role.USER, Role.OPERATOR):
                await grant_role(connection, OPERATOR, role)
            grant = await self._sign_in.begin(connection, OPERATOR, client)
            entry = audit.NewEntry("console", "site.set_up", f"user:{OPERATOR}")
            await audit.append(connection, [entry])
        return grant

    # ------------------------------------------------------------------ everybody else

    async def register(self, email: str, password: str, locale: str, invite: str | None) -> None:
        """Send a letter to whoever wants to join. What it says depends on the address; what we answer does not."""
        if self._site.registration is Registration.INVITE:
            await self._check_invite(invite)
        await self._check_password(password, [email])
        # Also for an address that has an account: the time must not tell.
        password_hash = await self._passwords.hash(password)
        known = await self._users.by_email(email)
        token = draw()
        payload = {"password_hash": password_hash, "locale": locale, "invite": invite or ""}

        async def write(connection: Connection) -> None:
            if known is not None:
                await outbox.write(connection, [self._letters.known(email, known.locale)])
                return
            await one_time_tokens.put(connection, Purpose.REGISTER, hash_of(token), email=email, payload=payload)
            await outbox.write(connection, [self._letters.confirm(email, locale, token)])

        await self._database.repeat(write)

    async def confirm(self, token: str, client: Client, principal: Principal | None) -> Grant | None:
        """Open what a confirmation link is for: an account (with a session), or a signed-in person's new address.

        None: the address was changed, the session goes on as it is.
        """
        before = None if principal is None else await self._users.get(principal.user)
        async with self._database.transaction() as connection:
            pending = await one_time_tokens.take(connection, Purpose.REGISTER, hash_of(token))
            if pending is not None:
                return await self._enrol(connection, pending, client)
            pending = await one_time_tokens.take(connection, Purpose.CHANGE_EMAIL, hash_of(token))
            if pending is None:
                raise dead_link()
            # The link proves the new mailbox, not the person: somebody else may read that mailbox.
            if before is None or before.id != pending.user_id:
                raise ApiProblem(Kind.UNAUTHORISED, "sign in, then open the link again", code="sign_in_first")
            await self._move(connection, pending, before)
            return None

    async def _enrol(self, connection: Connection, pending: OneTimeToken, client: Client) -> Grant:
        user = UserId(draw_word(12))
        invite = pending.payload["invite"]
        if self._site.registration is Registration.INVITE and not await invites.use(connection, hash_of(invite)):
            raise _no_invite()
        name = pending.email.partition("@")[0]
        try:
            await add_user(connection, user, name, pending.email, pending.payload["locale"])
        except EmailTaken:
            raise dead_link("this address has an account already: sign in") from None
        await set_password(connection, user, pending.payload["password_hash"])
        await grant_role(connection, user, Role.USER)
        grant = await self._sign_in.begin(connection, user, client)
        await audit.append(connection, [audit.NewEntry(f"user:{user}", "user.register", f"user:{user}")])
        return grant

    async def _move(self, connection: Connection, pending: OneTimeToken, before: UserRow) -> None:
        await _write_email(connection, before.id, pending.email)
        await one_time_tokens.forget(connection, before.id)
        if before.email:
            await outbox.write(connection, [self._letters.changed(before.email, before.locale, "email")])
        entry = audit.NewEntry(f"user:{before.id}", "profile.email_changed", f"user:{before.id}")
        await audit.append(connection, [entry])

    # ------------------------------------------------------------------ the way back

    async def recover(self, email: str) -> None:
        """Send the key to a new password to its owner, if there is one."""
        user = await self._users.by_email(email)
        token = draw()

        async def write(connection: Connection) -> None:
            is_known = user is not None and user.is_active
            # Nobody's token opens nothing; writing it takes the time that somebody's does.
            owner = user.id if user is not None and is_known else None
            await one_time_tokens.put(connection, Purpose.RECOVER, hash_of(token), user=owner)
            if user is not None and is_known:
                await outbox.write(connection, [self._letters.recover(email, user.locale, token)])

        await self._database.repeat(write)

    async def reset(self, token: str, password: str, code: str | None, client: Client) -> None:
        """Set a new password with the key from a letter. One-time codes are asked for as before; sessions end."""
        token_hash = hash_of(token)
        await self._check_password(password, [])
        owner = await one_time_tokens.owner(self._database, Purpose.RECOVER, token_hash)
        user = None if owner is None else await self._users.get(owner)
        if user is None:
            raise dead_link()
        # Before the link is used up: who mistypes the code may try again.
        await self._sign_in.check_code(user.id, code, client)
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            if await one_time_tokens.take(connection, Purpose.RECOVER, token_hash) is None:
                raise dead_link()
            await set_password(connection, user.id, password_hash)
            await one_time_tokens.forget(connection, user.id)
            await end_all(connection, user.id, "password reset")
            if user.email:
                await outbox.write(connection, [self._letters.changed(user.email, user.locale, "password")])
            entry = audit.NewEntry(f"user:{user.id}", "password.reset", f"user:{user.id}")
            await audit.append(connection, [entry])

    # ------------------------------------------------------------------ checks

    async def _check_password(self, password: str, personal: list[str]) -> None:
        refusals = await self._passwords.judge(password, personal, "password")
        if refusals:
            raise refused(refusals)

    async def _check_invite(self, code: str | None) -> None:
        if not code or not await self._invites.is_usable(hash_of(code)):
            raise _no_invite()


async def _write_email(connection: Connection, user: UserId, email: str) -> None:
    try:
        await set_email(connection, user, email)
    except EmailTaken:
        raise dead_link("another account has this address") from None


def dead_link(detail: str = "the link is wrong, too old, or was used already") -> ApiProblem:
    """Refuse a one-time token."""
    return ApiProblem(Kind.REFUSED, detail, [FieldProblem(detail, "#/token", code="dead_link")], code="dead_link")


def _no_invite() -> ApiProblem:
    return refused([Refusal("invite_invalid", "invite", "an invitation is needed, and this is none that holds")])
