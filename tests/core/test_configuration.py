"""Options and settings override a file, which overrides the defaults; wrong names and values are refused."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, ClassVar, Literal

import pytest

from biofm.core import BiofmError, InputError, OptionError
from biofm.core.configuration import check_choices, check_range, configure, to_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """Holds a field of every kind."""

    OPTIONS: ClassVar[Mapping[str, str]] = {"n_days": "--days", "price": "--price"}

    n_days: int
    price: float = 9.5
    by: Literal["train", "ship"] = "train"
    direct: bool = False
    title: str = ""
    stops: tuple[str, ...] = ()
    budget: float | None = None

    def __post_init__(self) -> None:
        check_choices(self)
        check_range(self, {"n_days": (1, 30)})
        check_range(self, {"price": (0, 1000)}, is_open=True)


def toml(text: str, name: str = "trip.toml") -> io.BytesIO:
    file = io.BytesIO(text.encode())
    file.name = name
    return file


def test_later_sources_go_before_earlier_ones() -> None:
    file = toml('n_days = 2\nprice = 3\nby = "ship"\ntitle = "file"')
    trip = configure(Trip, file, {"price": 4.0, "title": None, "by": None}, ["price=5", "direct = true"])
    assert trip == Trip(n_days=2, price=5.0, by="ship", title="file", direct=True)


def test_without_any_the_defaults_count() -> None:
    assert configure(Trip, None, {"n_days": 1}) == Trip(n_days=1)


def test_every_kind_of_value_is_read_from_a_setting() -> None:
    texts = ["n_days=3", "price=1e-4", "by=ship", "direct=false", "title=a=b", "stops=Bern, Rome", "budget=7"]
    expected = Trip(n_days=3, price=1e-4, by="ship", title="a=b", stops=("Bern", "Rome"), budget=7.0)
    assert configure(Trip, None, {}, texts) == expected


@pytest.mark.parametrize(
    "trip",
    [
        Trip(n_days=1),
        Trip(n_days=30, price=1e-05, by="ship", direct=True, title='"\\\n\x7fé', stops=("a", "b,c")),
        Trip(n_days=2, budget=inf),
    ],
)
def test_what_is_written_is_read_back(trip: Trip) -> None:
    assert configure(Trip, toml(to_toml(trip)), {}) == trip


WRONG: list[tuple[str, Any, list[str], type[BiofmError], str]] = [
    ("n_dais = 1", {}, [], OptionError, "trip.toml: no such setting: n_dais. Do you mean n_days?"),
    ("", {}, ["prize=1"], OptionError, "--set: no such setting: prize. Do you mean price?"),
    ("", {}, ["xyz=1"], OptionError,
     "--set: no such setting: xyz. The settings are n_days, price, by, direct, title, stops, budget"),
    ("", {}, ["price"], OptionError, "--set: 'price' has no =. Write it as name=value"),
    ("", {}, ["n_days=1.5"], OptionError, "--set n_days: '1.5' is not a whole number. Give a whole number"),
    ("", {}, ["price=dear"], OptionError, "--set price: 'dear' is not a number. Give a number"),
    ("", {}, ["direct=yes"], OptionError, "--set direct: 'yes' is not true or false. Give true or false"),
    ('n_days = "3"', {}, [], OptionError, "trip.toml, n_days: '3' is not a whole number"),
    ("n_days = true", {}, [], OptionError, "trip.toml, n_days: True is not a whole number"),
    ("stops = [1]", {}, [], OptionError, "trip.toml, stops: [1] is not a list of words"),
    ("[n_days]", {}, [], OptionError, "trip.toml, n_days: {} is not a whole number. Give a whole number"),
    ("n_days = ", {}, [], InputError, "trip.toml: this file is not TOML ("),
    ("stops = " + "[" * 100_000, {}, [], InputError,
     "trip.toml: this file is not TOML (its values are nested too deep)"),
    ("# " + "x" * (256 << 10), {}, [], InputError,
     "trip.toml: this file is not TOML (it is larger than 256 KiB)"),
    ("n_days = 1\nprice = 1" + "0" * 400, {}, [], OptionError, "--price: inf is not between 0 and 1000."),
    ("price = 1" + "0" * 5000, {}, [], InputError, "trip.toml: this file is not TOML ("),
    ("", {"price": 2.0}, [], OptionError,
     "--days: this setting is required. Give it on the command line, or set n_days in a --config file"),
    ("", {"n_days": 31}, [], OptionError, "--days: 31 is too large. Give at most 30"),
    ("", {"n_days": 0}, [], OptionError, "--days: 0 is too small. Give at least 1"),
    ("n_days = 1", {}, ["price=nan"], OptionError,
     "--price: nan is not between 0 and 1000. Give a number above 0 and below 1000"),
    ("n_days = 1", {}, ["by=car"], OptionError, "--set by: no such choice: car. Give train or ship"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "sets", "kind", "message"), WRONG)
def test_what_is_wrong_is_named_with_its_place(
    text: str, options: Any, sets: list[str], kind: type[BiofmError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        configure(Trip, toml(text), options, sets)
    assert str(caught.value).startswith(message)


def test_a_file_that_is_no_text_is_refused() -> None:
    file = io.BytesIO(b"\xff\xfe\x00")
    file.name = "picture.png"
    with pytest.raises(InputError, match=r"picture.png: this file is not TOML \("):
        configure(Trip, file, {})


def test_the_names_of_a_written_file_are_the_fields() -> None:
    written = [line.split(" = ")[0] for line in to_toml(Trip(n_days=1, budget=1.0)).splitlines()]
    assert written == [field.name for field in fields(Trip)]
