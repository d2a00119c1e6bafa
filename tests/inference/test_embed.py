"""Embedding in packed batches gives what a plain loop over single proteins gives."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.core import OptionError
from biofm.core.outputs import EmbeddingBlock
from biofm.inference import BATCHES_PER_CHUNK, Embedder, EmbedOptions

MakeEmbedder = Callable[..., Embedder]
EmbedAll = Callable[..., EmbeddingBlock]
HiddenOf = Callable[..., NDArray[np.float32]]
Records = list[Record]

BUDGETS = [2, 61, 1_000_000]
RUN_WHOLE = "sequences longer than the 40 residues of the model's training, run whole"
# Batches of other sizes are summed in another order; the values are of order 1.
TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}

POOLED_BY_HAND: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": lambda hidden: hidden[1:-1].mean(0, keepdims=True),
    "max": lambda hidden: hidden[1:-1].max(0, keepdims=True),
    "cls": lambda hidden: hidden[:1],
    "none": lambda hidden: hidden[1:-1],
}


@pytest.mark.parametrize("pool", POOLED_BY_HAND)
@pytest.mark.parametrize("tokens_per_batch", BUDGETS)
def test_packing_and_batching_never_change_embeddings(
    pool: str,
    tokens_per_batch: int,
    make_embedder: MakeEmbedder,
    embed_all: EmbedAll,
    hidden_of: HiddenOf,
    proteins: Records,
) -> None:
    embedded = embed_all(make_embedder(pool=pool, tokens_per_batch=tokens_per_batch), proteins)

    alone = [POOLED_BY_HAND[pool](hidden_of(record.sequence)) for record in proteins]
    np.testing.assert_allclose(embedded.values, np.concatenate(alone), **TOLERANCE)


@pytest.mark.parametrize("tokens_per_batch", BUDGETS)
def test_order_and_duplicates_are_kept(
    tokens_per_batch: int, make_embedder: MakeEmbedder, embed_all: EmbedAll, proteins: Records
) -> None:
    embedded = embed_all(make_embedder(tokens_per_batch=tokens_per_batch), proteins)

    assert embedded.ids == [record.id for record in proteins]
    assert embedded.n_residues == [len(record.sequence) for record in proteins]
    assert len(set(embedded.ids)) < len(embedded.ids), "the fixture must hold an id twice"


@pytest.mark.parametrize(("layer", "meant"), [(0, 0), (1, 1), (3, 3), (-1, 3), (-2, 2), (-4, 0)])
def test_a_layer_counts_from_the_token_embeddings_or_back_from_the_last(
    layer: int,
    meant: int,
    make_embedder: MakeEmbedder,
    embed_all: EmbedAll,
    hidden_of: HiddenOf,
    proteins: Records,
) -> None:
    embedder = make_embedder(layer=layer)
    embedded = embed_all(embedder, proteins)

    expected = [hidden_of(record.sequence, meant)[1:-1].mean(0) for record in proteins]
    np.testing.assert_allclose(embedded.values, np.stack(expected), **TOLERANCE)
    assert embedder.layer == meant


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_the_model_lacks_is_an_error_that_names_the_range(
    layer: int, make_embedder: MakeEmbedder
) -> None:
    with pytest.raises(OptionError) as fault:
        make_embedder(layer=layer)
    assert str(fault.value) == (
        f"--layer: the model has no layer {layer}. Give 0 (the token embeddings) to 3, or -1 (the last) to -4"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "median"}, "--pool: no such pooling: median. Give mean, cls, max, none"),
        ({"window": 1}, "--window: 1 is too small. Give at least 2"),
        ({"tokens_per_batch": 0}, "--tokens-per-batch: 0 is too small. Give at least 2"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_to_give(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as fault:
        EmbedOptions(**options)  # type: ignore[arg-type]  # which is the point
    assert str(fault.value) == message


@pytest.mark.parametrize("pool", POOLED_BY_HAND)
@pytest.mark.parametrize("window", [57, 1000])
def test_a_window_that_every_protein_fits_changes_nothing(
    pool: str, window: int, make_embedder: MakeEmbedder, embed_all: EmbedAll, proteins: Records
) -> None:
    whole = embed_all(make_embedder(pool=pool), proteins)
    windowed = embed_all(make_embedder(pool=pool, window=window), proteins)

    np.testing.assert_array_equal(windowed.values, whole.values)


@pytest.mark.parametrize("tokens_per_batch", [25, 1_000_000])
@pytest.mark.parametrize("window", [2, 9, 20])
def test_a_residue_of_a_long_protein_has_the_row_of_a_window_in_whose_middle_it_lies(
    window: int,
    tokens_per_batch: int,
    make_embedder: MakeEmbedder,
    embed_all: EmbedAll,
    hidden_of: HiddenOf,
    proteins: Records,
) -> None:
    embedder = make_embedder(pool="none", window=window, tokens_per_batch=tokens_per_batch)
    rows = iter(embed_all(embedder, proteins).values)

    for record in proteins:
        candidates = rows_by_window(record.sequence, window, hidden_of)
        for place in range(len(record.sequence)):
            row = next(rows)
            assert any(np.allclose(row, other, **TOLERANCE) for other in candidates[place]), (record, place)


def rows_by_window(sequence: str, window: int, hidden_of: HiddenOf) -> dict[int, list[NDArray[np.float32]]]:
    """For each residue its rows in the windows whose middle is nearest; two where it lies between two."""
    last = max(0, len(sequence) - window)
    starts = [*range(0, last, max(1, window // 2)), last]
    hidden = {start: hidden_of(sequence[start : start + window])[1:-1] for start in starts}
    found = {}
    for place in range(len(sequence)):
        distances = {
            start: abs(place - start - (len(rows) - 1) / 2)
            for start, rows in hidden.items()
            if start <= place < start + len(rows)
        }
        nearest = min(distances.values())
        found[place] = [hidden[s][place - s] for s, distance in distances.items() if distance == nearest]
    return found


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_pooling_over_windows_is_pooling_over_the_residues_rows(
    pool: str, make_embedder: MakeEmbedder, embed_all: EmbedAll, proteins: Records
) -> None:
    pooled = embed_all(make_embedder(pool=pool, window=9, tokens_per_batch=50), proteins)
    residues = embed_all(make_embedder(pool="none", window=9, tokens_per_batch=50), proteins)

    of_protein = np.split(residues.values, np.cumsum(residues.n_residues)[:-1])
    expected = [rows.mean(0) if pool == "mean" else rows.max(0) for rows in of_protein]
    np.testing.assert_allclose(pooled.values, np.stack(expected), **TOLERANCE)


def test_cls_of_windows_is_their_mean(
    make_embedder: MakeEmbedder, embed_all: EmbedAll, hidden_of: HiddenOf
) -> None:
    protein = Record(id="p", sequence="MKTAYIAKQRQIS")

    embedded = embed_all(make_embedder(pool="cls", window=6), [protein])

    windows = [protein.sequence[start : start + 6] for start in (0, 3, 6, 7)]
    expected = np.mean([hidden_of(window)[0] for window in windows], axis=0)
    np.testing.assert_allclose(embedded.values[0], expected, **TOLERANCE)


def test_long_proteins_run_whole_with_one_notice(
    make_embedder: MakeEmbedder, embed_all: EmbedAll, hidden_of: HiddenOf
) -> None:
    records = [Record(id=str(n), sequence="MKTAYIAKQR" * 20, number=n) for n in range(3)]
    records.append(Record(id="short", sequence="A" * 40))
    notices: Counter[str] = Counter()

    embedded = embed_all(make_embedder(), records, notices)

    assert notices == {RUN_WHOLE: 3}
    np.testing.assert_allclose(embedded.values[0], hidden_of(records[0].sequence)[1:-1].mean(0), **TOLERANCE)


def test_windows_are_counted_in_place_of_the_notice_of_length(
    make_embedder: MakeEmbedder, embed_all: EmbedAll
) -> None:
    records = [Record(id="long", sequence="A" * 100), Record(id="between", sequence="A" * 45)]
    notices: Counter[str] = Counter()

    embed_all(make_embedder(window=50), records, notices)

    assert notices == {"sequences embedded by overlapping windows of 50 residues": 1, RUN_WHOLE: 1}


def test_residues_that_the_model_does_not_know_are_counted(
    make_embedder: MakeEmbedder, embed_all: EmbedAll
) -> None:
    notices: Counter[str] = Counter()

    embed_all(make_embedder(), [Record(id="a", sequence="MJJT"), Record(id="b", sequence="J")], notices)

    assert notices == {"residues read as <unk>": 3}


def test_records_are_read_one_chunk_ahead_and_no_further(make_embedder: MakeEmbedder) -> None:
    n_read = 0

    def records() -> Iterator[Record]:
        nonlocal n_read
        for n_read in range(1, 201):
            yield Record(id=str(n_read), sequence="MKTAYIAK", number=n_read)

    chunk = BATCHES_PER_CHUNK * 20 // 10  # records of 10 tokens each, in batches of 20
    n_embedded = 0
    embedder = make_embedder(tokens_per_batch=20, layer=0)
    for proteins in embedder.chunks(embedder.tokenise(records(), Counter())):
        n_embedded += len(proteins)
        assert len(proteins) <= chunk
        assert n_read - n_embedded <= 1
    assert n_embedded == 200


def test_no_records_give_no_rows(make_embedder: MakeEmbedder, embed_all: EmbedAll) -> None:
    assert embed_all(make_embedder(), []).values.shape == (0, 16)


@pytest.mark.parametrize("pool", POOLED_BY_HAND)
@pytest.mark.parametrize("tokens_per_batch", BUDGETS)
def test_identical_sequences_are_embedded_once_however_far_apart(
    pool: str, tokens_per_batch: int, make_embedder: MakeEmbedder, proteins: Records
) -> None:
    n_tokens = 0

    def on_batch(n: int, _: int) -> None:
        nonlocal n_tokens
        n_tokens += n

    embedder = make_embedder(pool=pool, tokens_per_batch=tokens_per_batch)
    rows: dict[bytes, NDArray[np.float32]] = {}
    for chunk in embedder.chunks(embedder.tokenise(proteins * 3, Counter())):
        rows |= embedder.embed_new(chunk, rows, on_batch)

    sequences = {record.sequence for record in proteins}
    assert len(rows) == len(sequences) < len(proteins)
    assert n_tokens == sum(len(sequence) + 2 for sequence in sequences)


def test_too_little_memory_of_a_device_is_an_error_that_names_the_ways_out(
    make_embedder: MakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    embedder = make_embedder()
    monkeypatch.setattr(embedder, "encoder", run_out)
    with pytest.raises(OptionError) as fault:
        embedder.embed_all([Record(id="a", sequence="MKT")], Counter())
    assert str(fault.value) == (
        "--tokens-per-batch: the memory of cpu is too small for a batch of 5 tokens."
        " Give fewer tokens; if one protein alone is too long, embed it by windows with --window"
    )
