"""What a fine-tuning says of itself at its end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from biofm.evaluation.supervised import PRIMARY, Judgement, LabelledTable
from biofm.inference import Compute
from biofm.inference.prediction import PredictorInfo, Remark, remark_domain, remark_promises
from biofm.training.finetuning.judging import Findings
from biofm.training.finetuning.plan import Plan
from biofm.training.recipe import FinetuneRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSummary:
    """What a run did.

    judged: by the name of a set of rows, "test" or "out-of-fold", the model beside its baselines.
    primary: the measure by which they are compared. calibrated: what intervals or probabilities are worth on
    the test set. domain: what training was like, and how many test rows are unlike it. remarks: what ``biofm
    predict`` will say of that, a sentence each, and whether it is a warning. not_computed: baselines that are
    not there, and why. members: how each was trained. notices: what was changed or left out, counted.
    """

    predictor: str
    model: str
    method: str
    task: str
    why: str
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    primary: str
    dtype: str
    dtype_reason: str
    judged: dict[str, Judgement]
    calibrated: dict[str, Any]
    domain: dict[str, Any]
    remarks: tuple[Remark, ...]
    not_computed: dict[str, str]
    members: dict[str, dict[str, Any]]
    notices: dict[str, int]


def summarise(
    table: LabelledTable,
    plan: Plan,
    recipe: FinetuneRecipe,
    info: PredictorInfo,
    compute: Compute,
    findings: Findings,
    members: dict[str, dict[str, Any]],
    predictor: str,
    notices: Mapping[str, int],
) -> FinetuneSummary:
    domain, test = findings.domain, [table.units(row) for row in plan.test]
    tally = domain.tally(test, findings.distances)
    about = {"training": asdict(domain.training), "n_calibrated": domain.n_calibrated, "test": tally.counts()}
    remarks = remark_promises(findings.calibration, info.targets, recipe.coverage)
    remarks += remark_domain(domain, tally, "test rows") if test else []
    return FinetuneSummary(
        predictor=predictor,
        model=info.model,
        method=info.method,
        task=info.task,
        why=table.why,
        targets=info.targets,
        classes=info.classes,
        primary=PRIMARY[info.task],
        dtype=compute.dtype_name,
        dtype_reason=compute.reason,
        judged=findings.judgements,
        calibrated=findings.calibrated,
        domain=about | {"limit": domain.limit if domain.has_distance else None},
        remarks=tuple(remarks),
        not_computed=findings.missing,
        members=members,
        notices={sentence: count for sentence, count in notices.items() if count},
    )
