"""The members of a fine-tuning: each is trained, written down and asked, or found as a run has left it."""

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
from biofm.inference.prediction import Answer, Head, Nearest, PredictorFiles, PredictorInfo, open_branch
from biofm.inference.prediction.files import HEAD_FILE, MEMBERS, TRAINING_FILE
from biofm.models import Checkpoint, write_checkpoint
from biofm.training.crew import rendezvous
from biofm.training.files import written_whole
from biofm.training.finetuning.domain import distances_of, nearest_of, reference_rows
from biofm.training.finetuning.gradient import Trained, train_member
from biofm.training.finetuning.lora import adapter_files, merged
from biofm.training.finetuning.plan import MemberPlan
from biofm.training.finetuning.probe import fit_probe
from biofm.training.finetuning.vectors import FILE as VECTORS_FILE
from biofm.training.finetuning.vectors import embed_table, records_of
from biofm.training.folder import damage_named, read_json
from biofm.training.recipe import FinetuneRecipe

OUTPUTS_FILE, REPORT_FILE, CHECKPOINTS = "outputs.safetensors", "member.json", "checkpoints"
ASKED = ("test", "held_out")
ROWS_AT_ONCE = 65_536


class Answers(NamedTuple):
    """What a member says of the test set and of the rows that it calibrates by, and how it was trained."""

    test: Answer
    held_out: Answer
    report: dict[str, Any]


class Run(NamedTuple):
    """What all members share. ``info``: of the predictor that they will make; ``folder``: of the run."""

    table: LabelledTable
    base: Checkpoint
    info: PredictorInfo
    recipe: FinetuneRecipe
    compute: Compute
    options: EmbedOptions
    folder: Path
    progress: RunProgress

    def work(self, member: str) -> Path:
        """Where a member's log, its checkpoints and its answers lie."""
        return self.folder / MEMBERS / member

    @property
    def predictor(self) -> Path:
        return self.folder / "predictor"

    def result(self, member: str) -> Path:
        """Where its weights lie: a part of the predictor."""
        return self.predictor / MEMBERS / member


def train_probes(run: Run, members: list[MemberPlan], test: Indices, embedder: Embedder) -> None:
    """All members of a probe: heads on vectors that are made once for all."""
    vectors: Floats | None = None
    for number, member in enumerate(members):
        if not (run.work(member.name) / REPORT_FILE).exists():
            if vectors is None:
                vectors = embed_table(run.table, embedder, run.folder, run.progress)
            _fit_one(run, member, test, vectors, resamples=run.recipe.n_members > 1)
        run.progress("fitting", number + 1, len(members))
    (run.folder / VECTORS_FILE).unlink(missing_ok=True)


def train_by_gradients(run: Run, members: list[MemberPlan], test: Indices, store: TokenStore) -> None:
    """Members with an encoder of their own; the one that was interrupted goes on from its checkpoint. Several
    processes train one together, and the first of them keeps it.
    """
    crew = rendezvous(run.recipe)
    for member in members:
        report = run.work(member.name) / REPORT_FILE
        if not crew.from_main(report.exists):
            trained = _train_one(run, member, store)
            crew.in_main(partial(_keep, run, member, test, trained))


def _fit_one(run: Run, member: MemberPlan, test: Indices, vectors: Floats, *, resamples: bool) -> None:
    labels = run.table.labels
    probe = fit_probe(member, labels, vectors, resamples=resamples)
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
    _write_answers(run, member, Answers(ask(probe.final, test), held_out, probe.penalty))


def read_answers(run: Run, member: MemberPlan) -> Answers:
    """Of a member that is done."""
    folder = run.work(member.name)
    with damage_named(folder / OUTPUTS_FILE):
        try:
            outputs = safetensors.numpy.load((folder / OUTPUTS_FILE).read_bytes())
        except SafetensorError as error:
            raise ValueError(error) from error
        test, held_out = (Answer(outputs[name], outputs.get(f"{name}_distances")) for name in ASKED)
    return Answers(test, held_out, read_json(folder / REPORT_FILE))


def _train_one(run: Run, member: MemberPlan, store: TokenStore) -> Trained:
    work = run.work(member.name)
    work.mkdir(parents=True, exist_ok=True)

    def progress(stage: str, done: int, total: int, detail: str = "") -> None:
        run.progress(f"{member.name}, {stage}", done, total, detail)

    labels = run.table.labels
    return train_member(member, labels, store, run.base, run.recipe, run.compute, work, progress)


def _keep(run: Run, member: MemberPlan, test: Indices, trained: Trained) -> None:
    """Write down the weights and what they answer, as they are read again."""
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
            branch.answer(records_of(run.table, rows), Counter(), nearest) for rows in (test, member.held_out)
        )
    _write_answers(run, member, Answers(of_test, of_held_out, asdict(trained.summary)))
    shutil.rmtree(run.work(member.name) / CHECKPOINTS, ignore_errors=True)


def _write_weights(run: Run, member: MemberPlan, trained: Trained) -> None:
    folder = run.result(member.name)
    _write_head(folder, trained.head)
    if run.recipe.method == "full":
        _write_files(folder, write_checkpoint(trained.checkpoint))
        return
    files = adapter_files(trained.checkpoint.module.encoder, run.info.model)
    if run.recipe.merge_adapters:
        files = write_checkpoint(merged(run.base, files))
    _write_files(folder, files)


def _is_first(run: Run, member: MemberPlan) -> bool:
    """Distances to the rows of training are those of the first member."""
    return member.name == run.info.members[0].name


def _write_nearest(run: Run, nearest: Nearest) -> None:
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


def _write_answers(run: Run, member: MemberPlan, answers: Answers) -> None:
    """The report comes last: with it the member is done."""
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
