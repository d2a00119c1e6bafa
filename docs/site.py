"""Hooks of mkdocs: pages made from the code, so that the reference cannot drift from it.

Pages that lie outside docs/, such as CONTRIBUTING.md, are shown as they are; a link to any other file of the
checkout becomes plain text. Every verb has a page made from its declaration (``biofm.api``): what its command
and its function are called, what each option means, and what it reads, writes and contacts. Every package
with a public face has a page that mkdocstrings fills from its docstrings.
"""

import ast
import functools
import inspect
import posixpath
import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, assert_never, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

import biofm.api as api
from biofm.api.declaration import Declared, Verb, name_of, options_of, spell_limits
from biofm.cli import app
from biofm.cli.commands import text_type
from biofm.policy import ConnectsTo, Effect, NoEffect, Reads, RunsCode, UsesDevice, Writes
from docs.notebooks import TUTORIALS, notebook_of

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "kernels/README.md": "kernels.md",
    "biofm/models/bundled/protein-nano/README.md": "protein-nano.md",
}
"""Pages that lie outside docs/, and where the site shows them."""

PICTURES_OUTSIDE = {"biofm/models/bundled/protein-nano/loss.png": "pictures/protein-nano-loss.png"}
"""Pictures of these pages, and where the site has them."""

LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")

SHOWN = OUTSIDE | PICTURES_OUTSIDE

FACES = (
    "biofm",
    "biofm.modalities",
    "biofm.models",
    "biofm.nn",
    "biofm.inference",
    "biofm.evaluation",
    "biofm.corpus",
    "biofm.training",
    "biofm.report",
    "biofm.gate",
    "biofm.policy",
    "biofm.core",
    "biofm_datasets",
    "biofm_kernels",
)
"""The packages that have a page, in the order of the navigation."""

MEMBERS_OF_BIOFM = (
    *(f"biofm.api.loading.{name}" for name in ("load", "models", "info", "kernels")),
    "biofm.api.model.Model",
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the reference to the navigation, below the two entries that are empty lists."""
    reference = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    reference += [
        {"Commands and functions": [{_command_of(verb): _page_of(verb)} for verb in _verbs()]},
        {"Python API": [{face: f"reference/python/{face}.md"} for face in FACES]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, the pages outside docs/ and those of the reference to the files of the site."""
    pages = {"reference/index.md": _index()}
    pages |= {_page_of(verb): _verb_page(verb) for verb in _verbs()}
    pages |= {f"reference/python/{face}.md": _face_page(face) for face in FACES}
    for path, place in OUTSIDE.items():
        if place != "index.md":
            pages[place] = _with_links_of_the_site((ROOT / path).read_text(encoding="utf-8"), path, place)
    for page in TUTORIALS:
        place = f"tutorials/{page.stem}.ipynb"
        files.append(File.generated(config, place, content=notebook_of(page)))
    for path, place in PICTURES_OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page of docs/ with the links that lead out of docs/ turned to where the site shows them."""
    place = page.file.src_uri
    return markdown if page.file.generated_by else _with_links_of_the_site(markdown, f"docs/{place}", place)


def _with_links_of_the_site(markdown: str, path: str, place: str) -> str:
    """Return a page of the checkout with its links as the site has them.

    Args:
        markdown: The page.
        path: Where it lies in the checkout.
        place: Where the site shows it, below docs/.
    """

    def turned(link: re.Match[str]) -> str:
        words, target, anchor = link.groups()
        leads_to = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        inside = leads_to.removeprefix("docs/") if leads_to.startswith("docs/") else SHOWN.get(leads_to)
        if inside is None:
            return str(words)
        return f"[{words}]({posixpath.relpath(inside, posixpath.dirname(place) or '.')}{anchor or ''})"

    return LINK.sub(turned, markdown)


def _verbs() -> list[type[Verb[Any]]]:
    """Return the declarations of all verbs, by the names of their commands."""
    exported = (getattr(api, name) for name in api.__all__)
    verbs = [one for one in exported if inspect.isclass(one) and issubclass(one, Verb)]
    return sorted(verbs, key=_command_of)


def _command_of(verb: type[Verb[Any]]) -> str:
    """Return what a command line calls a verb, such as ``data prepare``."""
    return _commands()[name_of(verb).replace("_", "-")]


@functools.cache
def _commands() -> dict[str, str]:
    """Return the words of every command, by the last of them, which is the name of its verb."""

    def words_of(group: Any, *before: str) -> Iterator[tuple[str, str]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from words_of(command, *before, name)
            else:
                yield name, " ".join([*before, name])

    return dict(words_of(get_command(app)))


def _page_of(verb: type[Verb[Any]]) -> str:
    return f"reference/verbs/{name_of(verb)}.md"


def _index() -> str:
    """Return the first page of the reference: all verbs and all rooms, a line for each."""
    verbs = [
        f"| [`biofm {_command_of(verb)}`](verbs/{name_of(verb)}.md) | `biofm.{name_of(verb)}()` "
        f"| {_summary(verb)} |"
        for verb in _verbs()
    ]
    rooms = [f"| [`{face}`](python/{face}.md) | {_what_it_holds(face)} |" for face in FACES]
    return "\n".join(
        [
            "# Reference",
            "",
            "Each verb is declared once. The command, the Python function, the gate's request and these",
            "pages are made from its declaration.",
            "",
            "## Commands and functions",
            "",
            "| command | function | what it does |",
            "|---|---|---|",
            *verbs,
            "",
            "`biofm models` lists the models, and `biofm info` describes one of them or this machine.",
            "`biofm policy` shows and checks the [policies](../how-to/policies.md), and `biofm audit` the",
            "[ledger](../safety.md#the-ledger). They are no verbs. Each prints its options with `--help`.",
            "",
            "## Python API",
            "",
            "| package | what it holds |",
            "|---|---|",
            *rooms,
            "",
        ]
    )


def _summary(verb: type[Verb[Any]]) -> str:
    return _escaped(" ".join((inspect.getdoc(verb) or "").split("\n\n")[0].split()))


def _verb_page(verb: type[Verb[Any]]) -> str:
    """Return the page of a verb, made from its declaration."""
    name, options = name_of(verb), options_of(verb)
    needed = [one for one in options if one.default is MISSING and not one.option.left_out]
    words = [one.name.upper() if one.is_positional else f"{one.flag} {_value_of(one)}" for one in needed]
    about, _, errors = (inspect.getdoc(verb) or "").partition("\nRaises:\n")
    touched = [_effect_line(one, effect) for one in options for effect in one.effects]
    lines = [
        f"# {_command_of(verb)}",
        "",
        "```text",
        " ".join(["biofm", _command_of(verb), *words, "[OPTIONS]"]),
        f"biofm.{name}({', '.join(one.name for one in needed)}, ...)",
        "```",
        "",
        about,
        "",
        "## Options",
        "",
        "| option | what it means |",
        "|---|---|",
        *map(_option_row, options),
        "",
        "## What it touches",
        "",
        "The gate is asked about these before the verb does anything:",
        "",
        *dict.fromkeys(line for line in touched if line),
        "",
        "## Errors",
        "",
        *(f"- {error}" for error in re.sub(r"\n {8}", " ", errors).splitlines()),
        "",
    ]
    return "\n".join(lines)


def _value_of(one: Declared) -> str:
    """Return what a command line shows for the value of an option."""
    return one.option.metavar or one.name.upper()


def _option_row(one: Declared) -> str:
    """Return the row of one option in the table of a verb."""
    flag = f"`{one.name.upper()}`" if one.is_positional else f"`{one.flag}`"
    if one.option.short:
        flag += f", `{one.option.short}`"
    if text_type(one) is None:
        flag = "(in Python only)"
    limits = "" if one.limits is None else f" {spell_limits(one.limits)}"
    default = " Required." if one.default is MISSING and not one.option.left_out else ""
    if one.default not in (MISSING, None, True, False, (), ""):  # a flag's absence needs no word
        default = f" Default: `{one.default}`."
    python = f"<small>in Python `{one.name}`: {_escaped(_spelled(one.type))}</small>"
    return f"| {flag}<br>{python} | {_escaped(one.option.help)}{limits}{default} |"


def _spelled(kind: Any) -> str:
    """Return a type as people write it, without the modules that it comes from."""
    if get_origin(kind) is None:
        return kind.__name__ if isinstance(kind, type) else str(kind)
    parts = get_args(kind)
    if str(kind).startswith("typing.Literal"):
        return ", ".join(f'"{part}"' for part in parts)
    if " | " in str(kind) or str(kind).startswith(("typing.Union", "typing.Optional")):
        return " | ".join("None" if part is type(None) else _spelled(part) for part in parts)
    return f"{get_origin(kind).__name__}[{', '.join(map(_spelled, parts))}]"


def _escaped(text: str) -> str:
    """Return a text that may stand in a cell of a table.

    Code between backticks stays: Markdown shows it as it is, and a | in it does not end the cell.
    """
    parts = re.split(r"(`[^`]*`)", text.replace("\n", " "))
    for number in range(0, len(parts), 2):
        for sign, safe in (("|", "\\|"), ("<", "&lt;"), ("*", "\\*"), ("`", "&#96;")):
            parts[number] = parts[number].replace(sign, safe)
    return "".join(parts)


def _effect_line(one: Declared, effect: Effect) -> str:
    """Return what an effect of an option says, as a line of a list; empty where it touches nothing."""
    match effect:
        case Reads():
            return f"- It reads what `{one.name}` names."
        case Writes():
            return f"- It writes what `{one.name}` names."
        case ConnectsTo():
            return f"- It may contact a server for `{one.name}` ({effect.role})."
        case UsesDevice():
            return f"- It computes on the device that `{one.name}` names."
        case RunsCode():
            return f"- It may run a program that is no part of biofm, as `{one.name}` says ({effect.role})."
        case NoEffect():
            return ""
        case _:
            assert_never(effect)


def _face_page(face: str) -> str:
    """Return the page of a room, which mkdocstrings fills with what its face exports."""
    names = MEMBERS_OF_BIOFM if face == "biofm" else tuple(_exported(face))
    return "\n".join([f"# {face}", "", _what_it_holds(face), "", *(f"::: {name}\n" for name in names)])


def _what_it_holds(face: str) -> str:
    """Return the first sentence of a package's docstring."""
    paragraph = " ".join((ast.get_docstring(_face(face)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", paragraph)[0]


def _exported(face: str) -> Iterator[str]:
    """Yield the full names of what a face exports, where it is defined."""
    for line in _face(face).body:
        if isinstance(line, ast.ImportFrom) and line.module and line.module.startswith(("biofm.", "biofm_")):
            yield from (f"{line.module}.{one.name}" for one in line.names)


def _face(face: str) -> ast.Module:
    """Return the ``__init__.py`` of a package as a syntax tree."""
    parts = face.split(".")
    root = {"biofm_kernels": ROOT / "kernels", "biofm_datasets": ROOT / "datasets"}.get(parts[0], ROOT)
    return ast.parse(root.joinpath(*parts, "__init__.py").read_text(encoding="utf-8"))
