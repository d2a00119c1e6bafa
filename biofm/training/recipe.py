"""How to train: every setting of a run besides the data and the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from biofm.core.choices import AskedTask, FinetuneMethod, HeadPool, ObjectiveName
from biofm.core.configuration import check_bounds, check_choices, check_range
from biofm.core.errors import OptionError

SHARES = {"encoder_rate": (0, 1), "decay_share": (0, 1), "ema_decay": (0, 0.99999)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run besides the data and the model.

    Lengths and budgets in tokens, special ones included.

    - ``tokens_per_batch``: of one batch on one device; ``batches_per_step``: batches of one optimiser step
      over *all* processes, which share them, so that a step sees the same examples whatever their number.
    - ``optimizer``: "muon" moves the matrices of the blocks by Muon and the rest by AdamW. ``weight_decay``
      is for those matrices alone. ``encoder_rate``: of the learning rate the encoder's weights learn at so
      large a share.
    - ``schedule``: "wsd" warms up over ``n_warmup`` steps, stays, and falls over the last ``decay_share`` of
      the steps; "cosine" falls along half a cosine from the end of the warm-up on. Both would be at 0 in the
      step behind the last one, which still learns.
    - ``clip_norm``: the largest norm of all gradients together; 0 clips nothing.
    - ``ema_decay``: weights averaged with this decay a step are the ones judged and kept; 0 averages nothing.
    - ``activation_checkpointing``: less memory for a third more time. ``compile``: by torch's compiler.
    - ``validate_every`` steps, 0 for never; ``patience``: judgements without a better one that end the run, 0
      for no end before ``n_steps``.
    - ``n_workers``: processes that prepare batches; 0 prepares them in the training process.
    - ``devices`` on each of ``n_nodes`` machines. ``wandb``: a project at Weights & Biases, "" for none.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "n_steps": "--steps",
        "tokens_per_batch": "--tokens-per-batch",
        "batches_per_step": "--batches-per-step",
        "max_length": "--max-length",
        "learning_rate": "--learning-rate",
        "seed": "--seed",
        "devices": "--devices",
    }

    n_steps: int
    tokens_per_batch: int = 4096
    batches_per_step: int = 1
    max_length: int = 512
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 4e-3
    encoder_rate: float = 1.0
    weight_decay: float = 0.1
    schedule: Literal["wsd", "cosine"] = "wsd"
    n_warmup: int = 100
    decay_share: float = 0.3
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    activation_checkpointing: bool = False
    compile: bool = False
    seed: int = 0
    validate_every: int = 0
    patience: int = 0
    checkpoint_every: int = 100
    log_every: int = 10
    n_workers: int = 0
    devices: int = 1
    n_nodes: int = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    wandb: str = ""

    def __post_init__(self) -> None:
        check_choices(self)
        check_bounds(self)
        check_range(self, SHARES)
        check_range(self, {"learning_rate": (0, 1)}, is_open=True)
        if self.patience and not self.validate_every:
            what = f"a patience of {self.patience} needs judgements to wait for"
            raise OptionError(what, where="--set patience", remedy="Give --set validate_every=N too")
        if self.ema_decay and self.strategy == "fsdp":
            what = "weights that are spread over processes by fsdp cannot be averaged"
            raise OptionError(what, where="--set ema_decay", remedy="Give 0, or --set strategy=ddp")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRecipe(Recipe):
    """How to train a language model.

    ``objective``: "masked" predicts hidden residues, "causal" the next one. Of residues, ``masked_share``
    are to be predicted; of these ``mask_rate`` are hidden, ``random_rate`` replaced, the others left.
    ``n_held_out`` proteins of every input file are kept for judging, and ``n_validation`` to be judged by
    while it trains; a store that was prepared before has parts of its own. No step at all judges a model
    without training it.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        **Recipe.OPTIONS,
        "n_warmup": "--warmup",
        "checkpoint_every": "--checkpoint-every",
        "log_every": "--log-every",
        "objective": "--objective",
        "masked_share": "--masked",
        "n_held_out": "--held-out",
    }

    objective: ObjectiveName = "masked"
    masked_share: float = 0.25
    mask_rate: float = 0.8
    random_rate: float = 0.1
    n_held_out: int = 500
    n_validation: int = 0

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        check_range(self, {"masked_share": (0, 1)}, is_open=True)
        check_range(self, {"mask_rate": (0, 1), "random_rate": (0, 1)})
        if self.mask_rate + self.random_rate > 1:
            what = f"mask_rate {self.mask_rate} and random_rate {self.random_rate} are more than 1 together"
            raise OptionError(what, where="--set mask_rate", remedy="Give less of one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """Everything that decides a fine-tuning besides the table and the model.

    - ``method``: "probe" fits a linear head on vectors that are made once, "lora" trains low-rank adapters in
      the linear layers of the encoder, "full" all its weights. The settings of ``Recipe`` are for the last
      two.
    - ``pool``: what a head sees of a sequence; "attention" is learned, so not for a probe, and "max" is for a
      probe alone. ``n_hidden``: the width of a hidden layer of the head, 0 for none.
    - ``encoder_rate``: the learning rate of the encoder's own weights, as a share of the head's; adapters
      learn at the head's.
    - ``lora_rank``, ``lora_alpha``, ``lora_dropout``: of the adapters, whose change counts alpha / rank.
      ``merge_adapters`` adds them to the weights, and writes members as whole models, which every command
      loads.
    - ``window``: residues of the overlapping windows by which a longer sequence is embedded or predicted; 0
      runs all whole. In training, a sequence longer than ``max_length`` gives a random crop.
    - Without a split, ``test_share`` of the sequences are kept for judging; of what trains,
      ``validation_share`` where no rows are named for it.
    - ``n_folds``: cross-validation; 0 for none. ``n_members``: an ensemble of so many seeds, of each fold; of
      a probe each is fitted to rows drawn anew with replacement.
    - ``coverage``: the share of truths that intervals are to hold. ``n_resamples``: for 95 % intervals of the
      measures.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        **Recipe.OPTIONS,
        "method": "--method",
        "task": "--task",
        "pool": "--pool",
        "lora_rank": "--lora-rank",
        "n_folds": "--folds",
        "n_members": "--members",
        "window": "--window",
    }

    n_steps: int = 1000
    tokens_per_batch: int = 4096
    optimizer: Literal["muon", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: Literal["wsd", "cosine"] = "cosine"
    n_warmup: int = 50
    validate_every: int = 50
    patience: int = 5
    method: FinetuneMethod = "probe"
    task: AskedTask = "auto"
    pool: HeadPool = "mean"
    n_hidden: int = 0
    dropout: float = 0.0
    encoder_rate: float = 0.1
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    merge_adapters: bool = False
    window: int = 0
    test_share: float = 0.2
    validation_share: float = 0.1
    n_folds: int = 0
    n_members: int = 1
    coverage: float = 0.9
    n_resamples: int = 1000

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        check_range(self, {"dropout": (0, 0.9), "lora_dropout": (0, 0.9)})
        opened = dict.fromkeys(("test_share", "validation_share", "coverage"), (0.0, 1.0))
        check_range(self, opened, is_open=True)
        self._check_choices_together()

    def _check_choices_together(self) -> None:
        if self.n_folds == 1:
            remedy = "Give 2 or more, or 0 for none"
            raise OptionError("one fold leaves nothing to train on", where="--folds", remedy=remedy)
        if self.method == "probe" and self.pool == "attention":
            what = "attention that pools is learned, and a probe learns nothing below its head"
            raise OptionError(what, where="--pool", remedy="Give mean, cls or max, or --method lora or full")
        if self.method != "probe" and self.pool == "max":
            what = "max pools vectors for a probe alone"
            raise OptionError(what, where="--pool", remedy="Give mean, cls or attention, or --method probe")
        if self.method != "probe" and self.n_steps < 1:
            raise OptionError("without a step nothing is learned", where="--steps", remedy="Give at least 1")
        if self.method != "lora" and self.merge_adapters:
            what = f"{self.method} trains no adapters that could be merged"
            raise OptionError(
                what, where="--set merge_adapters", remedy="Leave it out, or give --method lora"
            )
        if self.method == "probe" and self.devices * self.n_nodes > 1:
            what = "a probe is fitted on one device"
            raise OptionError(what, where="--devices", remedy="Give 1, or --method lora or full")


def protein_nano() -> PretrainRecipe:
    """The recipe of ``protein-nano``: 1.2 M weights, trained on 20 M tokens of UniRef90 and of UniProt and
    GenBank.

    docs/log.md tells what was tried beside it: AdamW, other learning rates and batches, 15 % masked.
    """
    return PretrainRecipe(
        n_steps=5000,
        tokens_per_batch=4096,
        max_length=512,
        masked_share=0.25,
        optimizer="muon",
        learning_rate=4e-3,
        weight_decay=0.1,
        schedule="wsd",
        n_warmup=100,
        decay_share=0.3,
        seed=0,
        n_held_out=500,
    )


RECIPES = {"protein-nano": protein_nano}
"""The recipes of the models that biofm trained and ships, by the names of the models."""


def find_recipe(name: str) -> PretrainRecipe:
    """The recipe of the model ``name``. Raises OptionError: biofm ships no such recipe."""
    if name not in RECIPES:
        remedy = f"Give {' or '.join(RECIPES)}, or a recipe.toml as --config"
        raise OptionError(f"no such recipe: {name}", where="--recipe", remedy=remedy)
    return RECIPES[name]()
