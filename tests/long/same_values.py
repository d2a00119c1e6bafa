"""Proves that a change of the house changed no value: a table of commands, run by an earlier commit and this.

Every verb of inference, evaluation, prediction and training runs on made-up proteins, with the code of an
earlier commit and with the code of this folder, in the same environment. All numbers and texts of their
outputs are compared, bit for bit. What tells of the run and not of its result is left out: times, versions,
places. Outputs may have gained fields, which are listed. About ten minutes on two cores.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import torch
from safetensors.numpy import load_file
from transformers import EsmcConfig, EsmcForMaskedLM, EsmConfig, EsmForMaskedLM

ROOT = Path(__file__).resolve().parents[2]
EARLIER = "a53074f"
"""The last commit before biofm was opened for other modalities than proteins."""

OF_A_RUN = {
    "seconds", "tokens_per_second", "variants_per_second", "proteins_per_second", "version", "torch_version",
    "biofm", "data", "store", "output", "folder", "run", "predictor", "notices", "mfu", "memory_bytes",
    "labels",
}  # fmt: skip
"""Fields that tell of the run or of a place, and sentences: they may differ."""

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
MOST_SECONDS = 600  # of one command
INPUTS = "in"
"""How the folder of the inputs is called in the folder of a case."""


class Case(NamedTuple):
    """Commands, a line each, one after the other in a folder of their own, and the files there that are
    compared. What the last one prints as JSON is compared where ``prints`` says so.
    """

    commands: str
    files: tuple[str, ...] = ()
    prints: bool = False


WORDS = {
    "SMALL": "--dtype float32 --tokens-per-batch 1500",
    "STEPS": "--tokens-per-batch 600 --warmup 2 --dtype float32 --max-length 128 --held-out 6 --steps 12",
    "TABLE": "finetune in/table.csv --column sequence -o out --seed 3 --dtype float32 --set n_resamples=50",
    "TUNED": "--steps 6 --tokens-per-batch 600 --set validate_every=3 --set n_warmup=1",
    "PREDICT": "predict in/proteins.fasta -p out -o out.csv --dtype float32 --tokens-per-batch 1500",
}
"""What several commands have in common."""

TRAINED = ("out/model/model.safetensors", "out/evaluation.json", "out/metrics.csv")
TAUGHT = ("out/predictions.csv", "out/evaluation.json", "out.csv")
CASES = (
    Case("embed in/proteins.fasta -o out.h5ad SMALL", ("out.h5ad",)),
    Case("embed in/proteins.fasta -o out.parquet --pool none SMALL", ("out.parquet",)),
    Case("embed in/proteins.fasta -o out.npz --pool cls", ("out.npz",)),
    Case("embed in/proteins.fasta -o out.safetensors --pool max --layer 0 SMALL", ("out.safetensors",)),
    Case("embed in/proteins.fasta -o out.csv --window 50 SMALL", ("out.csv",)),
    Case("embed in/proteins.fasta -o out.npz --window 31 --pool none SMALL", ("out.npz",)),
    Case("embed in/proteins.fasta -o out.npz --layer 2 --dtype bfloat16", ("out.npz",)),
    Case("embed in/table.csv -o out.npz --column sequence --id-column name SMALL", ("out.npz",)),
    Case("embed in/alignment.a3m -o out.npz SMALL", ("out.npz",)),
    Case("embed in/alignment.a3m -o out.npz --gaps keep SMALL", ("out.npz",)),
    Case("embed in/faulty.fasta -o out.npz --on-error skip SMALL", ("out.npz",)),
    Case("embed in/proteins.fasta -o out.npz -m in/esm2 SMALL", ("out.npz",)),
    Case("embed in/proteins.fasta -o out.npz -m in/esm1b --window 60 SMALL", ("out.npz",)),
    Case("embed in/proteins.fasta -o out.npz -m in/esmc SMALL", ("out.npz",)),
    Case(
        """embed in/proteins.fasta -o out.npz --shard 1/2 SMALL
        embed in/proteins.fasta -o out.npz --shard 2/2 SMALL
        merge out.npz.shard-1-of-2 out.npz.shard-2-of-2 -o out.npz""",
        ("out.npz",),
    ),
    Case(
        """embed in/proteins.fasta -o out.h5ad SMALL
        neighbours out.h5ad --top 3 --json""",
        prints=True,
    ),
    Case("score in/variants.csv -w in/one.fasta -o out.csv SMALL", ("out.csv",)),
    Case(
        "score in/shifted.csv -w in/one.fasta -o out.csv --method wt-marginals --offset 23 SMALL",
        ("out.csv",),
    ),
    Case("score in/indels.csv -w in/one.fasta -o out.csv SMALL", ("out.csv",)),
    Case(
        "score --all-singles -w in/one.fasta -o out.parquet -m protein-nano -m in/esm2 SMALL",
        ("out.parquet",),
    ),
    Case("perplexity in/few.fasta -o out.csv SMALL", ("out.csv",)),
    Case("perplexity in/proteins.fasta -o out.parquet --method single-pass SMALL", ("out.parquet",)),
    Case("contacts in/few.fasta -m in/esm2 -o out.npz SMALL", ("out.npz",)),
    Case("contacts in/few.fasta -m in/esm2 -o out.csv SMALL", ("out.csv",)),
    Case(
        "evaluate in/variants.csv --measured-column y --score-column z --wild-type in/one.fasta -o out.json",
        ("out.json",),
    ),
    Case(
        """data prepare in/proteins.fasta in/few.fasta -o out --split identity --split-tool kmer --test 0.2
        data describe out --json""",
        ("out/tokens.safetensors", "out/offsets.safetensors", "out/ids.safetensors", "out/split.safetensors"),
        prints=True,
    ),
    Case("data describe in/proteins.fasta --json", prints=True),
    Case("pretrain in/proteins.fasta -o out STEPS", TRAINED),
    Case(
        """pretrain in/proteins.fasta -o out --objective causal STEPS
        embed in/proteins.fasta -m out/model -o out.npz SMALL""",
        (*TRAINED, "out.npz"),
    ),
    Case("pretrain in/proteins.fasta -o out --start-from protein-nano STEPS", TRAINED),
    Case("TABLE --target y\nPREDICT", TAUGHT),
    Case("TABLE --target kind\nPREDICT --window 40", TAUGHT),
    Case("TABLE --target y --method lora TUNED\nPREDICT", TAUGHT),
    Case("TABLE --target structure --task per-residue --method full TUNED\nPREDICT", TAUGHT),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--earlier", default=EARLIER, help="the commit to compare with [default: %(default)s]"
    )
    parser.add_argument("--only", default="", help="cases whose name holds these words")
    wanted = parser.parse_args()
    with TemporaryDirectory(prefix="biofm-values-") as name:
        top = Path(name)
        earlier = unpack(wanted.earlier, top / "earlier")
        write_inputs(top / "inputs")
        print("| commands | compared | differing | gained |", "|---|---|---|---|", sep="\n", flush=True)
        found = [compare(case, earlier, top) for case in CASES if wanted.only in case.commands]
    print(f"{sum(found)} of {len(found)} cases give the same values")
    return 0 if all(found) else 1


def unpack(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    return folder


def compare(case: Case, earlier: Path, top: Path) -> bool:
    """Run a case by both, and print its row; whether all values are the same."""
    found: list[dict[str, Any]] = []
    for tree in (earlier, ROOT):
        folder = top / "case"
        folder.mkdir()
        (folder / INPUTS).symlink_to(top / "inputs")
        (folder / "printed.json").write_text(run(case, tree, folder, top))
        names = (*case.files, *(["printed.json"] if case.prints else []))
        found.append({place: value for name in names for place, value in values(folder, name)})
        shutil.rmtree(folder)
    then, now = found
    differing = [name for name, value in then.items() if now.get(name) != value]
    gained = [name for name in now if name not in then]
    name = "; ".join(line.strip() for line in case.commands.splitlines())
    print(f"| `{name}` | {len(then)} | {shortened(differing)} | {shortened(gained)} |", flush=True)
    return bool(then) and not differing


def shortened(names: list[str]) -> str:
    more = f", and {len(names) - 9} more" if len(names) > 9 else ""
    return f"{', '.join(names[:9])}{more}" or "none"


def run(case: Case, tree: Path, folder: Path, top: Path) -> str:
    """What the last command prints. Ends this program where one does not end well."""
    names = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    names["PYTHONPATH"] = os.pathsep.join(str(tree / root) for root in (".", "kernels", "datasets"))
    names["XDG_STATE_HOME"] = str(top / "state")
    said = ""
    for line in case.commands.splitlines():
        words = shlex.split(" ".join(WORDS.get(word, word) for word in line.split()))
        command = [sys.executable, str(tree / "cli.py"), *words, "--quiet"]
        done = subprocess.run(
            command, cwd=folder, env=names, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
        )
        if done.returncode:
            sys.exit(f"{line}, by {tree}: {done.stderr[-2000:]}")
        said = done.stdout
    return said


def values(folder: Path, name: str) -> Iterator[tuple[str, Any]]:
    """Every value of a file, by its place there: of numbers their dtype, shape and bytes."""
    path = folder / name
    for place, value in READERS[path.suffix](path):
        if OF_A_RUN.isdisjoint(place.split("/")):
            yield f"{name}: {place}", plain(value)


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.tobytes()
    return value.tolist() if isinstance(value, np.ndarray) else value


def of_mapping(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """What is no mapping and no list, by its place."""
    items: Mapping[Any, Any] | None = value if isinstance(value, Mapping) else None
    if isinstance(value, list):
        items = dict(enumerate(value))
    if items is None:
        yield place.lstrip("/"), repr(value)
        return
    for name, one in items.items():
        yield from of_mapping(one, f"{place}/{name}")


def of_json(path: Path) -> Iterator[tuple[str, Any]]:
    return of_mapping(json.loads(path.read_text()))


def of_table(table: pyarrow.Table) -> Iterator[tuple[str, Any]]:
    for name in table.column_names:
        column = table[name].combine_chunks()
        yield name, [repr(value) for value in column.to_pylist()]


def of_h5ad(path: Path) -> Iterator[tuple[str, Any]]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, it: found.update({name: it[()]}) if isinstance(it, h5py.Dataset) else None
        )
    return iter(found.items())


def of_npz(path: Path) -> Iterator[tuple[str, Any]]:
    with np.load(path) as file:
        for name in file:
            if name == "provenance":
                yield from of_mapping(json.loads(str(file[name])), name)
            else:
                yield name, file[name]


READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".json": of_json,
    ".csv": lambda path: of_table(pyarrow.csv.read_csv(path)),
    ".parquet": lambda path: of_table(pyarrow.parquet.read_table(path)),
    ".h5ad": of_h5ad,
    ".npz": of_npz,
    ".safetensors": lambda path: iter(load_file(path).items()),
}


def write_inputs(folder: Path) -> None:
    """Made-up proteins, some of them twice or long, tables of them, and random models of three families."""
    folder.mkdir()
    generator = random.Random(5)
    proteins = ["".join(generator.choices(LETTERS, k=generator.randint(20, 90))) for _ in range(60)]
    proteins += [proteins[3], proteins[5] + "X", "".join(generator.choices(LETTERS, k=700))]
    few, one = proteins[:8], proteins[0]
    write_fasta(folder / "proteins.fasta", proteins)
    write_fasta(folder / "few.fasta", few)
    write_fasta(folder / "one.fasta", [one])
    write_fasta(folder / "faulty.fasta", [*few, "MK1?", "", "MKV"])
    write_fasta(folder / "alignment.a3m", [one[:9] + "--" + "ab" + one[11:], one[:5] + "---" + one[8:]])
    names = ("name", "sequence", "y", "kind", "structure")
    write_table(
        folder / "table.csv", names, [labelled(i, it, generator) for i, it in enumerate(proteins[:60])]
    )
    changed = [(i, generator.choice(LETTERS.replace(one[i], ""))) for i in range(18) for _ in range(2)]
    texts = [f"{one[i]}{i + 1}{new}" for i, new in changed]
    rows = [(text, generator.random(), generator.random()) for text in dict.fromkeys(texts)]
    write_table(folder / "variants.csv", ("mutant", "y", "z"), rows)
    shifted = dict.fromkeys(f"{one[i]}{i + 24}{new}" for i, new in changed)
    write_table(folder / "shifted.csv", ("mutant",), [(text,) for text in shifted])
    indels = [f"p.{one[4]}5del", f"p.{one[4]}5_{one[6]}7del"]
    write_table(folder / "indels.csv", ("hgvs_pro",), [(text,) for text in indels])
    write_models(folder)


def labelled(number: int, sequence: str, generator: random.Random) -> tuple[Any, ...]:
    """A row of the table: name, sequence, and what follows from it: a number, a class, a letter a residue."""
    share = sum(letter in "AFILMVW" for letter in sequence) / len(sequence)
    letters = "".join(
        "H" if letter in "AEKLMQR" else "E" if letter in "CFITVWY" else "C" for letter in sequence
    )
    return f"n{number}", sequence, share + generator.gauss(0, 0.05), "ab"[share > 0.35], letters


def write_fasta(path: Path, sequences: list[str]) -> None:
    path.write_text("".join(f">p{i}\n{sequence}\n" for i, sequence in enumerate(sequences)))


def write_table(path: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_models(folder: Path) -> None:
    torch.manual_seed(5)
    shape = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    common = {
        "vocab_size": 33,
        "mask_token_id": 32,
        "pad_token_id": 1,
        "max_position_embeddings": 1026,
        **shape,
    }
    for name, position in (("esm2", "rotary"), ("esm1b", "absolute")):
        options: dict[str, Any] = {"position_embedding_type": position, "token_dropout": True, **common}
        EsmForMaskedLM(EsmConfig(emb_layer_norm_before=name == "esm1b", **options)).save_pretrained(
            folder / name
        )
    EsmcForMaskedLM(EsmcConfig(**shape | {"hidden_size": 128, "num_attention_heads": 2})).save_pretrained(
        folder / "esmc"
    )


if __name__ == "__main__":
    sys.exit(main())
