"""What operators do about people: letters that wait, invitations, who may sign in, and the record of commands."""

from api.access.letters import MAIL_TOPIC
from api.access.tokens import draw_word, hash_of
from api.people_resources import (
    AuditEntry,
    AuditQuery,
    CreateInvite,
    Invite,
    InviteList,
    Letter,
    NewInvite,
    Outbox,
    PageQuery,
    Person,
    PersonList,
    to_person,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.ids import Instant, UserId
from storage.audit import AuditRow
from storage.outbox import ShownEvent
from storage.paging import Page
from storage.users import ACTIVE, DISABLED

routes = Routes("People")

INVITE_LETTERS = 24
HINT_LETTERS = 4


@routes.get("/api/v1/outbox", access=Access.OPERATOR, problems=(400, 503))
async def list_letters(services: Services, query: PageQuery) -> Outbox:
    """List the letters to people, newest first. Without a mail server, this is where to read them."""
    page = await services.people.outbox.page(MAIL_TOPIC, cursor=query.cursor, limit=query.limit)
    return Outbox([_to_letter(row) for row in page.items], page.next_cursor, services.people.site.sends_mail)


@routes.post("/api/v1/invites", status=201, access=Access.OPERATOR, problems=(400, 415, 503))
async def create_invite(services: Services, principal: Principal, body: CreateInvite) -> NewInvite:
    """Make an invitation; its code is shown this once."""
    code = draw_word(INVITE_LETTERS)
    expires = None if body.expires_ms is None else Instant(body.expires_ms)
    hint = code[:HINT_LETTERS]
    await services.people.invites.add(
        principal.user, principal.actor, hash_of(code), hint, body.note, body.uses, expires
    )
    return NewInvite(code, f"{services.people.site.public_url.rstrip('/')}/register?invite={code}")


@routes.get("/api/v1/invites", access=Access.OPERATOR, problems=(503,))
async def list_invites(services: Services) -> InviteList:
    """List the invitations, newest first."""
    rows = await services.people.invites.all()
    return InviteList(
        [
            Invite(
                id=row.id,
                hint=row.hint,
                note=row.note,
                uses_left=row.uses_left,
                created_by=row.created_by,
                created_ms=row.created_at_ms,
                expires_ms=row.expires_at_ms,
            )
            for row in rows
        ]
    )


@routes.get("/api/v1/users", access=Access.OPERATOR, problems=(400, 503))
async def list_users(services: Services, query: PageQuery) -> PersonList:
    """List people, newest first."""
    page = await services.people.users.page(cursor=query.cursor, limit=query.limit)
    return PersonList([to_person(row) for row in page.items], page.next_cursor)


@routes.post("/api/v1/users/{user}/disable", access=Access.OPERATOR, problems=(404, 409, 503))
async def disable_user(services: Services, principal: Principal, user: str) -> Person:
    """Keep a person out: their sessions end at once. Their bots go on; stop those first if they shall not."""
    if user == principal.user:
        raise ApiProblem(Kind.CONFLICT, "you would lock yourself out", code="own_account")
    return await _set_status(services, principal, user, DISABLED)


@routes.post("/api/v1/users/{user}/enable", access=Access.OPERATOR, problems=(404, 503))
async def enable_user(services: Services, principal: Principal, user: str) -> Person:
    """Let a person in again."""
    return await _set_status(services, principal, user, ACTIVE)


@routes.get("/api/v1/audit", access=Access.OPERATOR, problems=(400, 503))
async def list_audit(services: Services, query: AuditQuery) -> Page[AuditEntry]:
    """List who commanded what and what it changed, newest first."""
    page = await services.people.audit.page(target=query.target, cursor=query.cursor, limit=query.limit)
    return Page([to_entry(row) for row in page.items], page.next_cursor)


def to_entry(row: AuditRow) -> AuditEntry:
    """Show a recorded command."""
    return AuditEntry(
        seq=row.seq,
        at_ms=row.at_ms,
        actor=row.actor,
        command=row.command,
        target=row.target,
        before=row.before,
        after=row.after,
        hash=row.hash.hex(),
    )


async def _set_status(services: Services, principal: Principal, user: str, status: str) -> Person:
    found = await services.people.users.set_status(UserId(user), status, principal.actor)
    if found is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no user {user}")
    services.stream.recheck()
    return to_person(found)


def _to_letter(row: ShownEvent) -> Letter:
    return Letter(
        id=row.id,
        to=row.payload["to"],
        subject=row.payload["subject"],
        text=row.payload.get("text", ""),
        link=row.payload.get("link", ""),
        created_ms=row.created_at_ms,
        sent_ms=row.published_at_ms,
        attempts=row.attempts,
        last_error=row.last_error,
    )
