"""Methods: three ways to compute the score of a variant with one model.

A score is in natural logarithms, and 0 for the wild type. The model expects a variant with a higher score
more.

masked-marginals  Σ log p(mutant) - log p(wild) over the mutated places, each masked alone in the wild type
                  (Meier et al. 2021, https://doi.org/10.1101/2021.07.09.450648). Several mutations add up
                  as in fair-esm's script and in ProteinGym
                  (https://github.com/OATML-Markslab/ProteinGym/issues/82); the paper's own formula masks all
                  of them at once.
wt-marginals      the same sum, read from one run of the unmasked wild type.
pseudo-perplexity the pseudo-log-likelihood of the mutant minus that of the wild type: each amino acid masked
                  alone (Salazar et al. 2020, https://aclanthology.org/2020.acl-main.240). It ranks the
                  substitutions of one protein like the mutant's pseudo-perplexity of Meier et al.; fair-esm's
                  script of that name reads each probability one place off, so its scores differ.

Insertions and deletions are scored by pseudo-perplexity whatever the method. No score is divided by the
length: a longer protein has more residues that are likely or unlikely.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, get_args

from biofm_datasets import Change
from biofm_datasets.changes import splice

from biofm.core.choices import ScoreMethod
from biofm.inference.scoring.scoring_model import Answer, Reading, ScoringModel, log_likelihood_of
from biofm.inference.windows import spans

METHODS: tuple[ScoreMethod, ...] = get_args(ScoreMethod)


class Site(NamedTuple):
    """Describes a substituted residue: its place, counted from 0, and the letters before and after it."""

    place: int
    wild: str
    mutant: str


@dataclass(frozen=True, slots=True)
class Variant:
    """Describes changes of a wild type.

    Attributes:
        wild_type: The sequence of the wild type.
        changes: The changes in the order of their positions, which count the residues of ``wild_type`` from
            1.
    """

    wild_type: str
    changes: tuple[Change, ...]

    @property
    def mutated(self) -> str:
        """The whole sequence after the changes are made."""
        return splice(self.changes, self.wild_type)

    def method(self, asked: ScoreMethod) -> ScoreMethod:
        """Return the method for this variant, which is pseudo-perplexity for insertions and deletions.

        Args:
            asked: The method for substitutions.
        """
        has_indel = any(len(change.wild) != len(change.mutant) for change in self.changes)
        return "pseudo-perplexity" if has_indel else asked

    def sites(self) -> Iterator[Site]:
        """Yield the substituted residues. The variant must have no insertions or deletions."""
        for change in self.changes:
            for i, (wild, mutant) in enumerate(zip(change.wild, change.mutant, strict=True)):
                if wild != mutant:
                    yield Site(change.position - 1 + i, wild, mutant)


@dataclass(frozen=True, slots=True)
class Unscored:
    """Marks a row that cannot be scored, such as one with a stop codon.

    Attributes:
        reason: Why it cannot be scored, in a sentence for the user.
        remedy: What to do about it, in a sentence without a full stop; empty if nothing is known.
    """

    reason: str
    remedy: str = ""


def readings_of(variant: Variant, asked: ScoreMethod, window: int) -> Iterator[Reading]:
    """Yield what to ask a model that sees ``window`` residues at once, to score a variant."""
    match variant.method(asked):
        case "masked-marginals":
            for site in variant.sites():
                yield Reading("hidden", variant.wild_type, site.place)
        case "wt-marginals":
            for site in variant.sites():
                yield Reading("shown", variant.wild_type, _find_window(variant, site, window)[0])
        case "pseudo-perplexity":
            if variant.mutated != variant.wild_type:
                yield Reading("likelihood", variant.wild_type)
                yield Reading("likelihood", variant.mutated)


def score_of(
    variant: Variant, asked: ScoreMethod, model: ScoringModel, answer: Callable[[Reading], Answer]
) -> float:
    """Compute the score by one model; ``answer`` looks up its answers to the ``readings_of`` the variant."""
    readings = list(readings_of(variant, asked, model.window))
    match variant.method(asked):
        case "pseudo-perplexity":
            likelihoods = [log_likelihood_of(answer(reading)) for reading in readings]
            return likelihoods[1] - likelihoods[0] if readings else 0.0
        case "masked-marginals":
            rows = [answer(reading) for reading in readings]
        case "wt-marginals":
            places = [_find_window(variant, site, model.window)[1] for site in variant.sites()]
            shown = [answer(reading).reshape(-1, len(model.letters)) for reading in readings]
            rows = [residues[place] for residues, place in zip(shown, places, strict=True)]
    pairs = zip(variant.sites(), rows, strict=True)
    column = model.column
    return sum(float(row[column[site.mutant]]) - float(row[column[site.wild]]) for site, row in pairs)


def _find_window(variant: Variant, site: Site, window: int) -> tuple[int, int]:
    """Find the number of the window that answers for a site, and the site's place in that window's answer."""
    for number, span in enumerate(spans(len(variant.wild_type), window)):
        if site.place < span.stop:
            return number, site.place - span.first
    raise AssertionError(f"{site} lies beyond the end of the protein")
