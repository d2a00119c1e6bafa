"""Main: all commands are put together here, and an error becomes a line on standard error."""

import errno
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
    RunProgram,
    Score,
)
from biofm.cli import audit, data, policy
from biofm.cli.commands import Command, Group, command
from biofm.cli.estimate import (
    show_embed_estimate,
    show_finetune_estimate,
    show_pretrain_estimate,
    show_score_estimate,
)
from biofm.cli.evaluate import show_evaluate
from biofm.cli.inference import (
    check_output,
    show_contacts,
    show_embed,
    show_merge,
    show_neighbours,
    show_perplexity,
    show_predict,
    show_run_program,
    show_score,
)
from biofm.cli.models import info, models
from biofm.cli.printing import forget_output, output_faults, print_traceback, say, show_all_safely
from biofm.cli.training import run_or_say_how_to_resume, show_finetune, show_pretrain
from biofm.core.environment import __version__
from biofm.core.errors import BiofmError
from biofm.core.signals import listen
from biofm.core.text import shown

NO_SIGNAL = 128
"""The exit code of a program that a signal ended is the number of the signal added to this one."""
OF_PYDANTIC = "Value error, "
"""What pydantic, by which typer reads choices from version 0.29 on, puts before the message of an error."""


FORBIDDEN = (
    "Check the permissions of it and of the folders above it (ls -ld shows them), or choose another path"
)
FULL = "Free some space on that disk, or choose a path on another one"
REMEDIES = {
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EROFS: "The disk there is read-only: choose a path on another one",
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.ENOENT: "It was never there, or was removed while biofm ran: check the path",
    errno.EMFILE: "Raise the number of files that a program may open, such as with ulimit -n 4096",
}
"""What to do about an error of the system that no other message explains, by its number."""


class _Commands(Group):
    """Holds all commands.

    Its messages about wrong usage repeat words of the command line, which may be names of files and are
    shown safely.
    """

    def make_context(self, *given: Any, **options: Any) -> Any:
        with _shown_complaints():
            return super().make_context(*given, **options)

    def invoke(self, *given: Any) -> Any:
        with _shown_complaints():
            return super().invoke(*given)


@contextmanager
def _shown_complaints() -> Iterator[None]:
    """Make the messages of errors about wrong usage safe for a terminal, and remove what pydantic adds."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # the errors of click and typer have it
            error.message = shown(error.message.removeprefix(OF_PYDANTIC))  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run and train foundation models of biology: embed sequences, score variants, predict contacts.",
)
COMMANDS = (
    command(Embed, show_embed, show_embed_estimate),
    command(Neighbours, show_neighbours),
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
    command(RunProgram, show_run_program),
)
for one in COMMANDS:
    app.command(cls=Command)(one)
app.add_typer(data.app, name="data")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")


def main() -> NoReturn:
    """Run the command line.

    Exit code 0 means success, 1 an error that the message explains, 2 wrong usage, and 128 plus the number of
    a signal that the signal ended the run.
    """
    if sys.stderr is None:  # print would write to standard output instead
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # stays open as long as the process lives
    show_all_safely()
    listen(_terminate)
    _check_folder()
    sys.argv[1:] = map(with_file_named, sys.argv[1:])
    try:
        try:
            app()
        finally:
            with output_faults():
                print(end="", flush=True)  # an error of writing must come up here, where it has a message
    except BiofmError as error:
        _complain(error, str(error))
        sys.exit(1)
    except SystemExit as end:
        if _is_interruption(end):
            _complain(end, "interrupted")
        raise
    except BrokenPipeError:  # the reader of the output is gone
        forget_output()
        sys.exit(1)
    except OSError as error:  # a path cannot be looked at, or a disk fails
        _complain(error, _explained(error))
        sys.exit(1)
    except Exception:
        sys.excepthook = print_traceback  # set here, because typer sets its own before
        raise
    sys.exit(0)


def _check_folder() -> None:
    """End the program if the current folder has been removed: torch would kill it, in words of its own."""
    try:
        os.getcwd()
    except OSError as error:
        place = f"the current folder {os.environ.get('PWD', '')}".rstrip()
        _complain(error, f"{place} is gone, or may not be read. Go to a folder that is there, with cd")
        sys.exit(1)


def _explained(error: OSError) -> str:
    """Return where an error of the system happened, what it was, and what to do about it."""
    what = (error.strerror or str(error)).lower()
    remedy = REMEDIES.get(error.errno or 0, "Check the path and its disk")
    return f"{error.filename or 'a file without a name'}: {what}. {remedy}"


def with_file_named(word: str) -> str:
    """Return a word of the command line in which ``./-``, a file named "-", is an absolute path.

    Paths do not keep the ``./``, and ``-`` alone is standard input or output.
    """
    found = re.fullmatch(r"(--[\w-]+=|-\w|)(\./+)+-", word)
    return f"{found[1]}{Path('-').absolute()}" if found else word


def _is_interruption(end: SystemExit) -> bool:
    """Return whether a signal ended the program, and no other process of the run will say so.

    A signal leaves notes where work had begun, and only the exit code where modules were still being loaded.
    """
    is_by_signal = type(end) is SystemExit and isinstance(end.code, int) and end.code > NO_SIGNAL
    return bool(_notes(end)) or (is_by_signal and os.environ.get("LOCAL_RANK", "0") == "0")


def _complain(error: BaseException, what: str) -> None:
    """Print one line on standard error: what happened, and the notes that were added to the error."""
    say(f"biofm: {'. '.join([what, *_notes(error)])}")


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"biofm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help=f"Judge the command by this policy too: {policy.NAMES}, or a policy file. Give it before "
            "the command; given several times, each counts. By default the system's and your own files and "
            "BIOFM_POLICY apply, else research.",
            metavar="POLICY",
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            help="Let the command belong to this session, whose handle `biofm policy begin` printed. Give it "
            "before the command. By default BIOFM_SESSION names it, else there is none.",
            metavar="HANDLE",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version.", metavar=""
        ),
    ] = False,
) -> None:
    for one in policy or ():
        from biofm.gate import policy_in_force  # brings numpy

        context.with_resource(policy_in_force(one))
    if session is not None:
        from biofm.gate import session_in_force  # brings numpy

        context.with_resource(session_in_force(session))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End the program by an exception after a signal, so that half-written files are removed.

    A second signal is ignored.
    """
    signal.signal(number, signal.SIG_IGN)
    sys.exit(NO_SIGNAL + number)
