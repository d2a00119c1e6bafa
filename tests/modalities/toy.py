"""A modality that nothing in biofm knows: 300 tokens of two letters, each with a number, and no <eos>.

``ab3cd0`` are two units, ``ab`` with the value 3 and ``cd`` with 0. The page "How to add a modality" follows
this file; it is a family too, whose layout is our own.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice, product
from string import ascii_lowercase
from typing import Any

import numpy as np
from biofm_datasets import DataError, Record
from biofm_datasets.protein import Gaps
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.modalities import Modality, Tokenizer, Tokens, Words
from biofm.models.layout import WRONG_SETTINGS, Layout, NewModels
from biofm.models.names import OWN_NAMES
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig, MaskedLM

PAIRS = tuple("".join(pair) for pair in islice(product(ascii_lowercase, repeat=2), 300))
SPECIAL = ("<cls>", "<unk>", "<mask>")
UNIT = re.compile(r"([a-z]{2})([0-9])")


def clean(record: Record, notices: Counter[str], *, gaps: Gaps = "drop") -> Record:
    """Units alone; everything else is a fault."""
    if re.fullmatch(f"(?:{UNIT.pattern})+", record.sequence):
        return record
    raise DataError("these are no pairs with numbers", where=record.where, remedy="Give such as ab3cd0")


class ToyTokenizer(Tokenizer):
    has_values = True

    def __init__(self) -> None:
        scored = range(len(SPECIAL), len(SPECIAL) + len(PAIRS))
        super().__init__(
            "toy",
            (*SPECIAL, *PAIRS),
            before=(0,),
            behind=(),
            scored=scored,
            counted=scored,
            unknown=1,
            mask=2,
        )
        self._number = {token: number for number, token in enumerate(self.vocabulary)}

    @property
    def modality(self) -> Modality:
        return TOY

    def encode(self, sequence: str) -> Tokens:
        numbers = [self._number.get(pair, self.unknown) for pair, _ in UNIT.findall(sequence)]
        return self.frame(np.array(numbers, self.dtype))

    def values(self, sequence: str) -> NDArray[np.float32]:
        return np.array([0, *(float(value) for _, value in UNIT.findall(sequence))], np.float32)

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        return "".join(self.vocabulary[token] for token in tokens)


def units(text: str) -> list[str]:
    return [pair for pair, _ in UNIT.findall(text)]


def codes(text: str) -> NDArray[np.int64]:
    return np.array([PAIRS.index(pair) for pair in units(text)], np.int64)


TOY = Modality(
    name="toy", words=Words("string", "strings", "pair", "pairs", "pairs"), clean=clean,
    refuse_other=lambda record: None, units=units, codes=codes, n_codes=len(PAIRS),
    has_variants=False, tokenizer=ToyTokenizer,
)  # fmt: skip

MODEL_TYPE = "toy"
HUB_IDS: dict[str, str] = {}
WRITTEN = OWN_NAMES


def config(**other: Any) -> EncoderConfig:
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_feedforward": 32, "trained_length": 33}
    vocab_size = len(ToyTokenizer().vocabulary)
    return EncoderConfig(**{"vocab_size": vocab_size, "values": "continuous", **shape, **other})


def _new_config(size: str, trained_length: int, causal: bool) -> EncoderConfig:
    return config(trained_length=trained_length, causal=causal)


NEW: NewModels | None = NewModels(("small",), _new_config)


def owns(settings: Mapping[str, Any]) -> bool:
    return settings.get("model_type") == MODEL_TYPE


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    try:
        return Layout(EncoderConfig(**settings["encoder"]), tensors, OWN_NAMES)
    except (KeyError, *WRONG_SETTINGS) as error:
        raise ModelError(f"no toy ({error})", where=where, remedy="Make it again") from error


def to_settings(model: MaskedLM) -> dict[str, Any]:
    return {"model_type": MODEL_TYPE, "encoder": asdict(model.config)}


def tokenizer() -> Tokenizer:
    return ToyTokenizer()


def tokenizer_files() -> dict[str, bytes]:
    return {}
