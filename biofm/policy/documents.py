"""Documents: a YAML or JSON file as nodes that know their line, before anything is believed of it.

Only the part of YAML that every reader understands alike is accepted. Repeated keys, anchors, tags, several
documents, and words that YAML 1.1 and 1.2 read differently (``no``, ``0777``, ``1_000``) are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 1_000_000
MAX_DEPTH = 12
END = (b"\n...\n", b"\n...\r\n")
"""How a YAML document ends. No file that was cut anywhere ends like this."""
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})")
AMBIGUOUS = re.compile(
    r"~|y|n|yes|no|on|off|true|false|null|=|<<|[-+.]?(inf|nan|\.inf|\.nan)|[-+]?[0-9][0-9_]*"
    r"|[-+]?0[box][0-9a-f_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[-+]?([0-9][0-9_]*)?\.?[0-9_]*(e[-+]?[0-9]+)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t ].*)?",
    re.IGNORECASE,
)
"""Words without quotes that some reader takes for a truth value, a number or a date."""
WORDS = {"true": True, "false": False, "null": None}


class DocumentError(ValueError):
    """Says what is wrong with a document, where in it, and what to do.

    Args:
        what: What is wrong, in lower case and without a full stop.
        where: The line or the key, such as "line 12, rules.2.when".
        remedy: What to do next, as a sentence without a full stop.
    """

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}. {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Node:
    """Holds a value of a document and the line on which it stands.

    Attributes:
        value: A text, a number, a truth value, None, a list of nodes, or a dictionary of nodes.
        line: The line, from 1; 0 where it is not known, as in JSON.
    """

    value: Any
    line: int

    def plain(self) -> Any:
        """Return the value with everything in it, as lists and dictionaries without lines."""
        if isinstance(self.value, list):
            return [one.plain() for one in self.value]
        if isinstance(self.value, dict):
            return {key: one.plain() for key, one in self.value.items()}
        return self.value


def read_yaml(data: bytes) -> Node:
    """Return the only document of a YAML file that ends with the line ``...``.

    Args:
        data: The content of the file.

    Raises:
        DocumentError: It is no such file.
    """
    import yaml  # takes 10 ms, and asking for help needs no policy

    text = _text_of(data)
    if not data.endswith(END):
        remedy = "Write three dots there, without which a file that was cut would pass for a whole one"
        raise DocumentError("it is not `...`", "the last line", remedy)
    if data.count(b"\n...") > 1 or data.startswith(b"..."):
        raise DocumentError("there is a line ... before the last", "the file", "Keep the last one alone")
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Composer(iter(events)).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        what = f"this is not YAML ({getattr(error, 'problem', None) or 'a character that it forbids'})"
        raise DocumentError(what, where, "Compare it with `biofm policy show research`") from error


def read_json(data: bytes) -> Node:
    """Return a JSON document.

    Args:
        data: The content of the file.

    Raises:
        DocumentError: It is not JSON, or a key is repeated.
    """
    from biofm_datasets.documents import parse_json  # asking for help reads no document

    text = _text_of(data)
    try:
        value = parse_json(text, strict=True)
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        what = getattr(error, "msg", str(error))
        remedy = "Correct it there, as JSON demands"
        raise DocumentError(
            f"this is not JSON ({what})", f"line {line}" if line else "the file", remedy
        ) from error
    return _nodes_of(value, 0)


def _text_of(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise DocumentError(f"it is larger than {MAX_BYTES:,} bytes", "the file", "Name a smaller file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("this is not UTF-8", f"line {line}", "Save the file as UTF-8") from error


class _Composer:
    """Makes nodes from the events of a YAML parser."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def document(self) -> Node:
        """Return the only document."""
        self._next("StreamStart")
        self._next("DocumentStart")
        node = self._node(self._next(), 0)
        self._next("DocumentEnd")
        if _kind(event := self._next()) != "StreamEnd":
            raise DocumentError("a second document begins", _line(event), "Keep one document in a file")
        return node

    def _next(self, kind: str = "") -> Any:
        event = next(self._events)
        assert not kind or _kind(event) == kind, f"{_kind(event)} where {kind} was due"
        return event

    def _node(self, event: Any, depth: int) -> Node:
        _refuse_references(event)
        if depth > MAX_DEPTH:
            raise _too_deep(_line(event))
        line = event.start_mark.line + 1
        if _kind(event) == "Scalar":
            return Node(_scalar(event), line)
        if _kind(event) == "SequenceStart":
            items = []
            while _kind(event := self._next()) != "SequenceEnd":
                items.append(self._node(event, depth + 1))
            return Node(items, line)
        pairs: dict[str, Node] = {}
        while _kind(event := self._next()) != "MappingEnd":
            key = self._node(event, depth + 1).value
            if not isinstance(key, str):
                raise DocumentError(f"the key {key!r} is no text", _line(event), "Put it into quotes")
            if key in pairs:
                raise DocumentError(f"the key {key!r} stands there twice", _line(event), "Keep one of them")
            pairs[key] = self._node(self._next(), depth + 1)
        return Node(pairs, line)


def _scalar(event: Any) -> Any:
    """Return the value of a scalar. Raises DocumentError if readers of YAML disagree about it."""
    text = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in WORDS:
        return WORDS[text]
    if NUMBER.fullmatch(text):
        return int(text)
    if AMBIGUOUS.fullmatch(text):
        what = (
            f"{text or 'nothing'} may be read as something else than a text" if text else "a value is missing"
        )
        raise DocumentError(what, _line(event), 'Put a text into quotes, such as "no"')
    return text


def _refuse_references(event: Any) -> None:
    """Raise DocumentError for an alias, an anchor or a tag."""
    if _kind(event) == "Alias" or event.anchor is not None:
        raise DocumentError("anchors and aliases are not allowed", _line(event), "Write the value out")
    if event.tag is not None:
        raise DocumentError(f"the tag {event.tag} is not allowed", _line(event), "Leave it out")


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _too_deep(where: str) -> DocumentError:
    return DocumentError("lists or mappings are nested too deeply", where, "Leave out what no policy has")


def _nodes_of(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _too_deep("the file")
    if isinstance(value, list):
        return Node([_nodes_of(one, depth + 1) for one in value], 0)
    if isinstance(value, dict):
        return Node({key: _nodes_of(one, depth + 1) for key, one in value.items()}, 0)
    return Node(value, 0)
