"""Scores of variants: natural logarithms, the wild type is 0, and higher is what the model expects more.

masked-marginals  Σ log p(mutant) - log p(wild) over the mutated places, each masked alone in the wild type
                  (Meier et al. 2021, https://doi.org/10.1101/2021.07.09.450648). Several mutations add up
                  as in fair-esm's script and in ProteinGym
                  (https://github.com/OATML-Markslab/ProteinGym/issues/82); the paper's own formula masks all
                  of them at once.
wt-marginals      the same sum, read from one run of the unmasked wild type.
pseudo-perplexity the pseudo-log-likelihood of the mutant minus that of the wild type: each amino acid masked
                  alone (Salazar et al. 2020, https://aclanthology.org/2020.acl-main.240). It ranks the
                  substitutions of one protein like the mutant's pseudo-perplexity of Meier et al.; fair-esm's
                  script of that name reads each probability one place off, and differs.

Insertions and deletions are scored by pseudo-perplexity whatever the method. Nothing is divided by the
length: a longer protein has more residues to be likely or unlikely.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, get_args

from biofm_datasets import Change
from biofm_datasets.changes import splice

from biofm.core.choices import ScoreMethod
from biofm.inference.scoring.readings import Answer, Reading, ScoringModel, log_likelihood_of
from biofm.inference.windows import spans

METHODS: tuple[ScoreMethod, ...] = get_args(ScoreMethod)


class Site(NamedTuple):
    """A residue (place from 0) that becomes another."""

    place: int
    wild: str
    mutant: str


@dataclass(frozen=True, slots=True)
class Variant:
    """Changes of a wild type, in order and in its own numbering, spelt out."""

    wild_type: str
    changes: tuple[Change, ...]

    @property
    def mutated(self) -> str:
        return splice(self.changes, self.wild_type)

    def method(self, asked: ScoreMethod) -> ScoreMethod:
        """Which method scores this variant where ``asked`` scores substitutions."""
        has_indel = any(len(change.wild) != len(change.mutant) for change in self.changes)
        return "pseudo-perplexity" if has_indel else asked

    def sites(self) -> Iterator[Site]:
        """The substituted residues; only of a variant without insertions and deletions."""
        for change in self.changes:
            for i, (wild, mutant) in enumerate(zip(change.wild, change.mutant, strict=True)):
                if wild != mutant:
                    yield Site(change.position - 1 + i, wild, mutant)


@dataclass(frozen=True, slots=True)
class Unscored:
    """What stands in a table of variants and cannot be scored, and why, in a sentence."""

    reason: str


def readings_of(variant: Variant, asked: ScoreMethod, window: int) -> Iterator[Reading]:
    """What must be known to score a variant with a model that sees ``window`` residues."""
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
    variant: Variant, asked: ScoreMethod, reader: ScoringModel, answer: Callable[[Reading], Answer]
) -> float:
    """The score by one model, from its answers to ``readings_of``."""
    readings = list(readings_of(variant, asked, reader.window))
    match variant.method(asked):
        case "pseudo-perplexity":
            likelihoods = [log_likelihood_of(answer(reading)) for reading in readings]
            return likelihoods[1] - likelihoods[0] if readings else 0.0
        case "masked-marginals":
            rows = [answer(reading) for reading in readings]
        case "wt-marginals":
            places = [_find_window(variant, site, reader.window)[1] for site in variant.sites()]
            shown = [answer(reading).reshape(-1, len(reader.letters)) for reading in readings]
            rows = [residues[place] for residues, place in zip(shown, places, strict=True)]
    pairs = zip(variant.sites(), rows, strict=True)
    column = reader.column
    return sum(float(row[column[site.mutant]]) - float(row[column[site.wild]]) for site, row in pairs)


def _find_window(variant: Variant, site: Site, window: int) -> tuple[int, int]:
    """The number of the window that counts for a site, and its place among that window's residues."""
    for number, span in enumerate(spans(len(variant.wild_type), window)):
        if site.place < span.stop:
            return number, site.place - span.first
    raise AssertionError(f"{site} lies behind the protein's end")
