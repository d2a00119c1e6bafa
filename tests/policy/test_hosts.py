"""A host has one spelling, and every program that connects reads an accepted address in the same way."""

import ipaddress
import random
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
import urllib3

from biofm.policy.files import read_policy, shipped_text
from biofm.policy.hosts import HostError, covers, is_listed, parse_host, parse_pattern, parse_url
from biofm.policy.policies import HOST_PATTERN, Policy

PIECES = (
    "a", "B", "hf", "co", "xn--", "xn--bcher-kva", "é", "e\u0301", "1", "127", "0x7f", "0177", "256", ".",
    ".", ".", "-", "_", ":", "::", "@", "[", "]", "%", "%2e", "%61", "/", "\\", "?", "#", " ", "\t", "\n",
    "\0", "。", "443", "0", "65536", "user", "fe80::1", "%25eth0", "*",
)  # fmt: skip


def accepted(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except HostError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        "huggingface.co", "localhost", "a-b.example.org", "xn--bcher-kva.example", "10.0.0.5", "0.0.0.0",
        "::1", "::", "fe80::1", "2001:db8::1:0:0:1", "r3---sn.example", "1e100.net", f"{'a' * 63}.org",
    ],
)  # fmt: skip
def test_the_only_spelling_of_a_host_is_taken_as_it_is(host: str) -> None:
    assert parse_host(host) == host


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "there is no host"),
        ("HuggingFace.co", "write it in lower case"),
        ("huggingface.co.", "leave the dot out"),
        ("bücher.example", "write an international name as xn--"),
        ("ｈuggingface.co", "write an international name as xn--"),
        ("huggingface。co", "write an international name as xn--"),
        ("xn--abc-.example", "is no host name"),
        ("xn--99999999999.example", "stands for no international name"),
        ("2130706433", "not four decimal numbers"),
        ("0177.0.0.1", "not four decimal numbers"),
        ("0x7f.1", "not four decimal numbers"),
        ("127.1", "not four decimal numbers"),
        ("127.0.0.0x", "not four decimal numbers"),
        ("1.2.3.256", "not four decimal numbers"),
        ("1.2.3.4.5", "not four decimal numbers"),
        ("example.0x10", "not four decimal numbers"),
        ("0:0:0:0:0:0:0:1", "write ::1"),
        ("::0001", "without leading zeros"),
        ("::A", "lower-case"),
        ("fe80::1%eth0", "without a zone"),
        ("::ffff:7f00:1", "stands for an IPv4 address"),
        ("::ffff:0:1", "stands for an IPv4 address"),
        ("::7f00:1", "stands for an IPv4 address"),
        ("::ffff:127.0.0.1", "without leading zeros"),
        ("1::2::3", "hexadecimal groups"),
        (":1", "hexadecimal groups"),
        ("a..b", "is no host name"),
        ("-a.org", "is no host name"),
        ("a_b.org", "is no host name"),
        ("a%2eorg", "is no host name"),
        ("*.hf.co", "is no host name"),
        (f"{'a' * 64}.org", "is no host name"),
        (".".join(["abcd"] * 60), "is no host name"),
        ("a\0.org", "is no host name"),
        ("example.org\n", "is no host name"),
    ],
)  # fmt: skip
def test_every_other_spelling_is_refused_with_a_reason(host: str, reason: str) -> None:
    with pytest.raises(HostError, match=reason):
        parse_host(host)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://huggingface.co", "huggingface.co", 443),
        ("http://localhost:8080/a@b:c?x=//d#e", "localhost", 8080),
        ("https://[::1]", "::1", 443),
        ("https://[fd00::1]:8443/a", "fd00::1", 8443),
        ("https://10.0.0.5?x", "10.0.0.5", 443),
    ],
)
def test_an_address_names_its_host_and_port(url: str, host: str, port: int) -> None:
    found = parse_url(url)
    assert (found.host, found.port, found.scheme) == (host, port, url.partition(":")[0])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("huggingface.co", "does not begin with"),
        ("HTTPS://huggingface.co", "does not begin with"),
        ("ftp://huggingface.co", "does not begin with"),
        ("https:/huggingface.co", "does not begin with"),
        ("https://", "there is no host"),
        ("https:///huggingface.co", "there is no host"),
        ("https://me:word@huggingface.co", "names a user"),
        ("https://huggingface.co@evil.example", "names a user"),
        ("https://huggingface.co\\@evil.example", "backslash"),
        ("https://huggingface.co\t.evil.example", "a space"),
        ("https://huggingface%2eco", "percent sign"),
        ("https://[fe80::1%25eth0]", "percent sign"),
        ("https://[::1", "in brackets"),
        ("https://[127.0.0.1]", "in brackets"),
        ("https://[::1]a", "letters behind"),
        ("https://::1", "there is no host"),
        ("https://huggingface.co:", "is no port"),
        ("https://huggingface.co:0443", "is no port"),
        ("https://huggingface.co:65536", "is no port"),
        ("https://huggingface.co:٤٤٣", "outside ASCII"),
        ("https://huggingface.co:443:443", "is no port"),
    ],
)
def test_an_address_that_programs_may_read_differently_is_refused(url: str, reason: str) -> None:
    with pytest.raises(HostError, match=reason):
        parse_url(url)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(HostError) as caught:
        parse_url("https://me:hunter2@huggingface.co")
    assert "hunter2" not in str(caught.value)


def test_what_the_c_library_takes_for_an_ipv4_address_is_refused_unless_it_is_written_as_usual() -> None:
    draw, n_addresses, n_accepted = random.Random(0), 0, 0
    for _ in range(20_000):
        value = draw.getrandbits(32)
        octets = value.to_bytes(4, "big")
        spelled = [draw.choice([f"{one}", f"0{one:o}", f"0x{one:x}", f"{one:03}"]) for one in octets]
        text = draw.choice(
            [
                str(ipaddress.IPv4Address(value)), str(value), hex(value), oct(value).replace("o", ""),
                ".".join(spelled), ".".join(map(str, octets[: draw.randint(1, 4)])),
                f"{octets[0]}.{value & 0xFFFFFF}", f"{ipaddress.IPv4Address(value)}.",
            ]
        )  # fmt: skip
        try:
            meant = socket.inet_ntoa(socket.inet_aton(text))
        except OSError:
            meant = ""
        n_addresses += bool(meant)
        if accepted(parse_host, text):
            assert meant == text == str(ipaddress.IPv4Address(text))
            n_accepted += 1
        else:
            assert meant != text
    assert n_addresses > 10_000
    assert n_accepted > 1_000


def test_an_ipv6_address_is_accepted_as_the_standard_library_writes_it_and_in_no_other_form() -> None:
    draw, n_accepted = random.Random(0), 0
    for _ in range(20_000):
        address = ipaddress.IPv6Address(
            sum(draw.choice([0, 0, 0, 1, 0xAB, 0xFFFF, 0x1234]) << 16 * i for i in range(8))
        )
        text = draw.choice([address.compressed, address.exploded, address.compressed.upper(), "x"])
        if draw.random() < 0.3:
            place = draw.randrange(len(text))
            text = text[:place] + draw.choice(["0", ":", "", "f", "::", "%1"]) + text[place + 1 :]
        try:
            found = ipaddress.IPv6Address(text)
        except ValueError:
            assert not accepted(parse_host, text) or ":" not in text
            continue
        is_other = "%" in text or found.ipv4_mapped is not None or 0xFFFF < int(found) < 1 << 32
        assert accepted(parse_host, text) == (found.compressed == text and not is_other)
        n_accepted += accepted(parse_host, text)
    assert n_accepted > 4_000


def test_clients_agree_about_the_host_and_port_of_every_accepted_address() -> None:
    draw, n_accepted = random.Random(0), 0
    for _ in range(60_000):
        text = "https://" + "".join(draw.choices(PIECES, k=draw.randint(1, 7)))
        if not accepted(parse_url, text):
            continue
        found = parse_url(text)
        split, other, third = urlsplit(text), httpx.URL(text), urllib3.util.parse_url(text)
        assert split.hostname == other.raw_host.decode() == (third.host or "").strip("[]") == found.host, text
        assert (split.port or 443) == (other.port or 443) == (third.port or 443) == found.port, text
        n_accepted += 1
    assert n_accepted > 2_000


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("*.hf.co", "cdn.hf.co", True),
        ("*.hf.co", "a.b.hf.co", True),
        ("*.hf.co", "hf.co", False),
        ("*.hf.co", "evilhf.co", False),
        ("*.hf.co", "hf.co.evil.example", False),
        ("*.hf.co", "*.hf.co", True),
        ("*.hf.co", "*.b.hf.co", True),
        ("*.b.hf.co", "*.hf.co", False),
        ("hf.co", "*.hf.co", False),
        ("hf.co", "hf.co", True),
    ],
)
def test_a_pattern_stands_for_sub_domains_and_for_nothing_else(
    pattern: str, host: str, expected: bool
) -> None:
    assert covers(pattern, host) is expected
    assert is_listed(host, ["other.example", pattern]) is expected


def test_a_pattern_covers_exactly_what_its_parts_say() -> None:
    draw = random.Random(0)
    for _ in range(20_000):
        end, host = (
            ".".join(draw.choices(("a", "b", "aa"), k=draw.randint(*size))) for size in ((2, 3), (1, 5))
        )
        parts = host.split("."), end.split(".")
        expected = len(parts[0]) > len(parts[1]) and parts[0][-len(parts[1]) :] == parts[1]
        assert covers(f"*.{end}", host) is expected


@pytest.mark.parametrize(
    "pattern", ["*", "*.co", "*.", "**.hf.co", "a.*.co", "*.1.2.3.4", "*.::1", "*.HF.co"]
)
def test_a_pattern_that_stands_for_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(HostError):
        parse_pattern(pattern)


def test_a_policy_lists_only_hosts_in_their_only_spelling() -> None:
    """What the policies' pattern takes and this spelling refuses is refused as the policy is read."""
    draw, n_listed = random.Random(0), 0
    text = shipped_text("research").decode()
    for _ in range(3000):
        host = "".join(draw.choices(PIECES, k=draw.randint(1, 6)))
        if not re.search(HOST_PATTERN, host):
            assert not accepted(parse_pattern, host), host
            continue
        found = read_policy(text.replace("[huggingface.co,", f"['{host}',").encode(), "policy.yaml")
        assert isinstance(found, Policy) == accepted(parse_pattern, host), (host, found)
        n_listed += isinstance(found, Policy)
    assert n_listed > 20
