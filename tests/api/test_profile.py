"""One's own account: what is changed, what is asked for first, and what is told."""

import time

import pyotp

from tests.api.browser import PASSWORD, Browser, browsing, enrol, letters_to, new_email, token_to
from tests.api.conftest import Answer, Api
from tests.api.test_coming_in import NEW_PASSWORD, codes, fields, switch_on_codes


async def test_a_profile_changes_in_what_is_given_and_stays_in_the_rest(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        changed = await ann.ask("PATCH", "/profile", {"theme": "dark", "time_zone": "Europe/Berlin"})
        assert (changed.status, changed.body["theme"], changed.body["time_zone"]) == (200, "dark", "Europe/Berlin")
        renamed = (await ann.ask("PATCH", "/profile", {"display_name": "Ann"})).body
        assert (renamed["display_name"], renamed["theme"], renamed["locale"]) == ("Ann", "dark", "en")
        wrong = await ann.ask("PATCH", "/profile", {"time_zone": "Mars/Olympus"})
        assert fields(wrong) == {"#/time_zone": "unknown_time_zone"}
        assert (await ann.ask("PATCH", "/profile", {"roles": ["operator"]})).status == 400
        assert (await ann.ask("PATCH", "/profile", {})).body["display_name"] == "Ann"


async def test_a_new_password_needs_the_old_one_and_ends_every_other_session(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as phone:
        email = await enrol(api, ann)
        await phone.login(email)
        wrong = await ann.post("/profile/password", {"current": "not mine at all", "new": NEW_PASSWORD})
        assert (wrong.status, fields(wrong)) == (422, {"#/current": "wrong_password"})
        weak = await ann.post("/profile/password", {"current": PASSWORD, "new": "password1234"})
        assert fields(weak) == {"#/new": "password_too_common"}
        assert (await ann.post("/profile/password", {"current": PASSWORD, "new": NEW_PASSWORD})).status == 204
        assert (await ann.get("/session")).status == 200
        assert codes(await phone.get("/session")) == (401, "session_expired")
        assert (await phone.login(email)).status == 401
        assert (await phone.login(email, NEW_PASSWORD)).status == 200
        assert "changed" in (await letters_to(api, email))[0]["subject"]


async def test_a_new_address_counts_once_its_link_was_opened_by_its_owner(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        old, new = await enrol(api, ann), new_email()
        wrong = await ann.post("/profile/email", {"password": NEW_PASSWORD, "email": new})
        assert fields(wrong) == {"#/password": "wrong_password"}
        assert (await ann.post("/profile/email", {"password": PASSWORD, "email": new})).status == 202
        assert (await ann.get("/session")).body["user"]["email"] == old
        token = await token_to(api, new)
        # Whoever reads that mailbox is not yet the owner of the account.
        assert codes(await eve.post("/auth/confirm", {"token": token})) == (401, "sign_in_first")
        await enrol(api, eve)
        assert codes(await eve.post("/auth/confirm", {"token": token})) == (401, "sign_in_first")
        assert (await ann.post("/auth/confirm", {"token": token})).body["user"]["email"] == new
        assert (await ann.login(new)).status == 200
        assert (await ann.login(old)).status == 401
        assert "changed" in (await letters_to(api, old))[0]["subject"]


async def test_an_address_of_somebody_else_is_not_taken_and_not_told(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        taken = await enrol(api, ann)
        await enrol(api, eve)
        assert (await eve.post("/profile/email", {"password": PASSWORD, "email": taken})).status == 202
        assert "already" in (await letters_to(api, taken))[0]["subject"]


# ---------------------------------------------------------------------- one-time codes


async def test_one_time_codes_are_asked_for_and_good_for_once(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as phone:
        email = await enrol(api, ann)
        await phone.login(email)
        wrong = await ann.post("/profile/totp", {"password": NEW_PASSWORD})
        assert fields(wrong) == {"#/password": "wrong_password"}
        begun = (await ann.post("/profile/totp", {"password": PASSWORD})).body
        assert begun["uri"].startswith("otpauth://totp/Trellis:")
        totp = pyotp.TOTP(begun["secret"])
        # Not in force before a code proves that the phone has it.
        assert (await phone.login(email)).status == 200
        assert (await ann.post("/profile/totp/confirm", {"code": "000000"})).status == 422
        used = totp.now()
        assert len((await ann.post("/profile/totp/confirm", {"code": used})).body["recovery_codes"]) == 10
        assert (await ann.get("/session")).body["user"]["totp_enabled"]
        assert codes(await phone.get("/session")) == (401, "session_expired")
        assert codes(await phone.login(email)) == (401, "totp_required")
        assert codes(await phone.login(email, NEW_PASSWORD)) == (401, "wrong_credentials")
        assert codes(await phone.login(email, code=used)) == (401, "wrong_code")
        later = totp.at(time.time() + 30)
        assert (await phone.login(email, code=f"{later[:3]} {later[3:]}")).status == 200
        assert codes(await phone.login(email, code=later)) == (401, "wrong_code")


async def test_a_recovery_code_opens_once(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        recovery = await switch_on_codes(ann)
        assert (await ann.login(email, code=recovery[0].upper())).status == 200
        assert codes(await ann.login(email, code=recovery[0])) == (401, "wrong_code")
        assert (await ann.login(email, code=recovery[1].replace("-", " "))).status == 200


async def test_codes_are_switched_off_with_password_and_code(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        recovery = await switch_on_codes(ann)
        assert codes(await ann.post("/profile/totp", {"password": PASSWORD})) == (409, "totp_on")
        off = "/profile/totp/disable"
        assert codes(await ann.post(off, {"password": PASSWORD, "code": "000000"})) == (401, "wrong_code")
        assert (await ann.post(off, {"password": NEW_PASSWORD, "code": recovery[0]})).status == 422
        assert (await ann.post(off, {"password": PASSWORD, "code": recovery[0]})).status == 204
        assert (await ann.login(email)).status == 200
        assert codes(await ann.post(off, {"password": PASSWORD, "code": recovery[1]})) == (409, "totp_off")


async def test_a_new_password_needs_a_code_where_codes_are_on(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        recovery = await switch_on_codes(ann)
        body = {"current": PASSWORD, "new": NEW_PASSWORD}
        assert codes(await ann.post("/profile/password", body)) == (401, "totp_required")
        assert (await ann.post("/profile/password", {**body, "code": recovery[0]})).status == 204


async def test_a_seed_is_sealed_where_it_lies(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as bob:
        await enrol(api, ann)
        seed = (await ann.post("/profile/totp", {"password": PASSWORD})).body["secret"]
        await enrol(api, bob)
        await bob.post("/profile/totp", {"password": PASSWORD})
        mine, his = [(await each.get("/session")).body["user"]["id"] for each in (ann, bob)]
        row = await api.services.people.credentials.get(mine)
        assert row is not None
        assert row.totp_sealed is not None
        assert seed.encode() not in row.totp_sealed
        # Moved to another person's row, it does not open.
        await api.engine.database.rows(
            "UPDATE credentials SET totp_sealed = $2 WHERE user_id = $1", his, row.totp_sealed
        )
        moved = await bob.post("/profile/totp/confirm", {"code": pyotp.TOTP(seed).now()})
        assert moved.status == 500
        await api.engine.database.rows("UPDATE credentials SET totp_sealed = NULL WHERE user_id = $1", his)
        assert not (await bob.get("/session")).body["user"]["totp_enabled"]


# ---------------------------------------------------------------------- everything about me


async def test_an_export_holds_everything_about_me_and_no_secret(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        await switch_on_codes(ann)
        answer = await ann.get("/profile/export")
        export = answer.body
        assert (export["user"]["email"], export["user"]["totp_enabled"]) == (email, True)
        assert len(export["sessions"]) == 1
        assert {"session.begin", "user.register", "totp.on"} <= {entry["command"] for entry in export["audit"]}
        assert_holds_no_secret(answer, ann)


def assert_holds_no_secret(answer: Answer, browser: Browser) -> None:
    text = str(answer.body)
    for secret in ("$argon2", PASSWORD, browser.cookie("trellis_access"), browser.cookie("trellis_refresh")):
        assert secret not in text
