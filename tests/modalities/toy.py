"""A modality that nothing in biofm knows: 300 tokens of two letters, each with a number, and no <eos>.

``ab3cd0`` are two units, ``ab`` with the value 3 and ``cd`` with 0. A format of its own, ``.toy``, has lines
of an id, a place and the units, with tabs between them; the place travels with the record, and is its group.
The page "How to add a modality" follows this file; it is a family too, whose layout is our own.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any, BinaryIO

import numpy as np
from biofm_datasets import DataError, Record, read_sequences
from biofm_datasets.formats import open_content, suffix_of
from biofm_datasets.protein import Gaps
from biofm_datasets.text import read_lines
from numpy.typing import NDArray

from biofm.core import ModelError
from biofm.modalities import Modality, Tokenizer, Tokens, Words
from biofm.models import Layout, NewModels
from biofm.models.layout import OWN_NAMES, WRONG_SETTINGS
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig, MaskedLM

PAIRS = tuple("".join(pair) for pair in islice(product(ascii_lowercase, repeat=2), 300))
SPECIAL = ("<cls>", "<unk>", "<mask>")
UNIT = re.compile(r"([a-z]{2})([0-9])")
SUFFIX = ".toy"
PLACE = "place"


def read(
    stream: BinaryIO,
    name: str,
    *,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    word: str | None = None,
) -> Iterator[Record]:
    """Of its own format, and of those that proteins come in too."""
    if word is not None or suffix_of(name) != SUFFIX:
        columns = {"column": column, "id_column": id_column, "label_column": label_column}
        yield from read_sequences(stream, name, word=word, **columns)
        return
    if any(it is not None for it in (column, id_column, label_column)):
        raise DataError("a column was chosen, but this is no table", where=name, remedy="Leave it out")
    with open_content(stream, name) as source:
        for number, line in enumerate(read_lines(source, name), start=1):
            cells = line.rstrip("\n").split("\t")
            if len(cells) != 3:
                what, where = f"{len(cells)} cells, not three", f"{name}, line {number}"
                raise DataError(what, where=where, remedy="Write an id, a place and the pairs")
            id_, place, text = cells
            yield Record(id_, text, number=number, source=name, columns={PLACE: place})


def write(records: Iterable[Record], path: Path) -> Path:
    lines = (f"{it.id}\t{place_of(it)}\t{it.sequence}\n" for it in records)
    path.write_text("".join(lines))
    return path


def place_of(record: Record) -> str:
    return str(record.columns.get(PLACE, ""))


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
    name="toy", words=Words("string", "strings", "pair", "pairs", "pair", "pairs"), read=read, clean=clean,
    refuse_other=lambda record: None, units=units, codes=codes, n_codes=len(PAIRS),
    has_variants=False, tokenizer=ToyTokenizer, default_model="toy-nano", formats=(SUFFIX,), group=place_of,
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
