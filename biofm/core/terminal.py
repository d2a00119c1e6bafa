"""Text for a terminal: names that come from files must not steer it.

A record's id or a column's name may hold anything: an escape sequence renames the window, moves the cursor or
hides what follows, and a mark of writing direction makes a name read as another one. Whatever prints, prints
such text through ``shown``; files keep the values as they are.
"""


def shown(text: str) -> str:
    r"""``text`` as one line: every character that is not printable (Unicode's controls, marks of format and
    direction, surrogates, line ends, spaces other than the ordinary one) spelled as Python does, ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def shown_lines(text: str) -> str:
    """The same of a text of several lines, whose ends stay."""
    return "\n".join(map(shown, text.split("\n")))
