"""The readers and the split on real files."""

from collections import Counter
from pathlib import Path

import numpy as np
from biofm_datasets import Record, clean_protein, read_sequences
from biofm_datasets.splits import split_by_identity


def read_file(path: Path, column: str | None = None) -> list[Record]:
    with path.open("rb") as stream:
        return list(read_sequences(stream, path.name, column=column))


def test_the_uniref90_sample_is_read_whole(real_data: Path) -> None:
    records = read_file(real_data / "protein" / "uniref90_10k.fasta.gz")
    lengths = [len(record.sequence) for record in records]
    assert (len(records), sum(lengths), max(lengths)) == (10_000, 3_353_645, 8001)
    assert np.median(lengths) == 277.5
    assert all(record.id.startswith("UniRef90_") for record in records)


def test_the_corpus_is_read_whole_and_is_in_order_already(real_data: Path) -> None:
    notices: Counter[str] = Counter()
    records = read_file(real_data / "protein" / "corpus_uniprot_genbank.fasta.gz")
    assert len(records) == 62_677
    assert sum(len(record.sequence) for record in records) == 21_746_267
    assert records[-1].number == 62_677
    assert all(clean_protein(record, notices) is record for record in records)
    assert not notices


def test_an_alignment_becomes_its_sequences(real_data: Path) -> None:
    """The numbers are those of the lines: ``grep -v '^[;>]' FILE | tr -cd A-Za-z | wc -c`` gives 425,824."""
    notices: Counter[str] = Counter()
    path = real_data / "protein" / "1a00_A_uniref90.a3m"
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in ";>"]
    clean = [clean_protein(record, notices) for record in read_file(path)]
    assert "".join(record.sequence for record in clean) == "".join(lines).replace("-", "").upper()
    assert (len(clean), sum(len(record.sequence) for record in clean)) == (3391, 425_824)
    assert notices == {
        "sequences whose alignment gaps (- and .) were dropped": 3177,
        "sequences of an .a3m with insert states (lower case), kept as residues in upper case": 2350,
    }


def test_a_real_table_is_read(real_data: Path) -> None:
    path = real_data / "protein" / "proteingym" / "DMS_substitutions.csv"
    records = read_file(path, column="target_seq")
    assert len(records) == 217
    assert all(clean_protein(record, Counter()) is record for record in records)


def test_a_real_parquet_file_is_read(real_data: Path) -> None:
    records = read_file(real_data / "protein" / "pdb_secondary_structure_2000.parquet", column="Sequence")
    assert len(records) == 2000
    assert all(clean_protein(record, Counter()).sequence for record in records)


def test_relatives_of_haemoglobin_are_removed(real_data: Path) -> None:
    """The alignment of the file itself, which another program made, says who is a relative."""
    rows = read_file(real_data / "protein" / "1a00_A_uniref90.a3m")
    columns = [[letter for letter in row.sequence if not letter.islower()] for row in rows]
    sequences = [row.sequence.replace("-", "").upper() for row in rows]
    groups = ["haemoglobin"] + ["others"] * (len(rows) - 1)
    split = split_by_identity(sequences, groups, n_held_out={"haemoglobin": 1})
    relatives = {i for i in range(1, len(rows)) if is_relative(columns[0], columns[i])}
    missed = relatives & set(split.train.tolist())
    assert len(relatives) > 1000
    assert len(missed) <= 0.005 * len(relatives)


def is_relative(query: list[str], other: list[str]) -> bool:
    """At least 30 percent identity over at least half of the query."""
    pairs = [(a, b) for a, b in zip(query, other, strict=True) if b != "-"]
    n_identical = sum(a == b for a, b in pairs)
    return len(pairs) >= 0.5 * len(query) and n_identical >= 0.3 * len(pairs)
