"""What is run for many variants, and what is left of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import torch
from biofm_datasets import Record
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.inference import Compute, Query, QueryRunner
from biofm.inference.runs import Intake
from biofm.inference.scoring import (
    ScoreOptions,
    Scorer,
    ScoringModel,
    Variant,
    cases_of_values,
    scan_matrix,
)
from biofm.inference.scoring.scan import cases_of_scan
from biofm.inference.scoring.scorer import Need
from biofm.inference.scoring.scoring_model import window_start
from biofm.modalities import ProteinTokenizer
from biofm.models import esm2
from biofm.nn import MaskedLM, initialise

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"
TOKENIZER = ProteinTokenizer()
CPU = Compute(torch.device("cpu"), torch.float32, "as asked")


class CountingRunner(QueryRunner):
    """Remembers what it was asked."""

    asked: list[Query]

    def predict(
        self, queries: Iterable[Query], on_run: Callable[[int], None] = no_progress
    ) -> Iterator[NDArray[np.float32]]:
        queries = list(queries)
        self.asked = [*getattr(self, "asked", []), *queries]
        return super().predict(queries, on_run)


def runner(seed: int = 1) -> CountingRunner:
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=seed)
    return CountingRunner(module.eval(), TOKENIZER.mask, CPU)


@pytest.fixture
def counting() -> CountingRunner:
    return runner()


def score(model: ScoringModel, method: str, variants: list[str]) -> NDArray[np.float32]:
    scorer = Scorer([model], method)  # type: ignore[arg-type]
    return scorer.read_and_score(
        cases_of_values(PROTEIN, variants, TOKENIZER.modality, ScoreOptions(), Counter())
    )


def test_a_place_is_run_once_however_many_variants_share_it(counting: CountingRunner) -> None:
    model = ScoringModel(counting, TOKENIZER, 1024)
    score(model, "masked-marginals", ["K2R", "K2G", "A4G:K2W", "M1M", "WT", "A4S", "T3S"])
    assert [query.masked.tolist() for query in counting.asked] == [[2], [4], [3]]


def test_one_run_is_enough_for_all_wild_type_marginals(counting: CountingRunner) -> None:
    score(ScoringModel(counting, TOKENIZER, 1024), "wt-marginals", ["K2R", "A4G", "T3S"])
    assert len(counting.asked) == 1


def test_only_the_windows_that_are_needed_are_run(counting: CountingRunner) -> None:
    score(ScoringModel(counting, TOKENIZER, 10), "wt-marginals", ["K2R", "M1G", "Q22A"])
    assert [len(query.tokens) for query in counting.asked] == [10, 10]


def test_indels_share_the_likelihood_of_their_wild_type(counting: CountingRunner) -> None:
    score(ScoringModel(counting, TOKENIZER, 1024), "masked-marginals", ["K2del", "T3del"])
    n = len(PROTEIN)
    assert len(counting.asked) == n + 2 * (n - 1)


def test_models_have_a_column_each() -> None:
    one, other = (ScoringModel(runner(seed), TOKENIZER, 1024, sha256=str(seed)) for seed in (1, 2))
    cases = cases_of_values(PROTEIN, ["K2R", "A4del"], TOKENIZER.modality, ScoreOptions(), Counter())
    both = Scorer([one, other], "masked-marginals").read_and_score(cases)
    assert both.shape == (2, 2)
    for i, model in enumerate((one, other)):
        alone = Scorer([model], "masked-marginals").read_and_score(cases)[:, 0]
        np.testing.assert_allclose(both[:, i], alone, atol=1e-6)
    assert not np.allclose(both[:, 0], both[:, 1])


def test_what_cannot_be_scored_is_nan_among_the_others(counting: CountingRunner) -> None:
    model = ScoringModel(counting, TOKENIZER, 1024)
    found = score(model, "masked-marginals", ["K2*", "K2R", "", "A4G"])[:, 0]
    assert np.isnan(found).tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found[[1, 3]], score(model, "masked-marginals", ["K2R", "A4G"])[:, 0])


def test_models_of_one_weight_file_and_window_answer_once(counting: CountingRunner) -> None:
    same = [ScoringModel(counting, TOKENIZER, 1024, sha256="a") for _ in range(2)]
    scores = Scorer(same, "masked-marginals").read_and_score(
        cases_of_values(PROTEIN, ["K2R"], TOKENIZER.modality, ScoreOptions(), Counter())
    )
    assert len(counting.asked) == 1
    assert scores[0, 0] == scores[0, 1]


def test_the_tokens_of_what_is_needed_are_those_that_are_run(counting: CountingRunner) -> None:
    scorer = Scorer([ScoringModel(counting, TOKENIZER, 12)], "masked-marginals")
    needs: dict[bytes, Need] = {}
    for variant in cases_of_values(
        PROTEIN, ["K2R", "A4G", "T3del"], TOKENIZER.modality, ScoreOptions(), Counter()
    ):
        assert isinstance(variant, Variant)
        needs |= scorer.needs(variant)
    heard: list[int] = []
    scorer.read(needs, heard.append)
    assert sum(heard) == sum(map(scorer.n_tokens, needs.values()))
    assert sum(heard) == sum(len(query.tokens) for query in counting.asked)


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
    assert some.share_behind == 0.75
    assert list(notices.values()) == [1]


def test_the_matrix_of_a_scan_has_the_wild_type_at_0_and_nan_where_nothing_was_scanned() -> None:
    matrix = scan_matrix("AXC", np.arange(1, 39, dtype=np.float32))
    assert matrix.shape == (3, 20)
    assert matrix[0].tolist() == [0, *range(1, 20)]
    assert np.isnan(matrix[1]).all()
    assert matrix[2].tolist() == [20, 0, *range(21, 39)]
