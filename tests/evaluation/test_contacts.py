"""A chain found in a protein, and the precision of predicted contacts, against plain loops."""

import numpy as np
import pytest
from biofm_datasets.structures import Chain
from numpy.typing import NDArray

from biofm.core import InputError
from biofm.evaluation import ContactPrecision, contact_precision, contacts_of_chain

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPD"


def walk(n_residues: int) -> NDArray[np.float64]:
    """A compact chain of steps of 3.8 Angstrom."""
    generator = np.random.default_rng(20)
    positions = np.zeros((n_residues, 3))
    for i in range(1, n_residues):
        step = generator.normal(size=3) - 0.15 * positions[i - 1]
        positions[i] = positions[i - 1] + 3.8 * step / np.linalg.norm(step)
    return positions


def chain_of(sequence: str, positions: NDArray[np.float64] | None = None) -> Chain:
    return Chain("s.pdb", "A", sequence, walk(len(sequence)) if positions is None else positions)


def table(found: list[ContactPrecision]) -> dict[tuple[str, str], float | None]:
    return {(one.range, one.at): one.precision for one in found}


def test_residues_touch_below_eight_angstrom() -> None:
    positions = np.array([[0.0, 0, 0], [7.999, 0, 0], [0, 8.0, 0], [0, 0, 30]])
    truth = contacts_of_chain(chain_of("MKTA", positions), "p", "MKTA")
    touch = np.eye(4, dtype=bool)
    touch[0, 1] = touch[1, 0] = True
    np.testing.assert_array_equal(truth.touch, touch)
    assert (truth.places.tolist(), truth.identity, truth.source) == ([0, 1, 2, 3], 1.0, "s.pdb, chain A")


MISSING = {
    "at the beginning": PROTEIN[9:],
    "at the end": PROTEIN[:-12],
    "in the midst": PROTEIN[:20] + PROTEIN[33:],
    "at all three": PROTEIN[5:25] + PROTEIN[30:60],
    "of two loops": PROTEIN[:15] + PROTEIN[20:40] + PROTEIN[46:],
}


@pytest.mark.parametrize("missing", MISSING)
def test_missing_residues_are_left_out(missing: str) -> None:
    shown = MISSING[missing]
    truth = contacts_of_chain(chain_of(shown), "p", PROTEIN)
    assert "".join(PROTEIN[i] for i in truth.places) == shown
    assert truth.identity == 1.0


def test_a_tag_that_the_protein_lacks_is_left_out() -> None:
    truth = contacts_of_chain(chain_of("GSHHHHHH" + PROTEIN), "p", PROTEIN)
    assert truth.places.tolist() == list(range(len(PROTEIN)))
    np.testing.assert_array_equal(truth.touch, contacts_of_chain(_cut(8), "p", PROTEIN).touch)


def _cut(n_first: int) -> Chain:
    return chain_of(PROTEIN, walk(n_first + len(PROTEIN))[n_first:])


def test_a_mutated_residue_keeps_its_place() -> None:
    shown = PROTEIN[:30] + "W" + PROTEIN[31:]
    truth = contacts_of_chain(chain_of(shown), "p", PROTEIN)
    assert truth.places.tolist() == list(range(len(PROTEIN)))
    assert truth.identity == pytest.approx(1 - 1 / len(PROTEIN))


def test_a_residue_without_a_side_chain_helps_to_align_and_is_left_out() -> None:
    positions = walk(len(PROTEIN))
    positions[10] = np.nan
    truth = contacts_of_chain(chain_of(PROTEIN, positions), "p", PROTEIN)
    assert truth.places.tolist() == [*range(10), *range(11, len(PROTEIN))]


@pytest.mark.parametrize("shown", [PROTEIN[::-1], "GAVLIPFMWST", "X" * 30, PROTEIN[:7] + "W" * 20])
def test_another_protein_is_refused_by_both_names(shown: str) -> None:
    with pytest.raises(InputError) as caught:
        contacts_of_chain(chain_of(shown), "sp|P1|X", PROTEIN)
    assert caught.value.where == "s.pdb, chain A"
    assert "sp|P1|X (64 residues): identity " in caught.value.what
    assert "at least 80% is needed" in caught.value.what


@pytest.mark.parametrize("shown", [PROTEIN, MISSING["at all three"]], ids=["whole", "with gaps"])
def test_precision_is_that_of_a_plain_loop(shown: str) -> None:
    truth = contacts_of_chain(chain_of(shown), "p", PROTEIN)
    noise = np.random.default_rng(1).random((len(PROTEIN), len(PROTEIN))).astype(np.float32)
    probabilities = (noise + noise.T) / 2
    found = contact_precision(probabilities, truth)
    for one in found:
        least = {"long": 24, "medium and long": 12, "all": 6}[one.range]
        n_top = len(shown) // {"L": 1, "L/2": 2, "L/5": 5}[one.at]
        pairs = [
            (-probabilities[i, j], truth.touch[a, b])
            for a, i in enumerate(truth.places)
            for b, j in enumerate(truth.places)
            if j - i >= least
        ]
        top = [touch for _, touch in sorted(pairs, key=lambda pair: pair[0])[:n_top]]
        assert one.n_pairs == n_top
        assert one.precision == pytest.approx(np.mean(top))
    assert len(found) == 9
    assert 0 < max(one.precision or 0 for one in found) < 1


def test_the_structure_itself_predicts_perfectly_as_far_as_it_has_contacts() -> None:
    truth = contacts_of_chain(chain_of(PROTEIN), "p", PROTEIN)
    found = table(contact_precision(truth.touch.astype(np.float32), truth))
    assert found["all", "L/5"] == found["long", "L/5"] == 1.0
    nothing = table(contact_precision(1 - truth.touch.astype(np.float32), truth))
    assert nothing["all", "L/5"] == 0.0


def test_a_protein_too_short_for_a_range_has_no_precision_there() -> None:
    truth = contacts_of_chain(chain_of(PROTEIN[:8]), "p", PROTEIN[:8])
    found = contact_precision(np.ones((8, 8), np.float32), truth)
    ranges = {(one.range, one.n_pairs, one.precision is None) for one in found if one.at == "L"}
    assert ranges == {("long", 0, True), ("medium and long", 0, True), ("all", 3, False)}
