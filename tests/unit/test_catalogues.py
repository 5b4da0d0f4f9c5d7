"""The desk's texts: each language says all of them, and none that is asked for is missing."""

import re
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "agentbridge/web/app"
LINE = re.compile(r'^  "([^"]+)": (.+),$', re.MULTILINE)
PLACES = re.compile(r"\{(\w+)\}")


def catalogue(language: str) -> dict[str, str]:
    return dict(LINE.findall((APP / f"locales/{language}.js").read_text()))


ENGLISH = catalogue("en")


@pytest.mark.parametrize("language", ["it", "ar"])
def test_a_language_has_the_same_texts_as_english(language: str) -> None:
    assert list(catalogue(language)) == list(ENGLISH)


@pytest.mark.parametrize("language", ["it", "ar"])
def test_a_text_has_no_place_that_nobody_fills(language: str) -> None:
    texts = catalogue(language)
    assert [key for key in ENGLISH if not set(PLACES.findall(texts[key])) <= set(PLACES.findall(ENGLISH[key]))] == []


def test_arabic_is_arabic() -> None:
    names = {"channel.sms", "choice.wav"}  # as they are called everywhere
    latin = {key for key, text in catalogue("ar").items() if not re.search("[\u0600-\u06ff]", text)}
    assert latin - names <= {"field.nat"}


def test_keys_are_in_order_so_that_two_may_add_some() -> None:
    assert list(ENGLISH) == sorted(ENGLISH)


def test_each_text_that_a_page_asks_for_by_name_is_there() -> None:
    asked = {
        key
        for page in APP.rglob("*.js")
        if page.parent.name != "locales"
        for key in re.findall(r'\bt\(\s*"([^"]+)"', page.read_text())
    }
    assert asked - set(ENGLISH) == set()
