"""A verb is declared once: what is read from its declaration, and what a declaration may not leave out."""

import inspect
import io
import json
import pydoc
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, FrozenInstanceError, dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from biofm.api import embed as shipped
from biofm.api.declaration import Option, Verb, once_of, options_of, verb
from biofm.api.describe import Describe
from biofm.api.embed import Embed as ShippedEmbed
from biofm.api.request import VERBS
from biofm.cli.commands import command
from biofm.core import SILENT, ModelError, OptionError, ProgressSink, RefusedError
from biofm.core.bounds import BOUNDS
from biofm.gate import ask, ledger_path
from biofm.policy import (
    ESTIMATE,
    NONE,
    Code,
    ConnectsTo,
    Effect,
    Host,
    Reads,
    Request,
    RunsCode,
    Writes,
)
from tests.ledgers import open_ledger


@dataclass(frozen=True, slots=True)
class Toy(Verb["tuple[Toy, ProgressSink]"]):
    """Play.

    It is only a game.
    """

    _: KW_ONLY
    quiet: Annotated[bool, Option("Show no progress."), NONE] = True

    def request(self) -> Request:
        return self.asking()

    def run(self, progress: ProgressSink = SILENT) -> "tuple[Toy, ProgressSink]":
        return self, progress


@dataclass(frozen=True, slots=True)
class Synthesise(Toy):
    """Make a protein, which is no verb of biofm."""

    sequence: Annotated[str, Option("The sequence to make."), NONE]
    n_copies: Annotated[int, Option("How many molecules of it."), NONE] = 1

    def run(self, progress: ProgressSink = SILENT) -> "tuple[Toy, ProgressSink]":
        with ask(self.request()):
            return self, progress


@dataclass(frozen=True, slots=True)
class Embed(ShippedEmbed):
    """Embed sequences at a temperature."""

    _: KW_ONLY
    temperature: Annotated[
        float,
        Option("How warm the model is, in units of no-one: 1 is the default, below-zero is refused."),
        NONE,
    ] = 1.0


def toy_with(hint: Any) -> type[Verb[Any]]:
    """A verb with an option ``given`` of this type, of which this is said."""
    described = {"__doc__": "A planted one."}
    return make_dataclass(
        "Planted", [("given", hint)], bases=(Toy,), namespace=described, frozen=True, slots=True
    )


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nMKTAYIAK\n>b\nMKT\n")
    return path


@pytest.fixture
def read_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[Any, ...]]]:
    """Runs a query on a ledger of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def read(query: str) -> list[tuple[Any, ...]]:
        with closing(open_ledger(ledger_path())) as connection:
            return connection.execute(query).fetchall()

    return read


@pytest.mark.parametrize(
    ("kind", "effect"),
    [
        (Path, NONE),
        (str | Path, NONE),
        (Path | None, NONE),
        (Sequence[str | Path], NONE),
        (Path, ConnectsTo("hub")),
    ],
)
def test_an_option_that_may_be_a_path_says_that_it_reads_or_writes(kind: Any, effect: Effect) -> None:
    with pytest.raises(
        TypeError, match=r"given: an option of the type .*Path.* names its effect: Reads or Writes"
    ):
        options_of(toy_with(Annotated[kind, Option("A file."), effect]))


@pytest.mark.parametrize("kind", [Host, Host | None, Sequence[Host]])
@pytest.mark.parametrize("effect", [NONE, Reads("input")])
def test_an_option_that_names_a_host_says_that_it_contacts_it(kind: Any, effect: Effect) -> None:
    with pytest.raises(
        TypeError, match=r"given: an option of the type .*Host.* names its effect: ConnectsTo"
    ):
        options_of(toy_with(Annotated[kind, Option("A host."), effect]))


@pytest.mark.parametrize("kind", [Code, Code | None, Sequence[Code]])
@pytest.mark.parametrize("effect", [NONE, Reads("input")])
def test_an_option_that_is_code_says_that_it_is_run(kind: Any, effect: Effect) -> None:
    with pytest.raises(TypeError, match=r"given: an option of the type .*Code.* names its effect: RunsCode"):
        options_of(toy_with(Annotated[kind, Option("A program."), effect]))


@pytest.mark.parametrize(
    "hint",
    [
        int,
        Annotated[int, NONE],
        Annotated[int, "A number.", NONE],
        Annotated[int, Option("A number."), Option("Another."), NONE],
    ],
)
def test_an_option_says_once_what_it_means(hint: Any) -> None:
    with pytest.raises(TypeError, match="given: an option has one Option"):
        options_of(toy_with(hint))


@pytest.mark.parametrize("effects", [(), ("none",), (Reads,)])
def test_an_option_says_what_it_touches_even_if_that_is_nothing(effects: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="given: an option names its effects, or NONE"):
        options_of(toy_with(Annotated[int, Option("A number."), *effects]))


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        (Path, (Reads("input"),)),
        (str | Path | None, (Writes("output"),)),
        (Sequence[str | Path], (Reads("model"), ConnectsTo("hub"))),
        (Host, (ConnectsTo("queue"),)),
        (Code, (RunsCode("plot"),)),
        (int, (NONE,)),
    ],
)
def test_an_option_that_says_all_that_it_owes_is_read_as_it_was_declared(
    kind: Any, effects: tuple[Effect, ...]
) -> None:
    option = Option("What it means.", flag="--other", short="-o")

    declaration = toy_with(Annotated[kind, option, *effects])

    (given,) = (one for one in options_of(declaration) if one.name == "given")
    assert (given.type, given.option, given.effects, given.flag) == (kind, option, effects, "--other")


def test_the_options_of_a_verb_are_in_the_order_of_its_parameters() -> None:
    expected = ["sequence", "n_copies", "quiet"]
    assert [one.name for one in options_of(Synthesise)] == expected
    assert list(inspect.signature(verb(Synthesise)).parameters) == expected
    assert list(Synthesise("MK").options()) == expected


def test_a_default_that_is_made_anew_is_the_default() -> None:
    made = make_dataclass(
        "Made",
        [("many", Annotated[Sequence[int], Option("Many."), NONE], field(default_factory=tuple))],
        bases=(Toy,),
        frozen=True,
    )

    assert [one.default for one in options_of(made)] == [(), True]


def test_roles_that_are_read_once_are_those_that_say_so() -> None:
    declaration = make_dataclass(
        "Planted",
        [
            ("first", Annotated[Path, Option("A stream."), Reads("input", once=True)]),
            ("second", Annotated[Path, Option("A table."), Reads("table")]),
            ("third", Annotated[Path, Option("A result."), Writes("output")]),
        ],
        bases=(Toy,),
        frozen=True,
    )
    assert once_of(declaration) == {"input"}
    assert declaration("a", "b", "c").request().once == {"input"}


def test_a_declaration_does_not_change_once_it_is_asked_with(fasta: Path) -> None:
    asked = ShippedEmbed(fasta, "out.csv")
    with pytest.raises(FrozenInstanceError):
        asked.layer = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "option",
    [one.name for one in options_of(ShippedEmbed) if one.limits is not None],
)
@pytest.mark.parametrize("is_most", [True, False])
def test_numbers_outside_of_the_limits_of_an_option_are_refused_before_anything_is_done(
    option: str, is_most: bool, fasta: Path
) -> None:
    limits = BOUNDS[option]
    beyond = int(limits.most) + 1 if is_most else int(limits.least) - 1

    with pytest.raises(OptionError, match="too large" if is_most else "too small"):
        ShippedEmbed(fasta, "out.csv", **{option: beyond}).request()  # type: ignore[arg-type]


def test_a_flag_in_the_explanation_of_an_option_stays_one_word() -> None:
    text = " ".join(["--learning-rate"] * 40)
    shown = (verb(toy_with(Annotated[int, Option(text), NONE])).__doc__ or "").split()
    assert shown.count("--learning-rate") == 40


@pytest.mark.parametrize("quiet", [True, False])
def test_the_function_of_a_verb_runs_what_was_asked_with_progress_unless_quiet(quiet: bool) -> None:
    assert verb(Toy)(quiet=quiet) == (Toy(quiet=quiet), ProgressSink(quiet=quiet))
    assert verb(Toy)() == (Toy(), ProgressSink(quiet=True))
    assert Toy(quiet=False).run() == (Toy(quiet=False), SILENT)


def test_the_help_of_a_function_says_the_limits_of_a_number() -> None:
    shown = " ".join((shipped.__doc__ or "").split())
    assert "By default the kind of device decides. From 2 to 16,777,216." in shown
    assert "From 0 to" not in shown.split(" layer: ")[1].split(" window: ")[0], "a layer has no limits here"


def test_a_misspelt_option_is_an_error_of_the_call() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        shipped("in.fasta", "out.csv", modle="protein-nano")  # type: ignore[call-arg]


def test_a_verb_that_is_not_declared_to_the_gate_is_refused_and_remembered_with_its_options(
    read_ledger: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    with pytest.raises(RefusedError, match="'synthesise' is not one of the verbs"):
        verb(Synthesise)("MKT", n_copies=3)

    ((name, decision, options),) = read_ledger("SELECT verb, decision, options FROM requests")
    assert (name, decision) == ("synthesise", "refuse")
    assert json.loads(options) == {"sequence": "MKT", "n_copies": 3, "quiet": True}


def test_the_request_of_a_verb_has_its_name_its_options_and_the_verbs_that_are_declared(fasta: Path) -> None:
    request = ShippedEmbed(fasta, "out.csv", layer=2, shard="1/2").request()

    assert (request.verb, request.verbs, request.once) == ("embed", VERBS, frozenset({"input"}))
    assert list(request.options) == [one.name for one in options_of(ShippedEmbed)]
    assert request.options["input"] == str(fasta)
    assert (request.options["layer"], request.options["shard"], request.options["window"]) == (2, "1/2", None)


def test_the_request_of_an_estimate_says_of_which_verb_it_is() -> None:
    request = Synthesise("MKT").asking(is_estimate=True)

    assert request.verb == ESTIMATE
    assert request.options == {"verb": "synthesise", "sequence": "MKT", "n_copies": 1, "quiet": True}


def test_one_more_field_of_a_declaration_is_on_its_command_line() -> None:
    app = typer.Typer(rich_markup_mode="rich")
    app.command()(command(Embed, lambda asked, result, as_json: None))

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output

    (line,) = (line for line in shown.splitlines() if "--temperature" in line)
    assert "How warm the model is, in units of no-one: 1 is the default, below-zero is refused." in line
    assert "[default: 1.0]" in line
    assert "Embed sequences at a temperature." in shown


def test_one_more_field_of_a_declaration_is_in_the_help_and_the_signature_of_its_function() -> None:
    written = io.StringIO()
    pydoc.Helper(output=written).help(verb(Embed))
    shown = " ".join(pydoc.plain(written.getvalue()).split())

    assert "Embed sequences at a temperature." in shown
    assert "temperature: How warm the model is, in units of no-one: 1 is the default" in shown
    parameter = inspect.signature(verb(Embed)).parameters["temperature"]
    assert (parameter.kind, parameter.default, parameter.annotation) == (parameter.KEYWORD_ONLY, 1.0, float)


def test_one_more_field_of_a_declaration_is_in_the_request_and_in_the_ledger(
    fasta: Path, read_ledger: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    output = fasta.with_suffix(".csv")
    assert Embed(fasta, output, temperature=0.5).request().options["temperature"] == 0.5

    summary = verb(Embed)(fasta, output, temperature=0.5)

    assert summary.n_sequences == 2
    assert output.exists()
    ((options,),) = read_ledger("SELECT options FROM requests WHERE verb = 'embed'")
    kept = json.loads(options)
    assert kept["temperature"] == 0.5
    assert kept == dict(Embed(fasta, output, temperature=0.5).options())
    ((loaded,),) = read_ledger("SELECT options FROM requests WHERE verb = 'load'")
    assert json.loads(loaded) == {"model": "protein-nano"}


def test_who_listens_to_a_run_is_told_what_it_does_and_how_far_it_is(
    fasta: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, float | None]] = []
    listener = ProgressSink(listener=lambda label, fraction: told.append((label, fraction)))

    ShippedEmbed(fasta, fasta.with_suffix(".csv")).run(listener)

    assert "embedding" in {label for label, _ in told}
    assert ("embedding", 1.0) in told
    assert all(fraction is None or 0 <= fraction <= 1 for _, fraction in told)
    assert capsys.readouterr() == ("", "")


def test_the_types_of_the_options_are_those_that_annotations_are_read_for() -> None:
    """A ``Literal`` of a declaration is one of the function's, too, so that editors offer its words."""
    pool = inspect.signature(shipped).parameters["pool"].annotation
    assert pool == Literal["mean", "cls", "max", "none"] == get_type_hints(ShippedEmbed)["pool"]


@pytest.mark.parametrize("files", [{"reads": {"anything": (Path("a"),)}}, {"hosts": ("huggingface.co",)}])
def test_what_no_option_declares_is_not_asked_for(files: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="synthesise: no option declares"):
        Synthesise("MKT").asking(**files)


def test_what_can_be_gone_through_once_is_read_as_often_as_needed(fasta: Path) -> None:
    asked = Describe(fasta.parent.glob("*.fasta"))  # type: ignore[arg-type]
    assert asked.request().reads["data"] == asked.request().reads["data"] == (fasta,)


def test_a_model_without_a_name_is_an_error_and_not_the_default_one(fasta: Path) -> None:
    with pytest.raises(ModelError):
        shipped(fasta, fasta.with_suffix(".csv"), model="")


def test_a_verb_without_the_option_quiet_is_no_declaration() -> None:
    with pytest.raises(TypeError, match="a verb has the option quiet"):
        options_of(make_dataclass("Loud", [], bases=(Verb,), frozen=True))
