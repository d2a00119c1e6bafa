"""Values of another type than their option's."""

from typing import Any

import numpy as np
import pytest

from biofm.api import Embed, Prepare, Pretrain
from biofm.core import OptionError


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("layer", "1", "--layer: '1' is not a whole number. Give a whole number"),
        ("layer", True, "--layer: True is not a whole number. Give a whole number"),
        ("window", 3.5, "--window: 3.5 is not a whole number. Give a whole number"),
        ("shard", 3, "--shard: 3 is not a word. Give a word"),
        ("overwrite", "no", "--overwrite: 'no' is not true or false. Give true or false"),
        ("output", None, "--output: None is not a path. Give a path"),
        ("pool", ["mean"], "--pool: ['mean'] is not a word. Give a word"),
    ],
)
def test_a_value_of_another_type_is_refused_before_anything_is_done(
    option: str, value: Any, message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Embed(**{"input": "in.fasta", "output": "out.csv", option: value})
    assert str(caught.value) == message


def test_values_of_other_libraries_become_those_of_python() -> None:
    asked = Embed("in.fasta", "out.csv", layer=np.int64(2))  # type: ignore[arg-type]
    assert type(asked.layer) is int
    assert Pretrain("in.fasta", "out", sets="n_steps=3").sets == ("n_steps=3",)
    mixture = Prepare("in.fasta", "out", weights=np.array([1.0, 2.0]))  # type: ignore[arg-type]
    assert mixture.weights == (1.0, 2.0)
    with pytest.raises(OptionError, match="is not a list of words"):
        Pretrain("in.fasta", "out", sets=[3])  # type: ignore[list-item]
