"""HTML that no text can break: every string is escaped unless its class ``Html`` says that it is markup
already.
"""

import html

from biofm.report.figure import printable

VOID = frozenset({"br", "col", "img", "link", "meta"})


class Html(str):
    """Holds whole markup, which may stand anywhere in a page as it is."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Escape text for a page or an attribute; ``Html`` is returned unchanged."""
    return text if isinstance(text, Html) else Html(html.escape(printable(text), quote=True))


def join(*parts: str) -> Html:
    """Return the parts one after the other, escaped unless they are ``Html``."""
    return Html("".join(map(escape, parts)))


def tag(name: str, /, *children: str, **attributes: str | int | float | bool | None) -> Html:
    """Return an element: ``tag("td", "a < b", class_="number", aria_label="x")``.

    An attribute that is None or False is left out; one that is True has no value.
    """
    spelt = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        assert not children, f"<{name}> holds nothing"
        return Html(f"<{name}{spelt}>")
    return Html(f"<{name}{spelt}>{join(*children)}</{name}>")


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
