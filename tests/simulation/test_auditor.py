"""The auditor notices each way in which money can move wrongly, and imports nothing of what it judges."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.simulating import auditor
from benchmarks.simulating.auditor import Agreement, Approval, Findings, Movement, Story, Window, audit

HOT, PAYEE, PAYER, TOKEN = "hot", "payee", "payer", "token"
BACKING = Movement("credit", 10, TOKEN, PAYER, HOT, 700)
PAYMENT = Movement("payment", 30, TOKEN, HOT, PAYEE, 700)
AGREED = Agreement(
    "po_1", "pass_through", "co_1", HOT, PAYEE, TOKEN, 700, 1_000, frozenset("abc"), 2, "a", backing="credit"
)


def story(**changes: object) -> Story:
    """Tell a story in which all is well, but for the changes."""
    told = Story(
        solid_depth=6,
        our_addresses=frozenset({HOT}),
        contracts=frozenset({TOKEN}),
        movements=[BACKING, PAYMENT],
        agreements=[replace(AGREED)],
        approvals=[Approval("po_1", who, PAYEE, 700, 5) for who in "bc"],
        signed={"payment": 20},
        signed_at={"payment": 29},
        final_states={"po_1.1": ("confirmed", "payment")},
    )
    told.allowed[TOKEN, PAYEE].append(Window(0))
    for name, value in changes.items():
        setattr(told, name, value)
    return told


def kinds(findings: Findings) -> set[str]:
    """Name the kinds of findings."""
    return {kind for kind, lines in vars(findings).items() if lines}


def test_a_payment_that_was_agreed_backed_approved_and_allowed_is_not_found_fault_with() -> None:
    assert audit(story()).all() == []


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("doubles", {"movements": [BACKING, PAYMENT, replace(PAYMENT, tx="again")]}),
        ("losses", {"movements": [BACKING], "final_states": {}}),
        ("stuck", {"final_states": {"po_1.1": ("broadcast", "")}}),
        ("strangers", {"movements": [BACKING, PAYMENT, replace(PAYMENT, tx="x", units=1)]}),
        ("strangers", {"movements": [BACKING, PAYMENT, replace(PAYMENT, tx="x", recipient="thief")]}),
        ("strangers", {"signed": {}}),
        ("unapproved", {"approvals": [Approval("po_1", "b", PAYEE, 700, 5)]}),
        ("unapproved", {"approvals": [Approval("po_1", who, PAYEE, 700, 5) for who in "ab"]}),
        ("unapproved", {"approvals": [Approval("po_1", who, PAYEE, 700, 21) for who in "bc"]}),
        ("unapproved", {"approvals": [Approval("po_1", who, PAYEE, 699, 5) for who in "bc"]}),
        ("over_cap", {"caps": [(0, 1_000), (10, 600)]}),
        ("not_allowed", {"allowed": {(TOKEN, PAYEE): [Window(0, 19)]}}),
        ("unbacked", {"movements": [replace(BACKING, contract="other"), PAYMENT]}),
        ("unbacked", {"movements": [replace(BACKING, units=699), PAYMENT]}),
        ("unbacked", {"movements": [replace(BACKING, block=24), PAYMENT]}),
        (
            "while_frozen",
            {"frozen": {("company", "co_1"): [Window(15, 25)], ("global", ""): [], ("wallet", HOT): []}},
        ),
        ("not_durable", {"leaks": ["payment"]}),
        ("states", {"states": [(1, "po_1.1", "confirmed"), (2, "po_1.1", "signing")]}),
        ("states", {"final_states": {"po_1.1": ("confirmed", "another")}}),
    ],
)
def test_each_way_in_which_money_moves_wrongly_is_found(kind: str, changes: dict[str, object]) -> None:
    assert kind in kinds(audit(story(**changes)))


def test_what_was_confirmed_may_begin_anew_after_the_database_was_restored() -> None:
    states = [(1, "po_1.1", "confirmed"), (7, "po_1.1", "queued"), (9, "po_1.1", "confirmed")]
    assert audit(story(states=states, restored=[5])).all() == []
    assert kinds(audit(story(states=states))) == {"states"}


def test_an_amount_over_the_cap_is_paid_in_exact_parts() -> None:
    agreed = replace(AGREED, units=2_500)
    assert agreed.parts() == [1_000, 1_000, 500]


def test_the_auditor_knows_nothing_of_what_it_judges_and_fits_on_a_few_pages() -> None:
    source = Path(auditor.__file__).read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
    }
    assert imported == {"collections", "dataclasses"}
    assert len(source.splitlines()) <= 250
