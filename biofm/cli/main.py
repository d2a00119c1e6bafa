"""The command line: all commands, and the one place where an error becomes a line on standard error."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from biofm.api import (
    Contacts,
    Embed,
    Evaluate,
    Finetune,
    Merge,
    Neighbours,
    Perplexity,
    Predict,
    Pretrain,
    Score,
)
from biofm.cli import data
from biofm.cli.commands import command
from biofm.cli.estimate import (
    show_embed_estimate,
    show_finetune_estimate,
    show_pretrain_estimate,
    show_score_estimate,
)
from biofm.cli.evaluate import show_evaluate
from biofm.cli.inference import (
    check_neighbours,
    check_output,
    show_contacts,
    show_embed,
    show_merge,
    show_neighbours,
    show_perplexity,
    show_predict,
    show_score,
)
from biofm.cli.models import info, models
from biofm.cli.printing import forget_output, output_faults, print_traceback, say, show_all_safely
from biofm.cli.training import run_or_say_how_to_resume, show_finetune, show_pretrain
from biofm.core.environment import __version__
from biofm.core.errors import BiofmError
from biofm.core.signals import listen
from biofm.core.text import shown


class _Commands(TyperGroup):
    """The group of all commands. Its complaints of wrong usage repeat words of the command line, which may be
    names of files and are shown safely.
    """

    def make_context(self, *given: Any, **options: Any) -> Any:
        with _shown_complaints():
            return super().make_context(*given, **options)

    def invoke(self, *given: Any) -> Any:
        with _shown_complaints():
            return super().invoke(*given)


@contextmanager
def _shown_complaints() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # as click's and typer's own have
            error.message = shown(error.message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Foundation models of digital biology: embed sequences, score variants, see contacts, train models.",
)
COMMANDS = (
    command(Embed, show_embed, show_embed_estimate),
    command(Neighbours, show_neighbours, check=check_neighbours),
    command(Score, show_score, show_score_estimate, check=check_output),
    command(Perplexity, show_perplexity, check=check_output),
    command(Contacts, show_contacts),
    command(Evaluate, show_evaluate),
    command(Merge, show_merge, check=check_output),
    models,
    info,
    command(Pretrain, show_pretrain, show_pretrain_estimate, run=run_or_say_how_to_resume),
    command(Finetune, show_finetune, show_finetune_estimate, run=run_or_say_how_to_resume),
    command(Predict, show_predict, check=check_output),
)
for one in COMMANDS:
    app.command()(one)
app.add_typer(data.app, name="data")


def main() -> NoReturn:
    """Run the command line.

    Exit code 0: done; 1: a fault that the message explains; 2: wrong usage; 128 and
    the number of a signal: interrupted by it.
    """
    if sys.stderr is None:  # print would take standard output in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # as long as the process lives
    show_all_safely()
    listen(_terminate)
    sys.argv[1:] = map(with_file_named, sys.argv[1:])
    try:
        try:
            app()
        finally:
            with output_faults():
                print(end="", flush=True)  # here, where it can fail with grace
    except BiofmError as error:
        _complain(error, str(error))
        sys.exit(1)
    except SystemExit as end:  # by a signal, if there is more to say of it
        if _notes(end):
            _complain(end, "interrupted")
        raise
    except BrokenPipeError:  # The reader of our output has gone.
        forget_output()
        sys.exit(1)
    except OSError as error:  # of a place that could not even be looked at, or of a disk that fails
        place = f"{error.filename}: " if error.filename else ""
        _complain(error, f"{place}{error.strerror or error}. Check the path, its permissions and its disk")
        sys.exit(1)
    except Exception:
        sys.excepthook = print_traceback  # here, because typer sets its own
        raise
    sys.exit(0)


def with_file_named(word: str) -> str:
    """A word of the command with ``./-``, a file of that name, spelled in full: paths do not keep the ``./``,
    and ``-`` is standard input or output.
    """
    found = re.fullmatch(r"(--[\w-]+=|-\w|)(\./+)+-", word)
    return f"{found[1]}{Path('-').absolute()}" if found else word


def _complain(error: BaseException, what: str) -> None:
    """One line on standard error: what happened, and what was noted of it on its way."""
    say(f"biofm: {'. '.join([what, *_notes(error)])}")


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"biofm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """A signal ends the program as an exception would, so that half-written files are removed; a second one
    does not disturb that.
    """
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
