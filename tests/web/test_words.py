"""The two languages of the dashboard are equal: the same keys, the same gaps, and every key that a page uses."""

import ast
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).parents[2] / "api" / "web" / "app"
LOCALES = APP / "locales"
SECTIONS = sorted(path.stem for path in (LOCALES / "en").glob("*.json"))

# `t('shell.settings')` and `te("shell.settings")`. Keys that are put together while the page runs are not seen.
USED_KEY = re.compile(r"""\bte?\(\s*(['"])([a-z_]+(?:\.[A-Za-z0-9_]+)+)\1""")
GAP = re.compile(r"{(\w+)}")


def _flat(texts: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in texts.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value


def _texts(locale: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted((LOCALES / locale).glob("*.json")):
        texts |= _flat(json.loads(path.read_text()), path.stem)
    return texts


EN, RU = _texts("en"), _texts("ru")


def test_both_languages_have_the_same_sections() -> None:
    assert sorted(path.stem for path in (LOCALES / "ru").glob("*.json")) == SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_both_languages_have_the_same_keys(section: str) -> None:
    english, russian = ({key for key in texts if key.startswith(f"{section}.")} for texts in (EN, RU))
    assert english == russian


def test_both_languages_fill_the_same_gaps() -> None:
    differing = {
        key: (english, RU[key]) for key, english in EN.items() if key in RU and not _gaps_agree(english, RU[key])
    }
    assert not differing


def _gaps_agree(english: str, russian: str) -> bool:
    # A plural's forms may leave the number out: "no bots | {n} bot | {n} bots".
    optional = {"n", "count"} if "|" in english or "|" in russian else set()
    return set(GAP.findall(english)) - optional == set(GAP.findall(russian)) - optional


def test_every_plural_has_three_russian_forms() -> None:
    wrong = {
        key: RU[key] for key, english in EN.items() if " | " in english and len(RU.get(key, "").split(" | ")) != 3
    }
    assert not wrong


def test_no_text_is_left_in_the_other_language() -> None:
    letters = re.compile("[А-Яа-яЁё]")
    assert not {key: text for key, text in EN.items() if letters.search(text)}
    words = {key: text for key, text in RU.items() if re.search("[a-z]{4}", GAP.sub("", text))}
    assert not {key: text for key, text in words.items() if not letters.search(text)}


def test_every_key_that_a_page_names_exists() -> None:
    used = {
        (match[2], path.name)
        for path in sorted(APP.rglob("*"))
        if path.suffix in (".vue", ".ts")
        for match in USED_KEY.finditer(path.read_text())
    }
    assert len(used) > 100
    missing = {(key, file) for key, file in used if key not in EN and not _is_branch(key)}
    assert not missing


def _is_branch(key: str) -> bool:
    return any(known.startswith(f"{key}.") for known in EN)


ENGINE = Path(__file__).parents[2] / "engine" / "grid"
SAYS = {"Note": 1, "Resync": 0, "become": 2, "halt": 1, "pause": 1, "Stop": 1}
"""Which argument of what holds a sentence that people read."""
SENTENCES_ARE_RETURNED_IN = ("cells.py", "stops.py", "risk.py")
HOLE = ""
FILLERS = ("1", "buy", "up", "running", "stop-loss")
PATTERN = re.compile(r"^  \[/(\^.*\$)/, '\w+'\],$", re.MULTILINE)


def _spoken() -> Iterator[tuple[str, list[str]]]:
    """Give every sentence as its parts: what is always said, and a hole wherever something is put in."""
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments) if name in SAYS:
                    spoken = arguments[SAYS[name]] if len(arguments) > SAYS[name] else None
                case ast.Return(value=value) if path.name in SENTENCES_ARE_RETURNED_IN:
                    spoken = value
                case _:
                    continue
            parts = _parts(spoken)
            if any(" " in part for part in parts):
                yield path.name, parts


def _parts(node: ast.AST | None) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [part for value in values for part in _parts(value) or [HOLE]]
        case ast.Call(func=ast.Attribute(value=inner, attr="strip")):
            return _parts(inner)
    return []


def _is_known(parts: list[str], forms: list[re.Pattern[str]]) -> bool:
    options = (FILLERS if part == HOLE else (part,) for part in parts)
    return any(form.match("".join(each)) for each in product(*options) for form in forms)


def test_every_sentence_of_the_engine_can_be_said_in_both_languages() -> None:
    forms = [
        re.compile(found.replace("(?<", "(?P<"))
        for found in PATTERN.findall((APP / "utils" / "serverWords.ts").read_text())
    ]
    # A start that is refused repeats the refusal of the settings, which the pages translate by its code instead.
    spoken = [each for each in _spoken() if each != ("lifecycle.py", [HOLE, "; ", HOLE])]
    assert len(spoken) > 25
    assert [each for each in spoken if not _is_known(each[1], forms)] == []
