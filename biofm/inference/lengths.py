"""Length limits: how many units a model accepts, and the error for a longer sequence."""

from biofm.core.errors import InputError, OptionError
from biofm.modalities import Item, Tokenizer
from biofm.nn import EncoderConfig


def longest_of(config: EncoderConfig, tokenizer: Tokenizer) -> int | None:
    """The most units that the model's learned positions hold; None where it has no such positions."""
    return None if config.max_length is None else config.max_length - tokenizer.n_special


def check_length(item: Item, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raises InputError where the model has no positions for the last tokens."""
    longest, n_units = longest_of(config, tokenizer), item.n_units
    if longest is not None and n_units > longest:
        units = tokenizer.modality.words.units
        raise InputError(
            f"{n_units:,} {units}, and the model has learned positions for {longest:,}",
            where=item.where,
            remedy=f"Give --window {longest}",
        )


def check_window(window: int | None, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raises OptionError where the model has no positions for a window of so many units."""
    longest = longest_of(config, tokenizer)
    if window is not None and longest is not None and window > longest:
        units = tokenizer.modality.words.units
        what = f"{window} {units} are more than the model has learned positions for"
        raise OptionError(what, where="--window", remedy=f"Give at most {longest}")


def run_whole(trained_length: int, tokenizer: Tokenizer) -> str:
    """The notice of a sequence beyond the tokens of the model's training, which the model takes whole."""
    longest, units = trained_length - tokenizer.n_special, tokenizer.modality.words.units
    return f"sequences longer than the {longest} {units} of the model's training, run whole"
