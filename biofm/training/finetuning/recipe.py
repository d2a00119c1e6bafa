"""How to fine-tune."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from biofm.core.configuration import check_range
from biofm.core.errors import OptionError
from biofm.training.recipe import Recipe


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
    method: Literal["probe", "lora", "full"] = "probe"
    task: Literal["auto", "regression", "classification", "multi-label", "per-residue"] = "auto"
    pool: Literal["mean", "cls", "max", "attention"] = "mean"
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
