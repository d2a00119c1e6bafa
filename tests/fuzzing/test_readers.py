"""Every reader of files: what chance once found stays mended, and some hundreds more are refused.

The long form is ``tests/long/fuzz.py``: as many as fit into five minutes, by another seed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from biofm.core import BiofmError
from tests.conftest import ROOT, Completed
from tests.fuzzing.mutations import VALUES, mutate_bytes, mutate_json, mutate_safetensors
from tests.fuzzing.readers import READERS


def with_value(content: bytes, name: str, value: object) -> bytes:
    return json.dumps(json.loads(content) | {name: value}).encode()


# a reader, the file that is bad, how, and what the message must say
FOUND: list[tuple[str, str, Callable[[bytes], bytes], str]] = [
    ("run folder", "run.json", lambda it: it[:8] + b"\x80", "run.json: this file of the run is damaged ("),
    ("run folder", "run.json", lambda it: b'"a"', "it holds no JSON object"),
    ("run folder", "run.json", lambda it: b"[" * 100_000, "nested too deep"),
    ("run folder", "metrics.csv", lambda it: it.replace(b"2.5", b"two"), "metrics.csv: this file of the run"),
    ("run folder", "metrics.csv", lambda it: it.replace(b"\n20,", b"\n,"), "damaged (could not convert"),
    ("run folder", "metrics.csv", lambda it: it.replace(b"tokens,", b"tokens\xff,"), "damaged ("),
    ("run folder", "metrics.csv", lambda it: it.replace(b"tokens,", b"tokes,"), "not those of a log"),
    ("run folder", "metrics.csv", lambda it: it.replace(b"\n20,", b"\n20,,,,,,,,,"), "more or fewer cells"),
    ("adapter", "members/seed-0/adapter_config.json", lambda it: with_value(it, "r", 0), "a rank of 0"),
    ("adapter", "members/seed-0/adapter_config.json", lambda it: with_value(it, "r", 1e400), "a rank of inf"),
    ("predictor", "predictor.json", lambda it: with_value(it, "members", []), "it has no members"),
    ("predictor", "predictor.json", lambda it: with_value(it, "window", "9"), "window is '9', not int"),
    ("predictor", "predictor.json", lambda it: with_value(it, "spreads", [True]), "spreads[0] is True, not"),
    ("store", "store.json", lambda it: with_value(it, "notices", "a"), "notices is 'a', not dict"),
    ("store", "store.json", lambda it: with_value(it, "colour", 1), "has the unknown entry 'colour'"),
    ("assay parquet", "t.parquet", lambda it: it.replace(b"M1A", b"M1\x80"), "cannot be read ("),
]


@pytest.mark.parametrize(("reader", "name", "change", "what"), FOUND)
def test_a_bad_file_that_was_a_traceback_is_a_clear_fault(
    reader: str, name: str, change: Callable[[bytes], bytes], what: str, tmp_path: Path
) -> None:
    one = READERS[reader]
    one.make(tmp_path)
    content = (tmp_path / name).read_bytes()
    assert change(content) != content
    (tmp_path / name).write_bytes(change(content))
    with pytest.raises(BiofmError) as caught:
        one.read(tmp_path)
    assert what in str(caught.value)


@pytest.mark.parametrize("mutation", [mutate_bytes, mutate_json, mutate_safetensors])
def test_a_seed_makes_the_same_bad_file(mutation: Callable[[Random, bytes], bytes]) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    content = header if mutation is mutate_json else len(header).to_bytes(8, "little") + header + b"four"
    made = [mutation(Random(seed), content) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert len(VALUES) > 20


@pytest.mark.slow
def test_many_bad_files_give_nothing_but_clear_faults(python_run: Callable[..., Completed]) -> None:
    done = python_run(str(ROOT / "tests" / "long" / "fuzz.py"), "--inputs", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults of 0 kinds" in done.stdout
