"""Every error that docs/troubleshooting.md quotes is what biofm says.

Below a heading of the page stands a block with the message; ``...`` in it is any text, such as a part that
depends on the machine. Each message is provoked here. With ``BIOFM_SAVE_OUTPUT=1`` a message that is no
longer true is replaced in the page.
"""

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import biofm
from biofm.models import Checkpoint, esm1, write_checkpoint
from biofm.nn import MaskedLM
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
ENTRY = re.compile(r"^### (?P<heading>.+)\n\n```text\nbiofm: (?P<message>.+)\n```$", re.MULTILINE)
PROTEIN = "MSDKIIHLTDDSFDTDVLKADGAILVDFWAEWCGPCKMIAPILDEIADEYQ"


def write(name: str, text: str) -> str:
    """Write a file of the test and return its name."""
    Path(name).write_text(text, encoding="utf-8")
    return name


def proteins() -> str:
    """Write a FASTA file of three proteins."""
    return write("proteins.fasta", f">a\n{PROTEIN}\n>b\n{PROTEIN[5:]}\n>c\n{PROTEIN[9:]}\n")


def wild_type() -> str:
    """Write a FASTA file of one protein."""
    return write("wild-type.fasta", f">thioredoxin\n{PROTEIN}\n")


def unknown_model() -> None:
    biofm.embed(proteins(), "out.h5ad", model="esm2-8")


def hub_out_of_reach() -> None:
    biofm.embed(proteins(), "out.h5ad", model="esm2-8m")


def table_without_column() -> None:
    biofm.embed(write("assay.csv", f"name,seq\na,{PROTEIN}\n"), "out.h5ad")


def no_such_column() -> None:
    biofm.embed(write("assay.csv", f"name,seq\na,{PROTEIN}\n"), "out.h5ad", column="sequence")


def ragged_table() -> None:
    biofm.embed(write("assay.csv", f"id,sequence\na,{PROTEIN},1.5\n"), "out.h5ad", column="sequence")


def no_fasta() -> None:
    biofm.embed(write("proteins.fasta", f"{PROTEIN}\n>a\n{PROTEIN}\n"), "out.h5ad")


def strange_character() -> None:
    biofm.embed(write("proteins.fasta", ">a\nMSDK1IHLT\n"), "out.h5ad")


def looks_like_dna() -> None:
    biofm.embed(write("genes.fasta", f">gene\n{'ATGGCC' * 20}\n"), "out.h5ad")


def truncated_gzip() -> None:
    whole = gzip.compress(Path(proteins()).read_bytes())
    Path("proteins.fasta.gz").write_bytes(whole[:-20])
    biofm.embed("proteins.fasta.gz", "out.h5ad")


def output_exists() -> None:
    biofm.embed(proteins(), write("out.h5ad", ""))


def unknown_suffix() -> None:
    biofm.embed(proteins(), "out.txt")


def no_folder() -> None:
    biofm.embed(proteins(), "results/out.h5ad")


def too_long_for_learned_positions() -> None:
    config = esm1.config(d_model=8, n_layers=1, n_heads=1, embedding_norm=True)
    checkpoint = Checkpoint("ESM-1b/1v", MaskedLM(config), esm1.tokenizer())
    Path("esm1b").mkdir()
    for name, content in write_checkpoint(checkpoint).items():
        (Path("esm1b") / name).write_bytes(content)
    biofm.embed(write("titin.fasta", f">titin\n{PROTEIN * 40}\n"), "out.h5ad", model="esm1b/")


def no_contact_head() -> None:
    biofm.contacts(proteins(), "contacts.npz", model="protein-nano")


def other_wild_type() -> None:
    table = write("variants.csv", "mutant\nD10A\nA27G\n")
    biofm.score(table, "scores.csv", wild_type=wild_type())


def unreadable_variant() -> None:
    table = write("variants.csv", "mutant\nAsp10 to Ala\n")
    biofm.score(table, "scores.csv", wild_type=wild_type())


def missing_shard() -> None:
    biofm.embed(proteins(), "all.h5ad", shard="1/2")
    biofm.merge(["all.h5ad.shard-1-of-2"], "all.h5ad")


def not_h5ad() -> None:
    biofm.embed(proteins(), "out.npz")
    biofm.neighbours("out.npz")


def folder_of_something_else() -> None:
    Path("run").mkdir()
    write("run/notes.txt", "mine")
    table = write("assay.csv", f"sequence,fitness\n{PROTEIN},1\n{PROTEIN[1:]},2\n")
    biofm.finetune(table, "run", column="sequence", target="fitness")


def folder_of_an_unfinished_run() -> None:
    Path("run").mkdir()
    write("run/recipe.toml", "n_steps = 100\n")  # as a killed run leaves it
    table = write("assay.csv", f"sequence,fitness\n{PROTEIN},1\n{PROTEIN[1:]},2\n")
    biofm.finetune(table, "run", column="sequence", target="fitness")


def nothing_held_out() -> None:
    biofm.prepare(proteins(), "store", split="random")


def float16_training() -> None:
    biofm.pretrain(proteins(), "run", n_steps=1, dtype="float16")


def uneven_batches() -> None:
    biofm.pretrain(proteins(), "run", n_steps=1, devices=2, batches_per_step=3, n_held_out=1)


def misspelt_setting() -> None:
    biofm.pretrain(proteins(), "run", sets=["learning_rat=0.1"])


PROVOKED: dict[str, Callable[[], None]] = {
    "The model has no such name": unknown_model,
    "The hub cannot be reached": hub_out_of_reach,
    "The table has several columns": table_without_column,
    "The column does not exist": no_such_column,
    "A row of a table is too long": ragged_table,
    "The file is no FASTA": no_fasta,
    "A sequence holds a digit": strange_character,
    "The sequences are DNA": looks_like_dna,
    "A gzipped file is incomplete": truncated_gzip,
    "The output exists": output_exists,
    "The suffix of the output is unknown": unknown_suffix,
    "The folder of the output does not exist": no_folder,
    "A protein is too long": too_long_for_learned_positions,
    "The model has no contact head": no_contact_head,
    "A variant does not fit its wild type": other_wild_type,
    "A variant cannot be read": unreadable_variant,
    "A shard is missing": missing_shard,
    "Embeddings are in another format": not_h5ad,
    "The folder of a run holds other files": folder_of_something_else,
    "A run lies there already": folder_of_an_unfinished_run,
    "Nothing is held out": nothing_held_out,
    "float16 in training": float16_training,
    "Batches cannot be shared out": uneven_batches,
    "A setting is misspelt": misspelt_setting,
}


def entries() -> dict[str, str]:
    """Return the messages of the page by their headings."""
    return {match["heading"]: match["message"] for match in ENTRY.finditer(PAGE.read_text(encoding="utf-8"))}


def test_every_error_of_the_page_is_provoked() -> None:
    assert list(entries()) == list(PROVOKED)


@pytest.mark.parametrize("heading", PROVOKED)
def test_an_error_of_the_page_is_what_biofm_says(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    with pytest.raises(biofm.BiofmError) as raised:
        PROVOKED[heading]()
    message, said = str(raised.value).replace(f"{tmp_path}/", ""), entries().get(heading, "")
    if re.fullmatch(re.escape(said).replace(r"\.\.\.", ".*"), message):
        return
    if not os.environ.get("BIOFM_SAVE_OUTPUT"):
        pytest.fail(f"the page says\n{said}\nand biofm\n{message}")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(f"biofm: {said}\n", f"biofm: {message}\n"), encoding="utf-8")
