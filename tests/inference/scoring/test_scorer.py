"""What is run for many variants, and what is left of it."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.inference import Compute, Predictor, Query
from biofm.inference.intake import Intake
from biofm.inference.scoring import Reader, ScoreOptions, Scorer, scorer
from biofm.inference.scoring.cases import cases_of_values
from biofm.inference.scoring.readings import window_start
from biofm.inference.scoring.scan import cases_of_scan, scan_matrix
from biofm.models import esm2
from biofm.nn import MaskedLM, initialise
from biofm.tokenizers import ProteinTokenizer

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"
TOKENIZER = ProteinTokenizer()
CPU = Compute(torch.device("cpu"), torch.float32, "as asked")


class CountingPredictor(Predictor):
    """Remembers what it was asked."""

    asked: list[Query]

    def predict(self, queries: Iterable[Query]) -> Iterator[NDArray[np.float32]]:
        queries = list(queries)
        self.asked = [*getattr(self, "asked", []), *queries]
        return super().predict(queries)


def predictor(seed: int = 1) -> CountingPredictor:
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=seed)
    return CountingPredictor(module.eval(), TOKENIZER.mask, CPU)


@pytest.fixture
def counting() -> CountingPredictor:
    return predictor()


def score(reader: Reader, method: str, *parts: list[str]) -> list[NDArray[np.float32]]:
    shared = Scorer([reader], method)  # type: ignore[arg-type]
    return [shared.score(cases_of_values(PROTEIN, part, ScoreOptions())) for part in parts]


def test_a_place_is_run_once_however_many_variants_share_it(counting: CountingPredictor) -> None:
    reader = Reader(counting, TOKENIZER, 1024)
    score(reader, "masked-marginals", ["K2R", "K2G", "A4G:K2W", "M1M", "WT"], ["A4S", "K2P"], ["T3S"])
    assert [query.masked.tolist() for query in counting.asked] == [[2], [4], [3]]


def test_one_run_is_enough_for_all_wild_type_marginals(counting: CountingPredictor) -> None:
    score(Reader(counting, TOKENIZER, 1024), "wt-marginals", ["K2R", "A4G"], ["T3S"])
    assert len(counting.asked) == 1


def test_only_the_windows_that_are_needed_are_run(counting: CountingPredictor) -> None:
    score(Reader(counting, TOKENIZER, 10), "wt-marginals", ["K2R", "M1G", "Q22A"])
    assert [len(query.tokens) for query in counting.asked] == [10, 10]


def test_indels_share_the_likelihood_of_their_wild_type(counting: CountingPredictor) -> None:
    score(Reader(counting, TOKENIZER, 1024), "masked-marginals", ["K2del"], ["T3del"])
    n = len(PROTEIN)
    assert len(counting.asked) == n + 2 * (n - 1)


def test_what_was_forgotten_is_run_again_with_the_same_result(
    counting: CountingPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "KEPT_BYTES", 200)  # two places
    reader = Reader(counting, TOKENIZER, 1024)
    first, _, again = score(
        reader, "masked-marginals", ["K2R", "A4G", "T3S", "Y5W"], ["Q22A"], ["K2R", "A4G", "T3S", "Y5W"]
    )
    assert len(counting.asked) > 6
    np.testing.assert_allclose(again, first, atol=1e-6)


def test_models_have_a_column_each() -> None:
    one, other = (Reader(predictor(seed), TOKENIZER, 1024) for seed in (1, 2))
    cases = cases_of_values(PROTEIN, ["K2R", "A4del"], ScoreOptions())
    both = Scorer([one, other], "masked-marginals").score(cases)
    assert both.shape == (2, 2)
    for i, reader in enumerate((one, other)):
        alone = Scorer([reader], "masked-marginals").score(cases)[:, 0]
        np.testing.assert_allclose(both[:, i], alone, atol=1e-6)
    assert not np.allclose(both[:, 0], both[:, 1])


def test_the_share_done_rises_to_one(counting: CountingPredictor) -> None:
    shares: list[float] = []
    tokens: list[int] = []
    cases = cases_of_values(PROTEIN, ["K2R", "A4G", "T3del"], ScoreOptions())
    Scorer([Reader(counting, TOKENIZER, 12)], "masked-marginals").score(
        cases,
        lambda n_tokens, share: (tokens.append(n_tokens), shares.append(share)),  # type: ignore[func-returns-value]
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert sum(tokens) == sum(len(query.tokens) for query in counting.asked)


@pytest.mark.parametrize(("place", "start"), [(0, 0), (5, 0), (6, 1), (10, 5), (16, 11), (17, 12), (21, 12)])
def test_a_window_has_its_place_in_the_middle_as_far_as_the_ends_allow(place: int, start: int) -> None:
    assert window_start(n_residues=22, place=place, window=10) == start


def test_a_scan_has_every_other_residue_at_every_standard_one() -> None:
    import io

    notices: Counter[str] = Counter()
    records = [Record("a", "MXK"), Record("b", "W")]
    (some,) = cases_of_scan(Intake(records, io.BytesIO()), 10, notices)
    assert len(some.variants) == 3 * 19
    assert some.columns["variant"][:2] == ["M11A", "M11C"]
    assert some.columns["variant"][19] == "K13A"
    assert some.columns["protein"][-1] == "b"
    assert some.variants[19].mutated == "MXA"
    assert some.share_read == 0.75
    assert list(notices.values()) == [1]


def test_the_matrix_of_a_scan_has_the_wild_type_at_0_and_nan_where_nothing_was_scanned() -> None:
    matrix = scan_matrix("AXC", np.arange(1, 39, dtype=np.float32))
    assert matrix.shape == (3, 20)
    assert matrix[0].tolist() == [0, *range(1, 20)]
    assert np.isnan(matrix[1]).all()
    assert matrix[2].tolist() == [20, 0, *range(21, 39)]
