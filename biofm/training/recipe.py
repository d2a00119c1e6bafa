"""Recipes: all settings that a training has besides its data and its model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

from biofm.core.choices import AskedTask, FinetuneMethod, HeadPool, ObjectiveName
from biofm.core.configuration import check_bounds, check_choices, check_range
from biofm.core.errors import OptionError

SHARES = {"encoder_rate": (0, 1), "decay_share": (0, 1), "ema_decay": (0, 0.99999)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Holds the settings that pretraining and fine-tuning share.

    Attributes:
        n_steps: Steps of the optimiser.
        tokens_per_batch: Token budget of one batch on one device, special tokens included.
        batches_per_step: Batches of one optimiser step in all processes together. The processes share them,
            so a step sees the same examples for any number of processes.
        max_length: Most tokens of a sequence, special ones included; longer sequences are cropped at random.
        optimizer: "muon" updates the matrices of the blocks by Muon and the other weights by AdamW; "adamw"
            updates all weights by AdamW.
        learning_rate: The highest learning rate of the schedule.
        encoder_rate: The learning rate of the encoder's weights as a share of ``learning_rate``.
        weight_decay: Weight decay of the matrices of the blocks; other weights have none.
        schedule: "wsd" warms up, stays, and falls linearly; "cosine" warms up and falls along half a cosine.
            Both reach 0 one step after the last, so the last step still learns.
        n_warmup: Steps over which the learning rate rises.
        decay_share: Share of the steps, at the end, over which "wsd" lowers the learning rate.
        clip_norm: The largest norm of all gradients together; 0 clips nothing.
        ema_decay: Decay a step of an exponential average of the weights, which is validated and kept instead
            of the weights themselves; 0 averages nothing.
        activation_checkpointing: Whether activations are recomputed, which takes less memory and a third more
            time.
        compile: Whether torch compiles the blocks of the encoder.
        seed: Seed of every random choice.
        validate_every: Steps between validations; 0 never validates.
        patience: Validations in a row without a lower loss after which the run ends; 0 makes all steps.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between rows of the log.
        n_workers: Processes that prepare batches; 0 prepares them in the training process.
        devices: Processes on each machine, each with one device.
        n_nodes: Machines.
        strategy: How several processes train: "ddp" with copies of the model, "fsdp" with its weights spread
            over them; "auto" takes copies if there are several processes.
        wandb: A project at Weights & Biases; "" logs nothing there.
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
            what = f"a patience of {self.patience} has no effect without validations"
            raise OptionError(what, where="--set patience", remedy="Give --set validate_every=N too")
        if self.ema_decay and self.strategy == "fsdp":
            what = "weights that are spread over processes by fsdp cannot be averaged"
            raise OptionError(what, where="--set ema_decay", remedy="Give 0, or --set strategy=ddp")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRecipe(Recipe):
    """Holds the settings of a pretraining, which trains a language model.

    With 0 steps, a run evaluates a model without training it.

    Attributes:
        objective: "masked" predicts hidden residues, "causal" the next residue.
        masked_share: Share of the residues that the model predicts.
        mask_rate: Share of these that are hidden by a mask.
        random_rate: Share of these that are replaced by random residues; the others stay as they are.
        n_held_out: Proteins of every input file that are kept for the evaluation. A store that was prepared
            before has its own parts.
        n_validation: Proteins of every input file that are kept to validate during training.
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
            raise OptionError(what, where="--set mask_rate", remedy="Make one of them smaller")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """Holds the settings of a fine-tuning.

    Attributes:
        n_steps, tokens_per_batch, optimizer, learning_rate, weight_decay: As in ``Recipe``, with other
            defaults. Of the settings of ``Recipe``, a probe uses only the seed.
        schedule, n_warmup, validate_every, patience: As in ``Recipe``, with other defaults.
        method: "probe" fits a linear head to fixed vectors, "lora" trains low-rank adapters in the linear
            layers of the encoder, "full" trains all weights of the encoder.
        task: What the targets are; "auto" finds it from their values.
        pool: How the vectors of residues become one of the sequence. "attention" is learned, so a probe
            cannot use it; "max" is for a probe alone.
        n_hidden: Width of the head's hidden layer; 0 has none.
        dropout: Dropout rate of the head.
        encoder_rate: Learning rate of the encoder's own weights as a share of the head's. Adapters learn at
            the head's rate.
        lora_rank: Rank of the adapters.
        lora_alpha: The adapters' change is multiplied by ``lora_alpha / lora_rank``.
        lora_dropout: Dropout rate of the adapters' inputs.
        merge_adapters: Whether the adapters are added to the weights. Members are then written as whole
            models, which every command loads.
        window: Length in residues of the overlapping windows by which longer sequences are embedded and
            predicted; 0 takes them whole. Training crops at ``max_length`` instead.
        test_share: Share of the sequences kept for the evaluation if the table has no split.
        validation_share: Share of the training sequences kept for validation if the table names none.
        n_folds: Folds of cross-validation; 0 has none.
        n_members: Members of the ensemble, in each fold, with different seeds. If there are several, each
            probe is fitted to rows drawn with replacement.
        coverage: Share of measured values that the intervals should contain.
        n_resamples: Resamples for the 95 % intervals of the measures.
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

    def used(self) -> dict[str, Any]:
        """Return by name the settings that the method uses."""
        unused = set[str]()
        if self.method == "probe":
            unused |= {field.name for field in fields(Recipe)} - {"seed"} | {"n_hidden", "dropout"}
        if self.method != "lora":
            unused |= {"lora_rank", "lora_alpha", "lora_dropout", "merge_adapters"}
        if self.method != "full":
            unused.add("encoder_rate")
        return {name: value for name, value in asdict(self).items() if name not in unused}

    def _check_choices_together(self) -> None:
        if self.n_folds == 1:
            remedy = "Give 2 or more, or 0 for none"
            raise OptionError("one fold leaves nothing to train on", where="--folds", remedy=remedy)
        if self.method == "probe" and self.pool == "attention":
            what = "attention pooling has to be learned, and a probe learns only its head"
            raise OptionError(what, where="--pool", remedy="Give mean, cls or max, or --method lora or full")
        if self.method != "probe" and self.pool == "max":
            what = "only a probe can pool by the maximum"
            raise OptionError(what, where="--pool", remedy="Give mean, cls or attention, or --method probe")
        if self.method != "probe" and self.n_steps < 1:
            raise OptionError("0 steps train nothing", where="--steps", remedy="Give at least 1")
        if self.method != "lora" and self.merge_adapters:
            what = f"{self.method} trains no adapters that could be merged"
            raise OptionError(
                what, where="--set merge_adapters", remedy="Leave it out, or give --method lora"
            )
        if self.method == "probe" and self.devices * self.n_nodes > 1:
            what = "a probe is fitted on one device"
            raise OptionError(what, where="--devices", remedy="Give 1, or --method lora or full")


def protein_nano() -> PretrainRecipe:
    """Return the recipe of ``protein-nano``.

    The model has 1.2 million weights and was trained on 20 million tokens of UniRef90, UniProt and GenBank.
    docs/log.md describes the alternatives that were tried: AdamW, other learning rates and batches, 15 %
    masked.
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
    """Return the recipe of a model that biofm trained.

    Args:
        name: The name of the model, such as "protein-nano".

    Raises:
        OptionError: biofm has no recipe of this name.
    """
    if name not in RECIPES:
        remedy = f"Give {' or '.join(RECIPES)}, or a recipe.toml as --config"
        raise OptionError(f"no such recipe: {name}", where="--recipe", remedy=remedy)
    return RECIPES[name]()
