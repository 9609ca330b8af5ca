"""Coming in: the first operator, registering and confirming, signing in and out, recovering."""

import asyncio
import re

import pyotp
import pytest

from api.access.context import Registration, Site
from tests.api.browser import PASSWORD, Browser, browsing, enrol, letters_to, new_email, token_to
from tests.api.conftest import Answer, Api, serving

NEW_PASSWORD = "eleven loud magpies before noon"


def codes(answer: Answer) -> tuple[int, str]:
    """Give what an answer says, in short."""
    return answer.status, answer.body["code"]


def fields(answer: Answer) -> dict[str, str]:
    """Give what is wrong, by place."""
    return {each["pointer"]: each["code"] for each in answer.body["errors"]}


# ---------------------------------------------------------------------- registering


async def test_somebody_registers_confirms_and_is_signed_in(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        session = (await ann.get("/session")).body
        assert session["user"]["email"] == email
        assert session["user"]["roles"] == ["user"]
        assert not session["user"]["totp_enabled"]
        assert (await ann.get("/bots")).body == {"items": []}


async def test_without_the_link_there_is_no_account(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = new_email()
        await ann.post("/auth/register", {"email": email, "password": PASSWORD})
        assert codes(await ann.login(email)) == (401, "wrong_credentials")
        assert codes(await ann.post("/auth/confirm", {"token": "A" * 43})) == (422, "dead_link")


async def test_a_link_opens_once_and_only_for_its_purpose(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        used = await token_to(api, email)
        assert codes(await ann.post("/auth/confirm", {"token": used})) == (422, "dead_link")
        await ann.post("/auth/recover", {"email": email})
        recovery = await token_to(api, email)
        assert codes(await ann.post("/auth/confirm", {"token": recovery})) == (422, "dead_link")


async def test_a_link_that_is_too_old_opens_nothing(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = new_email()
        await ann.post("/auth/register", {"email": email, "password": PASSWORD})
        token = await token_to(api, email)
        await api.engine.database.rows(
            "UPDATE one_time_tokens SET expires_at_ms = now_ms() - 1 WHERE email = $1", email
        )
        assert codes(await ann.post("/auth/confirm", {"token": token})) == (422, "dead_link")


async def test_two_who_open_one_link_at_once_make_one_account(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = new_email()
        await ann.post("/auth/register", {"email": email, "password": PASSWORD})
        token = await token_to(api, email)
        answers = await asyncio.gather(*(ann.post("/auth/confirm", {"token": token}) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 422, 422, 422]


async def test_registering_tells_nobody_whether_an_address_has_an_account(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        email = await enrol(api, ann)
        known = await eve.post("/auth/register", {"email": email.upper(), "password": NEW_PASSWORD})
        unknown = await eve.post("/auth/register", {"email": new_email(), "password": NEW_PASSWORD})
        assert (known.status, known.body) == (unknown.status, unknown.body) == (202, {})
        assert "already" in (await letters_to(api, email.upper()))[0]["subject"]
        # The password of the second try opens nothing.
        assert (await eve.login(email, NEW_PASSWORD)).status == 401
        assert (await ann.login(email)).status == 200


async def test_recovering_tells_nobody_whether_an_address_has_an_account(api: Api) -> None:
    async with browsing(api.address) as eve:
        nobody = new_email()
        answer = await eve.post("/auth/recover", {"email": nobody})
        assert (answer.status, answer.body) == (202, {})
        assert await letters_to(api, nobody) == []


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("password1234", "password_too_common"),
        ("qwertyuiop", "password_too_common"),
        ("Tr3ll1s2026", "password_too_common"),
        ("aaaaaaaaaaaaaaaaaaaa", "password_too_common"),
        ("kj3#Xq!z", "password_too_short"),
    ],
)
async def test_a_password_that_is_easily_guessed_is_refused_at_its_place(
    api: Api, password: str, code: str
) -> None:
    async with browsing(api.address) as ann:
        answer = await ann.post("/auth/register", {"email": new_email(), "password": password})
        assert (answer.status, fields(answer)) == (422, {"#/password": code})
        assert password not in str(answer.body)


async def test_a_password_made_of_ones_own_address_is_refused(api: Api) -> None:
    async with browsing(api.address) as ann:
        answer = await ann.post("/auth/register", {"email": "archibald@example.org", "password": "archibald1"})
        assert fields(answer) == {"#/password": "password_too_common"}


async def test_spaces_letters_of_any_script_and_long_phrases_are_welcome(api: Api) -> None:
    async with browsing(api.address) as ann:
        password = "тихий вечер над рекой " + "x" * 200
        email = await enrol(api, ann, password=password)
        assert (await ann.login(email, password)).status == 200
        assert (await ann.login(email, password[:-1])).status == 401


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@", "@b", "a b@c.d", "a@b\nBcc: c@d", "a@b,c@d", "x" * 250 + "@b.c"]
)
async def test_what_is_no_address_is_refused_at_its_place(api: Api, email: str) -> None:
    async with browsing(api.address) as ann:
        answer = await ann.post("/auth/register", {"email": email, "password": PASSWORD})
        assert (answer.status, [each["pointer"] for each in answer.body["errors"]]) == (400, ["#/email"])


async def test_letters_speak_the_language_that_was_chosen(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = new_email()
        await ann.post("/auth/register", {"email": email, "password": PASSWORD, "locale": "ru"})
        letter = (await letters_to(api, email))[0]
        assert "Подтвердите" in letter["subject"]
        assert letter["link"] in letter["text"]


# ---------------------------------------------------------------------- by invitation


async def test_where_registration_is_by_invitation_a_code_is_good_for_as_many_as_it_says(api: Api) -> None:
    site = Site("http://127.0.0.1:1", registration=Registration.INVITE)
    async with serving(api.engine, site) as (address, _), browsing(address) as ann:
        assert (await ann.get("/site")).body["registration"] == "invite"
        refused = await ann.post("/auth/register", {"email": new_email(), "password": PASSWORD})
        assert (refused.status, fields(refused)) == (422, {"#/invite": "invite_invalid"})
        code = (await api.post("/api/v1/invites", {"note": "for two friends", "uses": 2})).body["code"]
        tokens = []
        for _ in range(3):
            email = new_email()
            asked = await ann.post("/auth/register", {"email": email, "password": PASSWORD, "invite": code})
            assert asked.status == 202
            tokens.append(await token_to(api, email))
        opened = [(await ann.post("/auth/confirm", {"token": token})).status for token in tokens]
        assert opened == [200, 200, 422]
        listed = (await api.get("/api/v1/invites")).body["items"][0]
        assert (listed["note"], listed["uses_left"]) == ("for two friends", 0)
        assert code not in str(listed)
        assert code.startswith(listed["hint"])


# ---------------------------------------------------------------------- signing in and out


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        email = await enrol(api, ann)
        wrong, unknown = await eve.login(email, NEW_PASSWORD), await eve.login(new_email(), NEW_PASSWORD)
        assert wrong.body == unknown.body
        assert codes(wrong) == (401, "wrong_credentials")
        assert not eve.cookie("trellis_access")


async def test_signing_in_makes_tokens_that_nobody_has_seen(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        first = ann.cookie("trellis_access"), ann.cookie("trellis_refresh")
        assert (await ann.login(email)).status == 200
        second = ann.cookie("trellis_access"), ann.cookie("trellis_refresh")
        assert len({*first, *second}) == 4
        assert all(re.fullmatch(r"[\w-]{43}", token) for token in (*first, *second))


async def test_signing_out_ends_the_session_on_the_server_and_clears_the_browser(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        access, refresh = ann.cookie("trellis_access"), ann.cookie("trellis_refresh")
        answer = await ann.post("/auth/logout")
        assert answer.status == 204
        assert '"cookies"' in answer.headers["Clear-Site-Data"]
        assert (ann.cookie("trellis_access"), ann.cookie("trellis_refresh")) == ("", "")
        assert codes(await ann.get("/session")) == (401, "unauthorised")
        # Whoever copied the cookies has nothing.
        ann.put_cookie("trellis_access", access)
        ann.put_cookie("trellis_refresh", refresh)
        assert codes(await ann.get("/session")) == (401, "session_expired")
        assert codes(await ann.post("/auth/refresh")) == (401, "session_ended")
        assert (await ann.post("/auth/logout")).status == 204


async def test_wrong_guesses_make_the_guesser_wait_and_nobody_else(api: Api) -> None:
    async with serving(api.engine, proxies=("127.0.0.1",)) as (address, _), browsing(address) as ann:
        email = await enrol(api, ann)
        guesser = {"X-Forwarded-For": "192.0.2.7"}
        for _ in range(5):
            answer = await ann.post("/auth/login", {"email": email, "password": "wrong guess"}, **guesser)
            assert answer.status == 401
        right = {"email": email, "password": PASSWORD}
        waiting = await ann.post("/auth/login", right, **guesser)
        assert codes(waiting) == (429, "wait")
        assert 1 <= int(waiting.headers["Retry-After"]) <= 2
        assert (await ann.post("/auth/login", right, **{"X-Forwarded-For": "192.0.2.8"})).status == 200
        await api.engine.database.rows("UPDATE sign_in_failures SET last_at_ms = last_at_ms - 3000")
        assert (await ann.post("/auth/login", right, **guesser)).status == 200
        # A right answer wipes the slate.
        assert (await ann.post("/auth/login", {**right, "password": "wrong guess"}, **guesser)).status == 401


# ---------------------------------------------------------------------- a forgotten password


async def test_a_forgotten_password_is_set_anew_and_every_session_ends(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as phone:
        email = await enrol(api, ann)
        await ann.post("/auth/recover", {"email": email})
        token = await token_to(api, email)
        weak = await phone.post("/auth/reset", {"token": token, "password": "password1234"})
        assert fields(weak) == {"#/password": "password_too_common"}
        assert (await phone.post("/auth/reset", {"token": token, "password": NEW_PASSWORD})).status == 204
        assert codes(await ann.get("/session")) == (401, "session_expired")
        assert (await phone.login(email)).status == 401
        assert (await phone.login(email, NEW_PASSWORD)).status == 200
        again = await phone.post("/auth/reset", {"token": token, "password": PASSWORD})
        assert codes(again) == (422, "dead_link")
        assert "changed" in (await letters_to(api, email))[0]["subject"]


async def test_a_newer_key_replaces_the_older_one(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        await ann.post("/auth/recover", {"email": email})
        older = await token_to(api, email)
        await ann.post("/auth/recover", {"email": email})
        assert codes(await ann.post("/auth/reset", {"token": older, "password": NEW_PASSWORD})) == (
            422,
            "dead_link",
        )


async def test_a_reset_asks_for_the_one_time_code_as_before(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        email = await enrol(api, ann)
        recovery = await switch_on_codes(ann)
        await eve.post("/auth/recover", {"email": email})
        body = {"token": await token_to(api, email), "password": NEW_PASSWORD}
        assert codes(await eve.post("/auth/reset", body)) == (401, "totp_required")
        assert codes(await eve.post("/auth/reset", {**body, "code": "000000"})) == (401, "wrong_code")
        assert (await eve.post("/auth/reset", {**body, "code": recovery[0]})).status == 204
        assert codes(await eve.login(email, NEW_PASSWORD)) == (401, "totp_required")


async def switch_on_codes(browser: Browser) -> list[str]:
    """Switch one-time codes on, as a person with a phone does; give the recovery codes."""
    seed = (await browser.post("/profile/totp", {"password": PASSWORD})).body["secret"]
    answer = await browser.post("/profile/totp/confirm", {"code": pyotp.TOTP(seed).now()})
    assert answer.status == 200, answer.body
    recovery: list[str] = answer.body["recovery_codes"]
    return recovery


# ---------------------------------------------------------------------- the first operator


async def test_the_word_on_the_terminal_makes_the_first_operator_once(api: Api) -> None:
    enrolment = api.services.people.enrolment
    async with browsing(api.address) as olga, browsing(api.address) as late:
        assert (await olga.get("/site")).body["setup_needed"]
        older, token = await enrolment.offer_set_up(), await enrolment.offer_set_up()
        email = new_email()
        body = {"email": email, "password": PASSWORD, "display_name": "Olga", "locale": "ru"}
        assert codes(await late.post("/setup", {**body, "token": older})) == (422, "dead_link")
        made = await olga.post("/setup", {**body, "token": token})
        assert made.status == 201, made.body
        assert made.body["user"]["roles"] == ["user", "operator"]
        assert (made.body["user"]["display_name"], made.body["user"]["locale"]) == ("Olga", "ru")
        assert codes(await late.post("/setup", {**body, "token": token})) == (422, "dead_link")
        assert not (await late.get("/site")).body["setup_needed"]
        assert await enrolment.offer_set_up() is None
        # What the console made before is the operator's own.
        assert (await olga.get("/users")).status == 200
        bot = (await api.create("of the console"))["id"]
        assert (await olga.get(f"/bots/{bot}")).body["owner"] == made.body["user"]["id"]
