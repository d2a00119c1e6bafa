"""Members of a fine-tuning: each is trained, written to its folder and used to predict.

A member that an earlier run has finished is only read from its folder.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import safetensors.torch
from biofm_datasets.arrays import Floats, Indices
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray
from safetensors import SafetensorError

from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import LabelledTable, units_of
from biofm.inference import Compute, Embedder, EmbedOptions
from biofm.inference.prediction import (
    HEAD_FILE,
    MEMBERS,
    TRAINING_FILE,
    Answer,
    Head,
    Nearest,
    PredictorFiles,
    PredictorInfo,
    open_branch,
)
from biofm.models import Checkpoint, write_checkpoint
from biofm.training.finetuning.gradient import Trained, adapter_files, make_member, merged, train_member
from biofm.training.finetuning.plan import MemberPlan, Plan
from biofm.training.finetuning.probe import fit_probe
from biofm.training.finetuning.vectors import (
    VECTORS_FILE,
    distances_of,
    embed_table,
    nearest_of,
    records_of,
    reference_rows,
)
from biofm.training.folder import CHECKPOINTS, damage_named, has_run, newest_step, read_json, written_whole
from biofm.training.processes import rendezvous
from biofm.training.recipe import FinetuneRecipe

OUTPUTS_FILE, REPORT_FILE = "outputs.safetensors", "member.json"
ASKED = ("test", "held_out")  # the sets of rows that a member predicts
ROWS_AT_ONCE = 65_536


class Answers(NamedTuple):
    """Holds a member's outputs for the test rows and its held-out rows, and a report of its training."""

    test: Answer
    held_out: Answer
    report: dict[str, Any]


class FinetuneRun(NamedTuple):
    """Holds what all members of a run share.

    Attributes:
        table: The table of sequences and targets.
        base: The model that is fine-tuned.
        info: Describes the predictor that the members form.
        plan: The rows of each member.
        recipe: The settings of the run.
        compute: The device and the number format.
        options: How sequences are embedded.
        folder: The folder of the run.
        progress: Called with the stage and the progress within it.
    """

    table: LabelledTable
    base: Checkpoint
    info: PredictorInfo
    plan: Plan
    recipe: FinetuneRecipe
    compute: Compute
    options: EmbedOptions
    folder: Path
    progress: RunProgress

    def work(self, member: str) -> Path:
        """Return the folder of a member's log, checkpoints and outputs."""
        return self.folder / MEMBERS / member

    @property
    def predictor(self) -> Path:
        return self.folder / "predictor"

    def result(self, member: str) -> Path:
        """Return the folder of a member's weights, which is a part of the predictor."""
        return self.predictor / MEMBERS / member


def members_before(folder: Path) -> tuple[int, int] | None:
    """Return how many members the run in ``folder`` has trained, and the saved steps of the next one.

    Members with their own encoder are trained by steps. The result is None if the folder holds no run.

    Args:
        folder: The folder of the run.
    """
    if not has_run(folder):
        return None
    works = [*(folder / MEMBERS).glob("*")]
    trained = [work for work in works if (work / REPORT_FILE).exists()]
    steps = (newest_step(work / CHECKPOINTS) or 0 for work in works if work not in trained)
    return len(trained), max(steps, default=0)


def train_probes(run: FinetuneRun, embedder: Embedder) -> None:
    """Fit all members of a probe, which are heads on vectors that are computed once for all of them."""
    vectors: Floats | None = None
    members = run.plan.members
    for number, member in enumerate(members):
        if not (run.work(member.name) / REPORT_FILE).exists():
            if vectors is None:
                vectors = embed_table(run.table, embedder, run.folder, run.progress)
            _fit_probe(run, member, vectors)
        run.progress("fitting", number + 1, len(members))
    (run.folder / VECTORS_FILE).unlink(missing_ok=True)


def train_by_gradients(run: FinetuneRun, store: TokenStore) -> None:
    """Train all members that have an encoder of their own, or resume them from their checkpoints.

    Several processes train a member together, and the first process writes it. ``store`` holds the tokens of
    all rows of the table.
    """
    crew = rendezvous(run.recipe)
    for member in run.plan.members:
        report = run.work(member.name) / REPORT_FILE
        if not crew.from_main(report.exists):
            trained = _train_one(run, member, store)
            crew.in_main(partial(_keep, run, member, trained))


def _fit_probe(run: FinetuneRun, member: MemberPlan, vectors: Floats) -> None:
    """Fit a head and write it with its outputs. ``vectors`` has one for each row or residue of the table."""
    labels = run.table.labels
    probe = fit_probe(member, labels, vectors, resamples=run.recipe.n_members > 1)
    _write_head(run.result(member.name), probe.final)

    nearest = None
    if _is_first(run, member):
        nearest = nearest_of(vectors, reference_rows(run.table, member), labels.offsets)
        _write_nearest(run, nearest)

    def ask(head: Head, rows: Indices) -> Answer:
        units = rows if labels.offsets is None else units_of(rows, labels.offsets)
        parts = np.split(units, range(ROWS_AT_ONCE, len(units), ROWS_AT_ONCE))
        outputs = [head.outputs(np.asarray(vectors[part]), np.ones(len(part), np.int64)) for part in parts]
        distances = None if nearest is None else distances_of(nearest, vectors, rows, labels.offsets)
        return Answer(np.concatenate(outputs), distances)

    is_fold = not np.isin(member.held_out, member.validation).any()
    held_out = ask(probe.final if is_fold else probe.judged, member.held_out)
    _write_answers(run, member, Answers(ask(probe.final, run.plan.test), held_out, probe.penalty))


def read_answers(run: FinetuneRun, member: MemberPlan) -> Answers:
    """Read the outputs of a finished member from its files."""
    folder = run.work(member.name)
    with damage_named(folder / OUTPUTS_FILE):
        try:
            outputs = safetensors.numpy.load((folder / OUTPUTS_FILE).read_bytes())
        except SafetensorError as error:
            raise ValueError(error) from error
        test, held_out = (Answer(outputs[name], outputs.get(f"{name}_distances")) for name in ASKED)
    return Answers(test, held_out, read_json(folder / REPORT_FILE))


def _train_one(run: FinetuneRun, member: MemberPlan, store: TokenStore) -> Trained:
    work = run.work(member.name)
    work.mkdir(parents=True, exist_ok=True)

    def progress(stage: str, done: int, total: int, detail: str = "") -> None:
        run.progress(f"{member.name}, {stage}", done, total, detail)

    untrained = make_member(member, run.table.labels, store, run.base, run.recipe)
    return train_member(untrained, run.compute, work, progress)


def _keep(run: FinetuneRun, member: MemberPlan, trained: Trained) -> None:
    """Write the weights of a member, read them again, and write the outputs that they then give."""
    _write_weights(run, member, trained)
    with ExitStack() as opened:
        paths = {f"{MEMBERS}/{member.name}/{path.name}": path for path in run.result(member.name).iterdir()}
        files = {name: opened.enter_context(path.open("rb")) for name, path in paths.items()}
        predictor = PredictorFiles(files, str(run.folder), run.info)
        branch = open_branch(predictor, member.name, run.base, run.compute, run.options)
        nearest = None
        if _is_first(run, member):
            rows = reference_rows(run.table, member)
            nearest = Nearest.of(branch.vectors(records_of(run.table, rows), Counter()))
            _write_nearest(run, nearest)
        of_test, of_held_out = (
            branch.answer(records_of(run.table, rows), Counter(), nearest)
            for rows in (run.plan.test, member.held_out)
        )
    _write_answers(run, member, Answers(of_test, of_held_out, asdict(trained.summary)))
    shutil.rmtree(run.work(member.name) / CHECKPOINTS, ignore_errors=True)


def _write_weights(run: FinetuneRun, member: MemberPlan, trained: Trained) -> None:
    folder = run.result(member.name)
    _write_head(folder, trained.head)
    if run.recipe.method == "full":
        _write_files(folder, write_checkpoint(trained.checkpoint))
        return
    files = adapter_files(trained.checkpoint.module.encoder, run.info.model)
    if run.recipe.merge_adapters:
        files = write_checkpoint(merged(run.base, files))
    _write_files(folder, files)


def _is_first(run: FinetuneRun, member: MemberPlan) -> bool:
    """Return whether this is the first member. Distances are measured to its training rows."""
    return member.name == run.info.members[0].name


def _write_nearest(run: FinetuneRun, nearest: Nearest) -> None:
    state = {name: np.ascontiguousarray(array) for name, array in nearest.state().items()}
    run.predictor.mkdir(parents=True, exist_ok=True)
    _write_files(run.predictor, {TRAINING_FILE: safetensors.numpy.save(state)})


def _write_head(folder: Path, head: Head) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in head.state().items()}
    _write_files(folder, {HEAD_FILE: safetensors.torch.save(state)})


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with written_whole(folder / name) as file:
            file.write(content)


def _write_answers(run: FinetuneRun, member: MemberPlan, answers: Answers) -> None:
    """Write the outputs of a member and then its report, which marks the member as finished."""
    about = {
        "fold": member.fold,
        "seed": member.seed,
        "n_train": len(member.train),
        "n_validation": len(member.validation),
    }
    outputs: dict[str, NDArray[np.floating]] = {}
    for name, (found, distances) in zip(ASKED, answers[:2], strict=True):
        outputs |= {name: found} if distances is None else {name: found, f"{name}_distances": distances}
    folder = run.work(member.name)
    folder.mkdir(parents=True, exist_ok=True)
    _write_files(folder, {OUTPUTS_FILE: safetensors.numpy.save(outputs)})
    _write_files(folder, {REPORT_FILE: json.dumps(about | answers.report, indent=2).encode() + b"\n"})
