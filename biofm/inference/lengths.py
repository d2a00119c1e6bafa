"""How long a protein is, and how long a model takes one: without end, or to that of its learned positions."""

from biofm_datasets import Record

from biofm.core.errors import InputError, OptionError
from biofm.nn import EncoderConfig

N_ENDS = 2  # <cls> and <eos>


def check_length(record: Record, n_tokens: int, config: EncoderConfig) -> None:
    """Raises InputError where the model has no positions for the last of ``n_tokens`` tokens."""
    if config.max_length is not None and n_tokens > config.max_length:
        longest = config.max_length - N_ENDS
        raise InputError(
            f"{n_tokens - N_ENDS:,} residues, and the model has learned positions for {longest:,}",
            where=record.where,
            remedy=f"Give --window {longest}",
        )


def check_window(window: int | None, config: EncoderConfig) -> None:
    """Raises OptionError where the model has no positions for a window of so many residues."""
    if window is not None and config.max_length is not None and window > config.max_length - N_ENDS:
        longest = config.max_length - N_ENDS
        what = f"{window} residues are more than the model has learned positions for"
        raise OptionError(what, where="--window", remedy=f"Give at most {longest}")
