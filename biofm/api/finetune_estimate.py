"""``estimate_finetune``: what a fine-tuning will take."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biofm_datasets.protein import Gaps

from biofm.api.finetuning import base_of, check_reading, read_source, recipe_of
from biofm.api.model import DEFAULT_MODEL
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.evaluation.supervised import LabelOptions
from biofm.gate import ask
from biofm.inference import choose_compute
from biofm.training import leave_to_main
from biofm.training.finetuning import FinetuneEstimate, FinetuneRecipe, estimate_finetuning


def estimate_finetune(
    table: str | Path,
    *,
    target: str | Sequence[str],
    recipe: FinetuneRecipe | None = None,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    model: str | Path = DEFAULT_MODEL,
    column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    validation_column: str | None = None,
    unknown_letters: str = "",
    gaps: Gaps = "drop",
    modality: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    on_error: str = "stop",
    **settings: Any,
) -> FinetuneEstimate:
    """What ``finetune`` of the same arguments will take in time, memory and space on the disk, and how large
    its batches may be.

    Reads the table, tries a few batches on a copy of the model, writes nothing. What is judged and fitted
    beside the model is not counted. A ``recipe`` stands for ``config``, ``sets`` and ``settings``. One of
    several processes estimates; the others end here.

    Raises InputError, ModelError, OptionError. MissingExtraError: LoRA without peft.
    """
    leave_to_main()
    path = path_of(table)
    check_reading(path, on_error)
    recipe = recipe_of(recipe, config, settings, sets)
    options = LabelOptions(
        targets=(target,) if isinstance(target, str) else tuple(target), column=column,
        id_column=id_column, split_column=split_column, validation_column=validation_column,
        task=recipe.task, unknown_letters=unknown_letters, gaps=gaps, modality=modality,
    )  # fmt: skip
    notices: Counter[str] = Counter()
    with ask(request_of("estimate", reads={"table": (path,)}, model=str(model))) as permit:
        base = base_of(model)
        source = read_source(permit.reader("table"), path, base, options, notices, on_error)
        compute = choose_compute(device, dtype)
        return estimate_finetuning(source, base, recipe, compute, notices)
