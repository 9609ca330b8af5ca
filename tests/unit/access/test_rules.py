"""Who may do what, which passwords hold, what a renewal token means, and how long a guesser waits."""

import pytest

from engine.access.backoff import FORGET_MS, FREE_FAILURES, LONGEST_WAIT_MS, wait_ms
from engine.access.one_time import LIFE_MS, Purpose
from engine.access.passwords import LENGTH_MAX, judge
from engine.access.principals import Access, Principal, Role, SessionId, Via, may_call, may_reach
from engine.access.rates import PER_ACCOUNT, PER_ADDRESS, RateClass
from engine.access.sessions import (
    ACCESS_MS,
    GRACE_MS,
    IDLE_MS,
    SESSION_MS,
    Renewal,
    RenewalToken,
    judge_renewal,
    token_ends,
)
from engine.ids import Instant, UserId

NOW = Instant(1_700_000_000_000)
USER = Principal(UserId("ann"), frozenset({Role.USER}), Via.SESSION, SessionId("s"))
OPERATOR = Principal(UserId("operator"), frozenset({Role.USER, Role.OPERATOR}), Via.TOKEN)


# ---------------------------------------------------------------------- principals


@pytest.mark.parametrize(
    ("access", "nobody", "user", "operator"),
    [
        (Access.PUBLIC, True, True, True),
        (Access.USER, False, True, True),
        (Access.OPERATOR, False, False, True),
    ],
)
def test_a_route_is_open_to_whom_it_says(access: Access, nobody: bool, user: bool, operator: bool) -> None:
    answers = tuple(may_call(access, principal) for principal in (None, USER, OPERATOR))
    assert answers == (nobody, user, operator)


@pytest.mark.parametrize(
    ("principal", "owner", "is_reached"),
    [
        (USER, UserId("ann"), True),
        (USER, UserId("bob"), False),
        (USER, None, False),
        (OPERATOR, UserId("bob"), True),
        (OPERATOR, None, True),
    ],
)
def test_what_belongs_to_somebody_else_does_not_exist_for_a_user(
    principal: Principal, owner: UserId | None, is_reached: bool
) -> None:
    assert may_reach(principal, owner) is is_reached


def test_the_audit_names_a_person_by_id_and_the_console_by_its_door() -> None:
    assert (USER.actor, OPERATOR.actor) == ("user:ann", "operator:api")


# ---------------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    ("password", "score", "code"),
    [
        ("short", 4, "password_too_short"),
        ("x" * (LENGTH_MAX + 1), 4, "password_too_long"),
        ("password12", 1, "password_too_common"),
        ("ten letters", 2, "password_too_common"),
        ("seven quiet herons", 4, None),
        ("x" * LENGTH_MAX, 3, None),
    ],
)
def test_a_password_must_be_long_and_hard_to_guess_and_nothing_else(
    password: str, score: int, code: str | None
) -> None:
    refusals = judge(password, score, "new")
    assert [refusal.code for refusal in refusals] == ([] if code is None else [code])
    assert all(refusal.field == "new" and password not in refusal.message for refusal in refusals)


# ---------------------------------------------------------------------- sessions


def token(
    *,
    ends_in_ms: int = IDLE_MS,
    replaced_ms_ago: int | None = None,
    session_ends_in_ms: int = SESSION_MS,
    is_ended: bool = False,
    owner_is_active: bool = True,
) -> RenewalToken:
    """Give what is known of a renewal token."""
    return RenewalToken(
        expires_at_ms=Instant(NOW + ends_in_ms),
        replaced_at_ms=None if replaced_ms_ago is None else Instant(NOW - replaced_ms_ago),
        session_expires_at_ms=Instant(NOW + session_ends_in_ms),
        session_ended_at_ms=Instant(NOW - 1) if is_ended else None,
        owner_is_active=owner_is_active,
    )


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (token(), Renewal.ROTATE),
        (token(replaced_ms_ago=0), Renewal.REPEAT),
        (token(replaced_ms_ago=GRACE_MS), Renewal.REPEAT),
        (token(replaced_ms_ago=GRACE_MS + 1), Renewal.REUSED),
        (token(replaced_ms_ago=GRACE_MS + 1, ends_in_ms=-1), Renewal.REUSED),
        (token(ends_in_ms=0), Renewal.OVER),
        (token(session_ends_in_ms=0), Renewal.OVER),
        (token(is_ended=True, replaced_ms_ago=GRACE_MS + 1), Renewal.OVER),
        (token(owner_is_active=False), Renewal.OVER),
    ],
)
def test_a_renewal_token_is_good_once_and_for_a_moment_more(facts: RenewalToken, outcome: Renewal) -> None:
    assert judge_renewal(facts, NOW) is outcome


def test_no_token_outlives_its_session() -> None:
    assert token_ends(Instant(NOW + SESSION_MS), NOW) == (NOW + ACCESS_MS, NOW + IDLE_MS)
    assert token_ends(Instant(NOW + 1_000), NOW) == (NOW + 1_000, NOW + 1_000)


# ---------------------------------------------------------------------- waiting


def test_a_guesser_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    assert [wait_ms(failures, NOW, NOW) for failures in range(FREE_FAILURES)] == [0] * FREE_FAILURES
    waits = [wait_ms(failures, NOW, NOW) for failures in range(FREE_FAILURES, FREE_FAILURES + 30)]
    assert waits[:4] == [2_000, 4_000, 8_000, 16_000]
    assert waits == sorted(waits)
    assert waits[-1] == wait_ms(10**9, NOW, NOW) == LONGEST_WAIT_MS


def test_waiting_ends_and_old_failures_are_forgotten() -> None:
    assert wait_ms(FREE_FAILURES, Instant(NOW - 1_500), NOW) == 500
    assert wait_ms(FREE_FAILURES, Instant(NOW - 2_000), NOW) == 0
    assert wait_ms(100, Instant(NOW - FORGET_MS - 1), NOW) == 0


# ---------------------------------------------------------------------- tables that must be whole


def test_every_purpose_has_a_life_and_a_key_to_an_account_lives_ten_minutes_at_most() -> None:
    assert LIFE_MS.keys() == set(Purpose)
    assert LIFE_MS[Purpose.RECOVER] <= 10 * 60_000


@pytest.mark.parametrize("rates", [PER_ADDRESS, PER_ACCOUNT])
def test_every_class_of_requests_has_a_rate_and_what_can_be_guessed_the_lower_one(rates: object) -> None:
    assert isinstance(rates, dict)
    assert rates.keys() == set(RateClass)
    per_minute = {kind: rate.count * 60 / rate.per_s for kind, rate in rates.items()}
    assert per_minute[RateClass.MAIL] < per_minute[RateClass.SIGN_IN] < per_minute[RateClass.COMMAND]
