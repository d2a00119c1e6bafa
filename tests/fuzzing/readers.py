"""Every reader of files, each with good files to begin with and a way to read them as biofm does."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from biofm_datasets.columns import find_numeric_columns
from biofm_datasets.store import open_store
from biofm_datasets.structures import read_chain

from biofm.api import merge, neighbours
from biofm.core import input_errors
from biofm.core.configuration import configure
from biofm.corpus import describe_store
from biofm.evaluation import EvaluateOptions, read_assay
from biofm.evaluation.supervised import LabelOptions, read_labelled
from biofm.inference import Compute, Embedder, EmbedOptions
from biofm.inference.prediction import PredictorFiles, files_of_predictor, open_predictor
from biofm.inference.scoring import ScoreOptions, Sources
from biofm.modalities import PROTEIN, RecordOptions, records_of_file
from biofm.models import files_of, read_checkpoint
from biofm.training import FinetuneRecipe, PretrainRecipe
from biofm.training.folder import begin_run, remember
from biofm.training.log import keep_rows, read_log
from tests.fuzzing import seeds
from tests.fuzzing.mutations import (
    Mutation,
    mutate_bytes,
    mutate_gzip,
    mutate_journal,
    mutate_json,
    mutate_safetensors,
    mutate_zip,
)

CPU = Compute(torch.device("cpu"), torch.float32, "as the test asks")
PLAIN: Sequence[Mutation] = (mutate_bytes,)
JSON: Sequence[Mutation] = (mutate_bytes, mutate_json, mutate_json)
TENSORS: Sequence[Mutation] = (mutate_bytes, mutate_safetensors, mutate_safetensors)
PICKLE: Sequence[Mutation] = (mutate_bytes, mutate_zip, mutate_zip)
JOURNAL: Sequence[Mutation] = (mutate_bytes, mutate_journal, mutate_journal)


@dataclass(frozen=True, slots=True)
class Reader:
    """``make`` writes good files into an empty folder; ``read`` reads a folder such as that one, of whose
    files one of ``mutations`` was made bad.
    """

    name: str
    make: Callable[[Path], None]
    mutations: Mapping[str, Sequence[Mutation]]
    read: Callable[[Path], Any]


def read_sequences_of(name: str, column: str | None = None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        with (folder / name).open("rb") as file:
            options = RecordOptions(column=column, on_error="skip")
            records = records_of_file(file, name, PROTEIN, options, Counter())
            return sum(len(record.sequence) for record in records)

    return read


def read_assay_of(name: str) -> Callable[[Path], Any]:
    options = EvaluateOptions(
        modality=PROTEIN, measured_column="measured", score_columns=("score",), variant_column="mutant"
    )

    def read(folder: Path) -> Any:
        with (folder / name).open("rb") as file, input_errors():
            find_numeric_columns(file, name)
            file.seek(0)
            return read_assay(file, name, options, None, Counter(), skip_faulty=True)

    return read


def read_labels_of(name: str) -> Callable[[Path], Any]:
    options = LabelOptions(targets=("measured",), column="sequence", split_column="part")

    def read(folder: Path) -> Any:
        with (folder / name).open("rb") as file, input_errors():
            return read_labelled(file, name, PROTEIN, options, Counter(), skip_faulty=True)

    return read


def read_variants_of(name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        sources = Sources(variants=folder / name, wild_type=folder / "wild.fasta")
        with ExitStack() as opened:
            files = {role: opened.enter_context(path[0].open("rb")) for role, path in sources.files().items()}
            cases = sources.cases(files.__getitem__, PROTEIN, ScoreOptions(on_error="skip"), Counter())
            with input_errors():
                return sum(len(some.variants) for some in cases)

    return read


def read_model(folder: Path) -> Any:
    """Load it and run a protein through it."""
    with ExitStack() as opened:
        files = {path.name: opened.enter_context(path.open("rb")) for path in files_of(_path_of(folder))}
        checkpoint = read_checkpoint(files, str(folder))
        options = EmbedOptions(tokens_per_batch=64)
        embedder = Embedder(checkpoint.module.encoder.float(), checkpoint.tokenizer, CPU, options)
        return embedder.embed_all(seeds.RECORDS[:1], Counter())


def _path_of(folder: Path) -> Path:
    return next(folder.glob("*.pt*"), folder) if not (folder / "config.json").exists() else folder


def read_predictor(folder: Path) -> Any:
    paths = files_of_predictor(folder)
    with ExitStack() as opened:
        files: dict[str, BinaryIO] = {
            path.relative_to(folder).as_posix(): opened.enter_context(path.open("rb")) for path in paths
        }
        predictor = open_predictor(PredictorFiles(files, str(folder)), seeds.base_model(), CPU)
        proteins = predictor.embedder.tokenise(seeds.RECORDS, Counter())
        return [(part.found, predictor.calibration) for part in predictor.stream(proteins)]


def read_store(folder: Path) -> Any:
    with input_errors():
        store = open_store(folder)
        list(store.tokens), list(store.ids), store.weights
        return describe_store(store, "it", n_sampled=2, seed=0, progress=lambda *_: None)


def read_journals(folder: Path) -> Any:
    return merge(sorted(folder.glob("shard-*")), folder / "out.csv", overwrite=True)


def read_neighbours(folder: Path) -> Any:
    return neighbours(folder / "e.h5ad")


def read_run(folder: Path) -> Any:
    begin_run(folder, seeds.RECIPE)
    remember(folder, {"model": "a"}, {})
    read_log(folder / "metrics.csv")
    keep_rows(folder / "metrics.csv", 20)


def read_recipe(kind: type[Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        with (folder / "recipe.toml").open("rb") as file:
            return configure(kind, file, {})

    return read


def read_structure(name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        with (folder / name).open("rb") as file, input_errors():
            return read_chain(file, name, "A")

    return read


GZIPPED: Sequence[Mutation] = (mutate_bytes, mutate_gzip, mutate_gzip)
MODEL_FOLDER = {"config.json": JSON, "model.safetensors": TENSORS}
PREDICTOR = {
    "predictor.json": JSON,
    "calibration.safetensors": TENSORS,
    "members/seed-0/head.safetensors": TENSORS,
}
ADAPTER = {
    "members/seed-0/adapter_config.json": JSON,
    "members/seed-0/adapter_model.safetensors": TENSORS,
}
STORE = {"store.json": JSON} | dict.fromkeys(seeds.STORE_FILES, TENSORS)
RUN = {"run.json": JSON, "recipe.toml": PLAIN, "metrics.csv": PLAIN}

READERS = {
    reader.name: reader
    for reader in (
        Reader("configuration", seeds.recipe, {"recipe.toml": PLAIN}, read_recipe(PretrainRecipe)),
        Reader("fine-tuning", seeds.finetune_recipe, {"recipe.toml": PLAIN}, read_recipe(FinetuneRecipe)),
        Reader("FASTA", seeds.fasta, {"p.fasta": PLAIN}, read_sequences_of("p.fasta")),
        Reader("FASTA, gzip", seeds.fasta, {"p.fasta.gz": GZIPPED}, read_sequences_of("p.fasta.gz")),
        *(
            Reader(f"{kind} {suffix}", seeds.table, {f"t.{suffix}": PLAIN}, read(f"t.{suffix}"))
            for suffix in ("csv", "tsv", "parquet")
            for kind, read in {
                "sequences": lambda name: read_sequences_of(name, "sequence"),
                "assay": read_assay_of,
                "labels": read_labels_of,
                "variants": read_variants_of,
            }.items()
        ),
        Reader("wild types", seeds.table, {"wild.fasta": PLAIN}, read_variants_of("t.csv")),
        Reader("PDB", seeds.structure, {"s.pdb": PLAIN}, read_structure("s.pdb")),
        Reader("mmCIF", seeds.structure, {"s.cif": PLAIN}, read_structure("s.cif")),
        Reader("PDB, gzip", seeds.structure, {"s.pdb.gz": GZIPPED}, read_structure("s.pdb.gz")),
        Reader("ESM-2 folder", seeds.esm2_folder, MODEL_FOLDER, read_model),
        Reader(
            "ESM-2 shards",
            seeds.esm2_shards,
            {"model.safetensors.index.json": JSON, "model-00001-of-00002.safetensors": TENSORS},
            read_model,
        ),
        Reader("ESM-2 pickle", seeds.esm2_pickle, {"pytorch_model.bin": PICKLE}, read_model),
        Reader("fair-esm", seeds.fair_esm, {"esm.pt": PICKLE}, read_model),
        Reader("ESM C folder", seeds.esmc_folder, MODEL_FOLDER, read_model),
        Reader("ESM C pickle", seeds.esmc_pth, {"esmc.pth": PICKLE}, read_model),
        Reader("our folder", seeds.our_folder, MODEL_FOLDER, read_model),
        Reader("predictor", seeds.predictor, PREDICTOR, read_predictor),
        Reader("adapter", seeds.adapter, ADAPTER, read_predictor),
        Reader("store", seeds.store, STORE, read_store),
        *(
            Reader(name, make, {"shard-0": JOURNAL}, read_journals)
            for name, make in {
                "journal": seeds.journal,
                "journal of residues": seeds.journal_of_residues,
                "journal of scores": seeds.journal_of_scores,
            }.items()
        ),
        Reader("h5ad", seeds.h5ad, {"e.h5ad": PLAIN}, read_neighbours),
        Reader("run folder", seeds.run, RUN, read_run),
    )
}
