"""Where relatives can be looked for: the searches compare sequences letter by letter, and spell a unit that
has more than one letter as X, by which all sequences would be alike.
"""

from biofm_datasets.splits import SplitOptions
from biofm_datasets.store import Alphabet

from biofm.core.errors import OptionError

BY_RELATIVES = ("identity", "cluster")


def has_letters(alphabet: Alphabet) -> bool:
    """Whether every token that models are judged on is a single letter."""
    scored = (alphabet.tokens[number] for number in alphabet.scored)
    return all(len(token) == 1 and token.isascii() and token.isalpha() for token in scored)


def check_split(split: SplitOptions, alphabet: Alphabet) -> None:
    """Raises OptionError for a split by relatives of sequences in which none can be found."""
    if split.method in BY_RELATIVES and not has_letters(alphabet):
        what = (
            f"{split.method} compares sequences letter by letter, and {alphabet.units} are not single letters"
        )
        raise OptionError(what, where="--split", remedy="Give random, column or group")
