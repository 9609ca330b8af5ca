"""The letters that people get, in their language. A letter is written with the change that it tells of.

It decides the words only; `actors/mailer.py` sends them, and without a mail server the operator reads them.
"""

from collections.abc import Mapping

from api.access.tokens import draw_word
from storage.outbox import NewEvent

MAIL_TOPIC = "mail"
SECRET_FIELDS = ("text", "link")
"""What is forgotten of a letter once it has been sent."""

_CONFIRM = {
    "en": (
        "Confirm your address",
        "Welcome to Trellis. Open this link within 24 hours to finish your registration:\n\n{link}\n\n"
        "If it was not you who registered, do nothing: without the link there is no account.",
    ),
    "ru": (
        "Подтвердите адрес",
        "Добро пожаловать в Trellis. Откройте эту ссылку в течение 24 часов, чтобы завершить регистрацию:\n\n"
        "{link}\n\nЕсли регистрировались не вы, ничего не делайте: без ссылки учётная запись не появится.",
    ),
}
_KNOWN = {
    "en": (
        "You have an account already",
        "Somebody, perhaps you, tried to register at Trellis with this address. There is an account already: "
        "sign in, or set a new password here:\n\n{link}",
    ),
    "ru": (
        "У вас уже есть учётная запись",
        "Кто-то (возможно, вы) пытался зарегистрироваться в Trellis с этим адресом. Учётная запись уже есть: "
        "войдите или задайте новый пароль здесь:\n\n{link}",
    ),
}
_RECOVER = {
    "en": (
        "Set a new password",
        "Open this link within 10 minutes to set a new password:\n\n{link}\n\n"
        "If you did not ask for it, do nothing: your password stays as it is.",
    ),
    "ru": (
        "Новый пароль",
        "Откройте эту ссылку в течение 10 минут, чтобы задать новый пароль:\n\n{link}\n\n"
        "Если вы об этом не просили, ничего не делайте: пароль останется прежним.",
    ),
}
_CHANGE_EMAIL = {
    "en": (
        "Confirm your new address",
        "Open this link within 24 hours, in the browser in which you are signed in, to use this address for "
        "Trellis from now on:\n\n{link}",
    ),
    "ru": (
        "Подтвердите новый адрес",
        "Откройте эту ссылку в течение 24 часов в браузере, где вы вошли в Trellis, чтобы использовать этот "
        "адрес:\n\n{link}",
    ),
}
_CHANGED = {
    "en": (
        "Your account has changed",
        "{what}.\n\nIf it was not you, set a new password at once: {link}",
    ),
    "ru": (
        "Ваша учётная запись изменена",
        "{what}.\n\nЕсли это были не вы, немедленно задайте новый пароль: {link}",
    ),
}
_WHAT = {
    "password": {"en": "Your password was changed", "ru": "Ваш пароль изменён"},
    "email": {"en": "Your address was changed to another one", "ru": "Ваш адрес заменён на другой"},
    "totp_on": {"en": "One-time codes were switched on", "ru": "Включены одноразовые коды"},
    "totp_off": {"en": "One-time codes were switched off", "ru": "Одноразовые коды выключены"},
}


class Letters:
    """Writes letters whose links lead to one site."""

    def __init__(self, public_url: str) -> None:
        self._url = public_url.rstrip("/")

    def confirm(self, to: str, locale: str, token: str) -> NewEvent:
        """Ask to confirm a new account."""
        return _letter(to, locale, _CONFIRM, f"{self._url}/confirm?token={token}")

    def known(self, to: str, locale: str) -> NewEvent:
        """Tell the owner of an address that somebody tried to register with it."""
        return _letter(to, locale, _KNOWN, f"{self._url}/recover")

    def recover(self, to: str, locale: str, token: str) -> NewEvent:
        """Give the key to a new password."""
        return _letter(to, locale, _RECOVER, f"{self._url}/reset?token={token}")

    def change_email(self, to: str, locale: str, token: str) -> NewEvent:
        """Ask to confirm a new address."""
        return _letter(to, locale, _CHANGE_EMAIL, f"{self._url}/confirm?token={token}")

    def changed(self, to: str, locale: str, what: str) -> NewEvent:
        """Tell what was changed, so that a thief does not go unnoticed."""
        return _letter(to, locale, _CHANGED, f"{self._url}/recover", what=_WHAT[what][locale])


def _letter(to: str, locale: str, texts: Mapping[str, tuple[str, str]], link: str, **words: str) -> NewEvent:
    subject, text = texts[locale]
    payload = {"to": to, "subject": f"Trellis: {subject}", "text": text.format(link=link, **words), "link": link}
    # A key of its own: a letter that nobody takes must not hold up the next one to the same address.
    return NewEvent(MAIL_TOPIC, draw_word(16), payload)
