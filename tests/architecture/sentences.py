"""Sentences: which words are verbs, by the lists of ``verbs.toml``; for docstrings and for help texts."""

import re
import tomllib
from pathlib import Path

VERBS = tomllib.loads(Path(__file__).with_name("verbs.toml").read_text(encoding="utf-8"))
ACTIONS, OTHERS, NOUNS, AUXILIARIES = (
    frozenset(VERBS[name].split()) for name in ("actions", "others", "nouns", "auxiliaries")
)


def third_person(verb: str) -> str:
    """Return the form of a verb that stands after he, she or it."""
    if verb.endswith(("s", "x", "ch", "sh", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


PLAIN = (ACTIONS | OTHERS) - NOUNS
INSIDE = AUXILIARIES | PLAIN | {third_person(verb) for verb in PLAIN}
FIRST = ACTIONS | {third_person(verb) for verb in ACTIONS | OTHERS}


def first_sentence(text: str) -> str:
    """Return the text up to the first full stop that ends a sentence, or up to the first empty line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`(])", paragraph, maxsplit=1)[0]


def has_verb(sentence: str) -> bool:
    """Return whether one of the words is a verb, as far as a list of them can tell."""
    words = re.findall(r"[a-z]+", re.sub(r"``[^`]*``|`[^`]*`", "it", sentence).lower())
    return bool(words) and (words[0] in FIRST or not INSIDE.isdisjoint(words[1:]))
