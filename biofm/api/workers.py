"""Workers: which module each verb runs where the kernel confines it, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass

VERB_WORKER = "biofm.api.worker"
"""The module that performs a whole verb."""
WORKERS: Mapping[str, str] = {
    "contacts": VERB_WORKER,
    "describe": VERB_WORKER,
    "embed": VERB_WORKER,
    "evaluate": VERB_WORKER,
    "merge": VERB_WORKER,
    "neighbours": VERB_WORKER,
    "perplexity": VERB_WORKER,
    "predict": VERB_WORKER,
    "run_program": "biofm.inference.worker",
    "score": VERB_WORKER,
}
"""The module that each verb runs where the kernel confines it (``biofm.gate.confinement``). No verb may have
another one; a verb without one does not read files where a policy requires confinement.
"""


@dataclass(frozen=True, slots=True)
class Performed:
    """Says how a verb is performed in a worker.

    Attributes:
        module: The module of its declaration.
        results: The classes of its results, each as ``module:class``.
    """

    module: str
    results: tuple[str, ...]

    @property
    def places(self) -> list[tuple[str, str]]:
        """Return the module and the name of each class of its results."""
        return [(module, name) for module, _, name in (one.partition(":") for one in self.results)]


PERFORMED: Mapping[str, Performed] = {
    "contacts": Performed("biofm.api.contacts", ("biofm.inference.runs.contacts:ContactsSummary",)),
    "describe": Performed("biofm.api.describe", ("biofm.corpus.describe:Description",)),
    "embed": Performed("biofm.api.embed", ("biofm.inference.results:EmbedSummary",)),
    "evaluate": Performed("biofm.api.evaluate", ("biofm.evaluation.assay_evaluation:Evaluation",)),
    "merge": Performed(
        "biofm.api.merge",
        ("biofm.inference.results:MergeSummary", "biofm.inference.scoring.results:ScoreMergeSummary"),
    ),
    "neighbours": Performed("biofm.api.neighbours", ("biofm.inference.neighbours:FoundNeighbours",)),
    "perplexity": Performed("biofm.api.perplexity", ("biofm.inference.scoring.results:PerplexitySummary",)),
    "predict": Performed("biofm.api.predict", ("biofm.inference.prediction.table:PredictSummary",)),
    "score": Performed("biofm.api.score", ("biofm.inference.scoring.results:ScoreSummary",)),
}
"""How each verb is performed whose worker is ``VERB_WORKER``."""
