"""What ``biofm pretrain`` prints, and what any training does where it is interrupted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from biofm.api import Finetune, Pretrain
from biofm.cli.estimate import show_training_estimate
from biofm.cli.printing import print_json, print_table, say, say_notices

if TYPE_CHECKING:
    from biofm.training.estimating import TrainingEstimate
    from biofm.training.summary import PretrainSummary


def run_or_say_how_to_resume(asked: Pretrain | Finetune) -> Any:
    """Perform a training; where it is interrupted, say how to go on."""
    from biofm.training.processes import SilentExit  # brings torch

    try:
        return asked.perform()
    except SilentExit:  # one of several processes: another one tells why it ends
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        has_begun = Path(asked.output).is_dir()
        if has_begun and (isinstance(end, KeyboardInterrupt) or end.code):
            say(
                "biofm: interrupted. Repeat the command with --resume to go on from the state in "
                f"{Path(asked.output)}"
            )
        raise


def show(asked: Pretrain, summary: "PretrainSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def show_estimated(asked: Pretrain, estimate: "TrainingEstimate", as_json: bool) -> None:
    show_training_estimate(estimate, as_json=as_json)


def _print_summary(summary: "PretrainSummary") -> None:
    rows = [
        (source, f"{it.n_residues:,}", f"{it.model:.2f}", f"{it.own_composition:.2f}", f"{it.unigram:.2f}")
        for source, it in summary.held_out.items()
    ]
    if rows:
        print_table(rows, header=("held-out perplexity", "residues", "model", "own composition", "unigram"))
    for source, it in summary.held_out.items():
        baseline = min(it.unigram, it.own_composition)
        if it.model >= baseline:
            say(f"{source}: the model ({it.model:.2f}) is no better than counting residues ({baseline:.2f})")
    say(f"{summary.dtype}: {summary.dtype_reason}")
    say(f"{summary.n_train:,} proteins in training, {summary.n_removed:,} left out as like the held-out ones")
    say(f"{summary.n_parameters:,} parameters -> {summary.model}")
