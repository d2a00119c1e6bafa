"""Host names: a host has one spelling here, and every other spelling of it is refused, never guessed.

Programs differ in what they make of ``0x7f.1``, ``EXAMPLE.org.`` or ``a%2eb``. If the policy read such a name
in one way and the program that connects in another, a request could be allowed for one host and reach
another. So names are lower-case ASCII without a dot at the end (an international name is written as
``xn--...``), IPv4 addresses are four decimal numbers, and IPv6 addresses have the form of RFC 5952.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST = 253  # characters of a name in the domain name system
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # Programs that see one at the end take the whole for an address.
OCTET = re.compile(r"0|[1-9][0-9]{0,2}")
GROUP = re.compile(r"0|[1-9a-f][0-9a-f]{0,3}")
URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
PORT = re.compile(r"[1-9][0-9]{0,4}")
PORTS = {"http": 80, "https": 443}
PLAIN = re.compile(r"[!-\[\]-~]*")  # printable ASCII without spaces and backslashes
WILD = "*."


class HostError(ValueError):
    """Says why a host name or an address is not in its only spelling, as a sentence without a full stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Holds the machine and port that an address names.

    Attributes:
        scheme: http or https.
        host: The host in its only spelling, an IPv6 address without brackets.
        port: The port, from 1 to 65535.
    """

    scheme: str
    host: str
    port: int


def parse_host(text: str) -> str:
    """Return a host name or IP address, if this is its only spelling.

    Args:
        text: The host, such as ``huggingface.co``, ``10.0.0.5`` or ``fd00::1``.

    Raises:
        HostError: It has another spelling, or is no host.
    """
    if not text:
        raise HostError("there is no host")
    if ":" in text:
        return _parse_ipv6(text)
    if not text.isascii():
        raise HostError(f"the host {text!r} is not ASCII: write an international name as xn--...")
    if text != text.lower():
        raise HostError(f"the host {text!r} has capital letters: write it in lower case")
    if text.endswith("."):
        raise HostError(f"the host {text!r} ends with a dot: leave the dot out")
    labels = text.split(".")
    if NUMBER.fullmatch(labels[-1]):
        return _parse_ipv4(text, labels)
    if len(text) > LONGEST or not all(map(LABEL.fullmatch, labels)):
        raise HostError(f"{text!r} is no host name")
    for label in labels:
        if label.startswith("xn--") and not _is_international(label):
            raise HostError(f"{label!r} in the host {text!r} stands for no international name")
    return text


def parse_url(text: str) -> Endpoint:
    """Return the machine and port of an address that begins with ``http://`` or ``https://``.

    Args:
        text: The address.

    Raises:
        HostError: The address, or its host, has not its only spelling; or it names a user.
    """
    whole = URL.fullmatch(text)
    if whole is None:
        raise HostError(f"{text!r} does not begin with http:// or https:// in lower case")
    if not PLAIN.fullmatch(text):
        raise HostError(f"{text!r} holds a space, a backslash or a character outside ASCII")
    authority = whole["authority"]
    if "@" in authority:
        raise HostError(f"the address of {authority.rpartition('@')[2]!r} names a user: leave the user out")
    if "%" in authority:
        raise HostError(f"the host of {text!r} holds a percent sign: write its characters plainly")
    if authority.startswith("["):
        inside, closing, after = authority[1:].partition("]")
        if not closing or ":" not in inside:
            raise HostError(f"{authority!r} is no IPv6 address in brackets")
        name, colon, port = inside, after[:1], after[1:]
        if colon not in ("", ":"):
            raise HostError(f"{authority!r} has letters behind the brackets")
    else:
        name, colon, port = authority.partition(":")
    return Endpoint(
        scheme=whole["scheme"],
        host=parse_host(name),
        port=_parse_port(port) if colon else PORTS[whole["scheme"]],
    )


def parse_pattern(text: str) -> str:
    """Return a host, or ``*.`` and the end of host names, if this is its only spelling.

    Args:
        text: The host or pattern. What follows ``*.`` has at least two parts.

    Raises:
        HostError: It is neither.
    """
    if not text.startswith(WILD):
        return parse_host(text)
    end = parse_host(text.removeprefix(WILD))
    if ":" in end or NUMBER.fullmatch(end.rpartition(".")[2]):
        raise HostError(f"{text!r} is no pattern: an IP address has no sub-domains")
    if "." not in end:
        raise HostError(f"{text!r} names too many hosts: write at least two parts behind *.")
    return text


def covers(pattern: str, host: str) -> bool:
    """Return whether every host that ``host`` stands for is one that ``pattern`` stands for.

    ``*.hf.co`` stands for the sub-domains of ``hf.co`` at any depth, and not for ``hf.co`` itself.

    Args:
        pattern: A host or pattern.
        host: A host or pattern.

    Raises:
        HostError: One of them has not its only spelling.
    """
    pattern, host = parse_pattern(pattern), parse_pattern(host)
    if pattern == host:
        return True
    return pattern.startswith(WILD) and host.removeprefix(WILD).endswith(pattern[1:])


def is_listed(host: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns covers a host or pattern.

    Args:
        host: The host or pattern.
        patterns: Hosts and patterns.

    Raises:
        HostError: One of them has not its only spelling.
    """
    return any(covers(pattern, host) for pattern in patterns)


def _parse_port(text: str) -> int:
    if not PORT.fullmatch(text) or int(text) > 65535:
        raise HostError(f"{text!r} is no port: write a decimal number from 1 to 65535")
    return int(text)


def _parse_ipv4(text: str, labels: list[str]) -> str:
    if len(labels) == 4 and all(OCTET.fullmatch(label) and int(label) < 256 for label in labels):
        return text
    raise HostError(f"the address {text!r} is not four decimal numbers from 0 to 255 without leading zeros")


def _parse_ipv6(text: str) -> str:
    """Return an IPv6 address in the form of RFC 5952. A zone, such as ``%eth0``, is refused."""
    head, gap, tail = text.partition("::")
    groups = [part.split(":") if part else [] for part in (head, tail)]
    n_missing = 8 - sum(map(len, groups))
    is_whole = n_missing > 0 if gap else n_missing == 0
    if not is_whole or not all(GROUP.fullmatch(group) for part in groups for group in part):
        form = "eight lower-case hexadecimal groups without leading zeros and without a zone"
        raise HostError(f"the address {text!r} is not {form}")
    values = [*groups[0], *["0"] * n_missing, *groups[1]] if gap else groups[0]
    if values[:5] == ["0"] * 5 and (values[5] == "ffff" or (values[5] == "0" and values[6] != "0")):
        raise HostError(f"the address {text!r} stands for an IPv4 address: write that")
    if text != _shortened(values):
        raise HostError(f"the address {text!r} is not shortened as usual: write {_shortened(values)}")
    return text


def _shortened(groups: list[str]) -> str:
    """Return an IPv6 address whose longest run of zeros, the first of equals, is left out."""
    zeros = re.compile(r"(?:^|:)0(?::0)+(?=:|$)")
    text = ":".join(groups)
    runs = sorted(zeros.finditer(text), key=lambda run: -run[0].count("0"))
    if not runs:
        return text
    return f"{text[: runs[0].start()]}::{text[runs[0].end() :].removeprefix(':')}"


def _is_international(label: str) -> bool:
    """Return whether an ``xn--`` label is what Python would write for the name that it stands for."""
    try:
        name = label[4:].encode("ascii").decode("punycode")
        return not name.isascii() and name.encode("punycode").decode("ascii") == label[4:]
    except (UnicodeError, OverflowError):
        return False
