"""Text for people: sizes, durations, notices, and names from files, which must not steer a terminal.

A record's id or a column's name may hold anything. An escape sequence can rename the window, move the cursor
or hide what follows, and a mark of writing direction can make one name look like another. Code that prints
names from files passes them through ``shown``; output files keep the values unchanged.
"""

BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def shown(text: str) -> str:
    r"""Return ``text`` as one line, with unprintable characters spelled out as in Python: ``\x1b``.

    Unprintable are Unicode's controls, marks of format and direction, surrogates, line ends, and all spaces
    but the ordinary one.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def shown_lines(text: str) -> str:
    """Return a text of several lines with ``shown`` applied to each line; the line ends stay."""
    return "\n".join(map(shown, text.split("\n")))


def format_notice(notice: str, count: int) -> str:
    """Return a notice with its count; a whole sentence, which ends in a full stop, stands without one."""
    return notice if notice.endswith(".") else f"{notice}: {count:,}"


def format_bytes(n_bytes: float) -> str:
    """Return a size in decimal units: ``312 kB``, ``4.1 GB``."""
    for unit in BYTE_UNITS:
        if n_bytes < 999.5 or unit == BYTE_UNITS[-1]:
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if n_bytes >= 99.5 or unit == "B" else f"{n_bytes:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``45 s``, ``1 min 20 s``, ``2 h 5 min``, ``3 d 4 h``.

    Args:
        seconds: The duration, rounded to whole seconds. A negative one counts as 0.
    """
    whole = max(0, round(seconds))
    for unit, part, size_s, part_s in (
        ("d", "h", 86_400, 3_600),
        ("h", "min", 3_600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size_s:
            return f"{whole // size_s} {unit} {whole % size_s // part_s} {part}"
    return f"{whole} s"
