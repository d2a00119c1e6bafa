"""The site builds without a warning, its links lead somewhere, and its picture is of this house."""

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from biofm.api import Finetune, Prepare
from biofm.api.declaration import Verb, options_of, spell_limits
from biofm.policy import NoEffect
from docs import site

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """Collects the links of a page, what it fetches by itself, and the anchors that others may link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (
                name == "src" or (name == "href" and tag == "link" and ("rel", "canonical") not in attrs)
            ):
                self.fetched.add(value)
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Return the links of a site that lead to no file of it, or to no anchor of a page."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_there = target.exists() and (
                target not in pages
                or not parts.fragment
                or (unquote(parts.fragment) in pages[target].anchors)
            )
            if not is_there:
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (built.returncode, "WARNING" in built.stderr) == (0, False), built.stdout + built.stderr
    assert broken_links(tmp_path) == []
    assert len([*tmp_path.glob("reference/verbs/*.html")]) >= 12
    fetched = {link for page in tmp_path.rglob("*.html") for link in Page(page).fetched}
    assert {link for link in fetched if urlsplit(link).netloc} == set(), "fetched from another server"


def test_a_broken_link_and_a_missing_anchor_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a id="x" href="b.html">b</a><a href="c.html">c</a><a href="#y">y</a>')
    (tmp_path / "b.html").write_text('<a href="a.html#x">x</a><a href="a.html#z">z</a>')
    assert broken_links(tmp_path) == ["a.html: #y", "a.html: c.html", "b.html: a.html#z"]


@pytest.mark.parametrize("verb", site._verbs())
def test_the_page_of_a_verb_names_each_option_that_touches_something(verb: type[Verb[Any]]) -> None:
    touched = site._verb_page(verb).split("## What it touches\n")[1].split("\n## ")[0]
    for one in options_of(verb):
        n_effects = len([effect for effect in one.effects if not isinstance(effect, NoEffect)])
        assert len(re.findall(rf"^- .*`{one.name}`", touched, flags=re.MULTILINE)) == n_effects, one.name


def test_the_page_of_prepare_says_that_it_may_run_mmseqs2() -> None:
    assert (
        "- It may run a program that is no part of biofm, as `split_tool` says (mmseqs)."
        in site._verb_page(Prepare)
    )


def test_a_page_calls_a_verb_as_the_command_line_does_and_gives_limits_as_its_function_does() -> None:
    page = site._verb_page(Prepare)
    assert page.startswith("# data prepare\n")
    assert [site._command_of(verb) for verb in (Prepare, Finetune)] == ["data prepare", "finetune"]
    page = site._verb_page(Finetune)
    limited = [one.limits for one in options_of(Finetune) if one.limits is not None]
    assert limited
    assert all(spell_limits(limits) in page for limits in limited)


@pytest.mark.parametrize("face", site.FACES)
def test_the_index_has_the_first_sentence_of_each_package(face: str) -> None:
    what = site._what_it_holds(face)
    assert what.endswith(".")
    assert " ".join((import_module(face).__doc__ or "").split()).startswith(what)
    assert f"](python/{face}.md) | {what} |" in site._index()


def test_the_picture_of_the_house_shows_its_floors() -> None:
    picture = (ROOT / "docs/pictures/house.svg").read_text(encoding="utf-8")
    drawn = re.findall(r'<text x="40" [^>]*font-weight="bold"[^>]*>([^<]+)</text>', picture)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    rooms = [layer for layer in layers if not layer.endswith("__main__")]  # The command's start is no room.
    assert drawn == [layer.strip("()") for layer in rooms]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("One of a|b, <file> and 2*3.", "One of a\\|b, &lt;file> and 2\\*3."),
        ("Give `a|b`, `<file>` or `2*3` | more.", "Give `a|b`, `<file>` or `2*3` \\| more."),
        ("One ` stays a sign.", "One &#96; stays a sign."),
        ("Two\nlines.", "Two lines."),
    ],
)
def test_a_text_in_a_table_is_shown_as_it_is_also_within_code(text: str, escaped: str) -> None:
    assert site._escaped(text) == escaped
