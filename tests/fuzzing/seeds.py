"""Good files of every kind, small enough that thousands of them are read in a minute."""

import gzip
import json
from argparse import Namespace
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
from biofm_datasets import Record
from biofm_datasets.splits import SplitOptions
from pyarrow import csv, parquet
from torch import Tensor

from biofm.api import embed, score
from biofm.core.choices import PoolName
from biofm.core.configuration import to_toml
from biofm.corpus import Reading, open_inputs, write_store
from biofm.inference.prediction import MemberInfo, PredictorInfo, linear_head, write_info
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, NameMap, esm1, esm2, esmc, write_checkpoint
from biofm.models.weights import foreign_state
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.training import FinetuneRecipe, PretrainRecipe
from biofm.training.log import append_row, keep_rows

SEQUENCES = ("MKTAYIAKQRQISFVKSHFSRQ", "MVLSPADKTNVKAAWGKVGA", "GSHMLEDPVDAFKETL", "MKTAYIAKQRQISFVKSHFSRE")
RECORDS = [Record(f"p{i}", one, "", i, "it") for i, one in enumerate(SEQUENCES, start=1)]
RECIPE = PretrainRecipe(n_steps=10)
WIDTH = 16
STORE_FILES = tuple(
    f"{name}.safetensors" for name in ("tokens", "offsets", "ids", "id_offsets", "hashes", "split")
)


def recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_text(to_toml(RECIPE))


def finetune_recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_text(to_toml(FinetuneRecipe()))


def fasta(folder: Path) -> None:
    text = "".join(f">p{i} a protein\n{one[:10]}\n{one[10:]}\n" for i, one in enumerate(SEQUENCES)).encode()
    (folder / "p.fasta").write_bytes(text)
    (folder / "p.fasta.gz").write_bytes(gzip.compress(text, mtime=0))


def table(folder: Path) -> None:
    """A table that has something for every reader, in three formats, and its wild type."""
    wild, n = SEQUENCES[0], 12
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "sequence": [one for one, _ in zip(cycle(SEQUENCES), range(n), strict=False)],
        "mutant": [f"{wild[i]}{i + 1}{'A' if wild[i] != 'A' else 'G'}" for i in range(n)],
        "measured": [0.5 * i for i in range(n)],
        "score": [float(-i % 5) for i in range(n)],
        "part": [("train", "test")[i % 2] for i in range(n)],
    }
    made = pa.table(columns)
    parquet.write_table(made, folder / "t.parquet", row_group_size=5)
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        csv.write_csv(made, folder / f"t.{suffix}", csv.WriteOptions(delimiter=delimiter))
    (folder / "wild.fasta").write_text(f">wild\n{wild}\n")


def structure(folder: Path) -> None:
    """An alpha helix of four residues, in both formats."""
    atoms = [
        (name, residue, number)
        for number, residue in enumerate(("MET", "LYS", "GLY", "ALA"), start=1)
        for name in (("N", "CA", "C", "O") if residue == "GLY" else ("N", "CA", "C", "O", "CB"))
    ]
    lines, rows = [], []
    for serial, (name, residue, number) in enumerate(atoms, start=1):
        x, y, z = 1.5 * number, 0.5 * serial, -0.25 * serial
        lines.append(
            f"ATOM  {serial:5}  {name:<3} {residue} A{number:4}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 10.00"
            f"           {name[0]}"
        )
        rows.append(
            f"ATOM {serial} {name[0]} {name} . {residue} A 1 {number} ? {x} {y} {z} 1.0 10.0 "
            f"{number} {residue} A {name} 1"
        )
    pdb = "\n".join(["HEADER    A HELIX", *lines, "TER", "END", ""]).encode()
    (folder / "s.pdb").write_bytes(pdb)
    (folder / "s.pdb.gz").write_bytes(gzip.compress(pdb, mtime=0))
    names = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id "
        "label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id "
        "auth_comp_id auth_asym_id auth_atom_id pdbx_PDB_model_num"
    )
    head = ["data_S", "#", "loop_", *(f"_atom_site.{name}" for name in names.split())]
    (folder / "s.cif").write_text("\n".join([*head, *rows, "#", ""]))


@cache
def small_model(family: str) -> Checkpoint:
    """A random model of one narrow layer."""
    configs = {
        "ESM-2": esm2.config(d_model=WIDTH, n_layers=1, n_heads=2),
        "ESM-1b/1v": esm1.config(
            d_model=WIDTH, n_layers=1, n_heads=2, embedding_norm=True, n_positions=66
        ),
        "ESM C": esmc.config(d_model=64, n_layers=1, n_heads=1, d_feedforward=32),
        "biofm protein": EncoderConfig(
            vocab_size=len(ProteinTokenizer().vocabulary), d_model=WIDTH, n_layers=1, n_heads=2,
            d_feedforward=24, trained_length=64, feedforward="swiglu",
        ),
    }  # fmt: skip
    module = MaskedLM(configs[family])
    initialise(module, seed=1)
    tokenizer = esmc.tokenizer() if family == "ESM C" else ProteinTokenizer()
    return Checkpoint(family, module.requires_grad_(False).eval(), tokenizer)


def base_model() -> Checkpoint:
    """The model that the predictor stands on."""
    return small_model("biofm protein")


def esm2_folder(folder: Path) -> None:
    _write(folder, write_checkpoint(small_model("ESM-2")))


def esmc_folder(folder: Path) -> None:
    _write(folder, write_checkpoint(small_model("ESM C")))


def our_folder(folder: Path) -> None:
    _write(folder, write_checkpoint(base_model()))


def esm2_shards(folder: Path) -> None:
    esm2_folder(folder)
    whole = folder / "model.safetensors"
    state = safetensors.torch.load_file(whole)
    whole.unlink()
    places: dict[str, str] = {}
    for number in (0, 1):
        shard = f"model-0000{number + 1}-of-00002.safetensors"
        part = dict(list(state.items())[number::2])
        safetensors.torch.save_file(part, folder / shard)
        places |= dict.fromkeys(part, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def esm2_pickle(folder: Path) -> None:
    esm2_folder(folder)
    state = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")


def fair_esm(folder: Path) -> None:
    options = Namespace(
        arch="roberta_large", embed_dim=WIDTH, layers=1, attention_heads=2, ffn_embed_dim=4 * WIDTH,
        max_positions=64, token_dropout=True,
    )  # fmt: skip
    model = small_model("ESM-1b/1v").module
    state = _foreign(model, esm1.FAIR_ESM)
    torch.save({"args": options, "model": state}, folder / "esm.pt")


def esmc_pth(folder: Path) -> None:
    model = MaskedLM(esmc.config(d_model=64, n_layers=1, n_heads=1))
    initialise(model, seed=1)
    torch.save(_foreign(model, esmc.PTH), folder / "esmc.pth")


def predictor(folder: Path) -> None:
    """A probe's head on our model, with intervals."""
    info = PredictorInfo(
        task="regression", targets=("measured",), classes=(), method="probe", pool="mean", window=0,
        model="m", sha256="0" * 64, dtype="float32", members=(MemberInfo(name="seed-0", fold=0),),
        temperatures=(), spreads=(0.0,), n_calibrated=4,
    )  # fmt: skip
    (folder / "predictor.json").write_bytes(write_info(info))
    _tensors(folder / "calibration.safetensors", {"scores.0": torch.arange(4.0)})
    member = folder / "members" / "seed-0"
    member.mkdir(parents=True)
    head = linear_head("regression", np.ones((1, WIDTH), np.float32), np.zeros(1, np.float32))
    _tensors(member / "head.safetensors", head.state())


def adapter(folder: Path) -> None:
    """A predictor of low-rank adapters, in the layout of peft."""
    predictor(folder)
    text = (folder / "predictor.json").read_text().replace('"probe"', '"lora"')
    (folder / "predictor.json").write_text(text)
    member = folder / "members" / "seed-0"
    (member / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 4, "use_rslora": False}))
    place = "base_model.model.blocks.0.attention.out"
    parts = {"lora_A.weight": torch.ones(2, WIDTH), "lora_B.weight": torch.ones(WIDTH, 2)}
    _tensors(member / "adapter_model.safetensors", {f"{place}.{name}": part for name, part in parts.items()})


def store(folder: Path) -> None:
    source = folder / "p.fasta"
    fasta(folder)
    split = SplitOptions(method="random", test=1, seed=1)
    reading = Reading(column=None, id_column=None, on_error="stop", split=split)
    with source.open("rb") as stream:
        write_store(open_inputs([stream], [source]), reading, ProteinTokenizer(), folder, lambda *_: None)
    for path in (source, folder / "p.fasta.gz"):
        path.unlink()


def journal(folder: Path) -> None:
    """Two shards of embeddings."""
    _shards(folder, "mean")


def journal_of_residues(folder: Path) -> None:
    """Write two shards of embeddings with one row for each residue."""
    _shards(folder, "none")


def _shards(folder: Path, pool: PoolName) -> None:
    fasta(folder)
    for number, shard in enumerate(("1/2", "2/2")):
        made = embed(folder / "p.fasta", folder / "out.csv", shard=shard, pool=pool)
        Path(made.output).rename(folder / f"shard-{number}")


def journal_of_scores(folder: Path) -> None:
    """Two shards of scores."""
    table(folder)
    for number, shard in enumerate(("1/2", "2/2")):
        made = score(
            folder / "t.csv", folder / "out.csv", wild_type=folder / "wild.fasta", variant_column="mutant",
            method="wt-marginals", shard=shard,
        )  # fmt: skip
        Path(made.output).rename(folder / f"shard-{number}")


def h5ad(folder: Path) -> None:
    """Embeddings of every protein, as two verbs write and read them."""
    fasta(folder)
    embed(folder / "p.fasta", folder / "e.h5ad")


def run(folder: Path) -> None:
    """Write what lies in a run's folder besides its data and checkpoints."""
    recipe(folder)
    (folder / "run.json").write_text(json.dumps({"model": "a", "environment": {"torch": "2"}}))
    keep_rows(folder / "metrics.csv", 0)
    for step in (10, 20, 30):
        append_row(folder / "metrics.csv", {"step": step, "tokens": 100 * step, "loss": 2.5})


def _foreign(model: MaskedLM, names: NameMap) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in foreign_state(model, names).items()}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _tensors(path: Path, state: dict[str, Tensor]) -> None:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
