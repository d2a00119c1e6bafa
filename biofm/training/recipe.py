"""How to train."""

from dataclasses import dataclass

from biofm.core.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run besides the data and the model.

    Lengths and budgets in tokens, <cls> and <eos> included.

    ``n_held_out`` proteins of every input file are kept for judging. No step at all judges a model without
    training it.
    """

    n_steps: int
    tokens_per_batch: int = 4096
    max_length: int = 512
    masked_share: float = 0.25
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    n_warmup: int = 100
    n_held_out: int = 500
    seed: int = 0
    checkpoint_every: int = 100
    log_every: int = 10

    def __post_init__(self) -> None:
        for option, value, least in (
            ("--steps", self.n_steps, 0),
            ("--tokens-per-batch", self.tokens_per_batch, 2),
            ("--max-length", self.max_length, 3),
            ("--warmup", self.n_warmup, 0),
            ("--held-out", self.n_held_out, 0),
            ("--seed", self.seed, 0),
            ("--checkpoint-every", self.checkpoint_every, 1),
            ("--log-every", self.log_every, 1),
        ):
            if value < least:
                raise OptionError(f"{value} is too small", where=option, remedy=f"Give at least {least}")
        for option, share in (("--learning-rate", self.learning_rate), ("--masked", self.masked_share)):
            if not 0 < share < 1:
                raise OptionError(
                    f"{share} is not between 0 and 1", where=option, remedy="See the default in --help"
                )
