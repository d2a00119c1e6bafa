"""A command is made from the declaration of its verb: how its options are spelled, given and explained."""

import json
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from biofm.api.declaration import Option, Verb
from biofm.cli.commands import command
from biofm.core import SILENT, ProgressSink
from biofm.policy import NONE, Code, ConnectsTo, Host, Reads, Request, RunsCode, Writes


@dataclass(frozen=True)
class Recipe:
    """What no text can give."""

    n_steps: int = 1


@dataclass(frozen=True, slots=True)
class Toy(Verb["Toy"]):
    """Play with sequences in [brackets],
    for a while.

    More of it, which is for readers of Python.
    """

    first: Annotated[str | Path, Option("The first file, of [layer] and [0, 1]."), Reads("first", once=True)]
    output: Annotated[str | Path, Option("What is made.", short="-o"), Writes("output")]
    log: Annotated[str | Path | None, Option("What is told.", flag="--tell", left_out=True), Writes("log")]
    others: Annotated[Sequence[str | Path], Option("The other files.", left_out=True), Reads("others")]
    _: KW_ONLY
    model: Annotated[str | Path, Option("A model.", short="-m"), Reads("model"), ConnectsTo("hub")] = "nano"
    n_steps: Annotated[int | None, Option("How many steps."), NONE] = None
    rate: Annotated[float, Option("How fast."), NONE] = 0.5
    pool: Annotated[Literal["mean", "max"], Option("How it is pooled."), NONE] = "mean"
    gaps: Annotated[Literal["drop", "keep"] | None, Option("What becomes of gaps."), NONE] = None
    modality: Annotated[str | None, Option("What it is.", flag="--as"), NONE] = None
    names: Annotated[Sequence[str], Option("Names.", flag="--name", short="-n"), NONE] = ()
    layers: Annotated[Sequence[int], Option("Layers."), NONE] = (1, 2)
    folds: Annotated[Sequence[Path] | None, Option("Folds."), Reads("folds")] = None
    config: Annotated[str | Path | None, Option("Settings."), Reads("config"), ConnectsTo("log")] = None
    host: Annotated[Host | None, Option("Whom to ask."), ConnectsTo("queue")] = None
    program: Annotated[Code | None, Option("What to run."), RunsCode("plot")] = None
    recipe: Annotated[Recipe | None, Option("How it is done."), NONE] = None
    recipes: Annotated[Sequence[Recipe], Option("How all is done."), NONE] = ()
    resume: Annotated[bool, Option("Go on."), NONE] = False
    quiet: Annotated[bool, Option("Show no progress.", short="-q"), NONE] = True

    def request(self) -> Request:
        return self.asking()

    def run(self, progress: ProgressSink = SILENT) -> "Toy":
        return self

    def estimate(self) -> str:
        return f"{self.first} takes a second"


ORDER = [
    "--output", "--tell", "--model", "--n-steps", "--rate", "--pool", "--gaps", "--as", "--name", "--layers",
    "--folds", "--config", "--host", "--program", "--resume", "--quiet", "--estimate", "--json",
]  # fmt: skip


class Shown:
    """What a command showed: the verb that was asked, what came of it, and whether that is to be JSON."""

    asked: Toy
    result: Any
    as_json: bool
    how: str = ""

    def show(self, asked: Toy, result: Any, as_json: bool) -> None:
        self.asked, self.result, self.as_json, self.how = asked, result, as_json, "done"

    def show_estimate(self, asked: Toy, result: Any, as_json: bool) -> None:
        self.asked, self.result, self.as_json, self.how = asked, result, as_json, "estimated"


def invoke(words: Sequence[str], made: Callable[..., None]) -> tuple[int, str]:
    """The exit status and everything that is printed."""
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command()(made)
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", "TERM": "dumb"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def given(*words: str) -> Toy:
    """The verb as it is asked with these words."""
    shown = Shown()
    status, output = invoke(words, command(Toy, shown.show))
    assert status == 0, output
    return shown.asked


def refused(*words: str) -> str:
    """The complaint of wrong usage."""
    shown = Shown()
    status, output = invoke(words, command(Toy, shown.show))
    assert (status, shown.how) == (2, "")
    return output


def shown_help() -> list[str]:
    shown = Shown()
    status, output = invoke(["--help"], command(Toy, shown.show, shown.show_estimate))
    assert status == 0
    return output.splitlines()


def line_of(flag: str) -> list[str]:
    (line,) = (line.split() for line in shown_help() if flag in line.split())
    return line


def test_the_options_stand_in_the_help_in_the_order_of_the_declaration() -> None:
    found = [word for line in shown_help() for word in line.split() if word in ORDER]
    assert found == ORDER


def test_the_help_says_what_is_done_and_what_each_option_means_whatever_the_words() -> None:
    shown = " ".join(" ".join(shown_help()).split())
    assert "Play with sequences in [brackets], for a while." in shown
    assert "readers of Python" not in shown
    assert "The first file, of [layer] and [0, 1]." in shown
    assert "\\" not in shown
    assert "How it is done." not in shown, "no text can give a recipe"
    assert "How all is done." not in shown


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--rate", "[default: 0.5]"), ("--layers", "[default: 1, 2]"), ("--model", "-m"), ("--quiet", "-q")],
)
def test_the_help_shows_defaults_and_short_letters(flag: str, words: str) -> None:
    assert words in " ".join(line_of(flag))


def test_what_is_not_given_has_the_default_of_the_declaration_but_for_progress_which_is_shown() -> None:
    asked = given("in.fasta", "-o", "out.csv")
    assert asked == Toy(Path("in.fasta"), Path("out.csv"), None, None, quiet=False)  # type: ignore[arg-type]
    assert Toy("in.fasta", "out.csv", None, ()).quiet, "from Python it is not"


def test_what_has_no_default_is_given_by_its_place_unless_it_has_a_flag_or_a_letter() -> None:
    asked = given("a.fasta", "b.fasta", "c.fasta", "--output", "out.csv", "--tell", "log")
    assert asked.first == Path("a.fasta")
    assert asked.others == (Path("b.fasta"), Path("c.fasta"))
    assert (asked.output, asked.log) == (Path("out.csv"), Path("log"))


def test_what_may_not_be_left_out_has_to_be_given() -> None:
    assert "Missing option '--output' / '-o'" in refused("in.fasta")
    assert "Missing argument" in refused("-o", "out.csv")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-m", "esm2-8m"], "model", "esm2-8m"),
        (["--n-steps", "3"], "n_steps", 3),
        (["--rate", "2"], "rate", 2.0),
        (["--pool", "max"], "pool", "max"),
        (["--gaps", "keep"], "gaps", "keep"),
        (["--as", "dna"], "modality", "dna"),
        (["--name", "a", "-n", "b"], "names", ("a", "b")),
        (["--layers", "3"], "layers", (3,)),
        (["--folds", "a", "--folds", "b"], "folds", (Path("a"), Path("b"))),
        (["--config", "a.toml"], "config", Path("a.toml")),
        (["--host", "example.org"], "host", "example.org"),
        (["--program", "plot.py"], "program", "plot.py"),
        (["--resume"], "resume", True),
        (["--quiet"], "quiet", True),
        (["-q"], "quiet", True),
    ],
)
def test_an_option_is_given_by_its_flag_or_letter_and_comes_as_its_type(
    words: list[str], name: str, value: object
) -> None:
    found = getattr(given("in.fasta", "-o", "out.csv", *words), name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--pool", "median"], "'median' is not one of 'mean', 'max'"),
        (["--gaps", "fill"], "'fill' is not one of 'drop', 'keep'"),
        (["--n-steps", "few"], "'few' is not a whole number, such as 8."),
        (["--modality", "dna"], "No such option: --modality"),
        (["--no-resume"], "No such option: --no-resume"),
        (["--no-quiet"], "No such option: --no-quiet"),
        (["--recipe", "a"], "No such option: --recipe"),
        (["--estimate"], "No such option: --estimate"),
    ],
)
def test_what_was_not_declared_is_wrong_usage(words: list[str], complaint: str) -> None:
    assert complaint in refused("in.fasta", "-o", "out.csv", *words)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("is_estimate", [True, False])
def test_the_result_is_shown_with_the_verb_as_it_was_asked_and_an_estimate_in_its_place_on_demand(
    is_estimate: bool, as_json: bool
) -> None:
    shown = Shown()
    words = ["a", "-o", "out", *(["--json"] if as_json else []), *(["--estimate"] if is_estimate else [])]

    assert invoke(words, command(Toy, shown.show, shown.show_estimate)) == (0, "")

    assert shown.asked.first == Path("a")
    assert shown.how == ("estimated" if is_estimate else "done")
    assert shown.result == ("a takes a second" if is_estimate else shown.asked)
    assert shown.as_json == as_json


def test_a_check_can_refuse_what_is_asked_before_it_runs_but_not_an_estimate_of_it() -> None:
    shown = Shown()
    ran: list[Toy] = []

    def check(asked: Toy, as_json: bool) -> None:
        raise ValueError(f"{asked.first}, {as_json}")

    made = command(Toy, shown.show, shown.show_estimate, check=check, run=ran.append)
    with pytest.raises(ValueError, match="a, True"):
        invoke(["a", "-o", "out", "--json"], made)
    assert (ran, shown.how) == ([], "")
    assert invoke(["a", "-o", "out", "--estimate"], made)[0] == 0
    assert (ran, shown.how) == ([], "estimated")


def test_what_runs_a_verb_can_be_given() -> None:
    shown = Shown()
    invoke(["a", "-o", "out"], command(Toy, shown.show, run=lambda asked: json.dumps(str(asked.first))))
    assert shown.result == '"a"'


@pytest.mark.parametrize("verb", ["embed", "perplexity"])
def test_other_columns_of_a_table_are_not_copied_as_the_help_says(verb: str, biofm: Any) -> None:
    Path("t.csv").write_text("id,sequence,label\na,MKT,1\nb,MKV,2\n")
    assert biofm(verb, "t.csv", "--column", "sequence", "-o", "out.csv").status == 0
    lines = Path("out.csv").read_text().splitlines()
    assert "label" not in lines[0].split(",")
    assert [line.split(",")[0].strip('"') for line in lines[1:]] == ["a", "b"]
    assert "are not copied into an output" in " ".join(biofm(verb, "--help").out.split())
