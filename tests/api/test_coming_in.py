"""Coming in: the first operator, registering and confirming, signing in and out, recovering."""

from tests.api.browser import browsing, enrol
from tests.api.conftest import Api

NEW_PASSWORD = "eleven loud magpies before noon"


async def test_somebody_registers_confirms_and_is_signed_in(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        session = (await ann.get("/session")).body
        assert session["user"]["email"] == email
        assert session["user"]["roles"] == ["user"]
        assert not session["user"]["totp_enabled"]
        assert (await ann.get("/bots")).body == {"items": []}
