"""Perplexity: compute how well a model expects whole proteins, by one of two methods.

pseudo       exp(-PLL / n), where the pseudo-log-likelihood PLL adds up the log-probability of each amino acid
             while it alone is masked (Salazar et al. 2020, https://aclanthology.org/2020.acl-main.240).
single-pass  exp of the mean negative log-probability in one run with nothing masked. The model sees the
             residue that it is asked about, so this is usually lower; it costs one run instead of n.

The n residues that count are those of the 22 amino acids; X, B, Z, J, gaps and masks are only context.
Probabilities are over the model's whole vocabulary.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypedDict, get_args

import numpy as np
from biofm_datasets import Cell, Record
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.choices import PerplexityMethod
from biofm.core.errors import OptionError
from biofm.core.tables import RENAMED, Table, kept_apart
from biofm.inference import EMPTY_ROWS, emptied, reasons
from biofm.inference.runs import Intake
from biofm.inference.scoring.scoring_model import Reading, ScoringModel, log_likelihood_of
from biofm.modalities import Words, columns_of
from biofm.models.finiteness import not_finite
from biofm.nn import by_budget

PERPLEXITY_METHODS: tuple[PerplexityMethod, ...] = get_args(PerplexityMethod)
COLUMNS: dict[PerplexityMethod, str] = {
    "pseudo": "pseudo_perplexity",
    "single-pass": "single_pass_perplexity",
}

TOKENS_PER_PART = 1 << 22
IN_WINDOWS = "sequences longer than the model's training, read in windows"


def left_out(words: Words) -> str:
    """Return the notice for units that do not count, such as X."""
    return f"{words.units} left out, because they stand for no single {words.kind}"


def without_any(words: Words) -> str:
    """Return the notice for sequences in which no unit counts."""
    article = "an" if words.kind[0] in "aeiou" else "a"
    return f"sequences without {article} {words.kind}, so that their perplexity is nan"


def check_perplexity_method(method: str) -> None:
    """Raise OptionError for a method that does not exist.

    Args:
        method: "pseudo" or "single-pass".
    """
    if method not in PERPLEXITY_METHODS:
        remedy = f"Give {' or '.join(PERPLEXITY_METHODS)}"
        raise OptionError(f"no such method: {method}", where="--method", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Perplexities:
    """Holds the perplexities of some sequences in order, with one value for each sequence in every field.

    Attributes:
        ids: The ids of the sequences.
        records: Their numbers in the input, from 1.
        n_residues: How many residues counted.
        values: The perplexities; NaN where no residue counted, or the model's numbers are not finite.
        windowed: Whether the sequence was read in windows.
        is_faulty: Whether the model's numbers are not finite.
        columns: Further columns of the input, which the output repeats.
    """

    ids: list[str]
    records: list[int]
    n_residues: list[int]
    values: NDArray[np.float32]
    windowed: list[bool]
    is_faulty: NDArray[np.bool_]
    columns: Mapping[str, Sequence[Cell]]


def perplexities(
    records: Iterable[Record],
    model: ScoringModel,
    method: PerplexityMethod,
    notices: Counter[str],
    on_run: Callable[[int, float], None] = no_progress,
    *,
    on_error: str = "stop",
) -> Iterator[Perplexities]:
    """Compute perplexities in the order of the records, part by part.

    Args:
        records: The records, in any number.
        model: The model.
        method: "pseudo" or "single-pass".
        notices: Counts what a reader of the result should know.
        on_run: Called after each batch with its number of tokens, and with the number of characters of the
            input that these stand for.
        on_error: What happens to a record for which the model's numbers are not finite: "skip" gives it a
            perplexity of NaN, "stop" raises an error.

    Raises:
        ModelError: The model's weights are not finite, and ``on_error`` is "stop".
        OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too large
            for the memory.
    """
    sized = ((record, model.n_tokens(_reading(record, method))) for record in records)
    for part in by_budget(sized, TOKENS_PER_PART):
        found = _perplexities_of(part, model, method, notices, on_run)
        if found.is_faulty.any() and on_error == "stop":
            raise not_finite(model.runner.model, part[int(found.is_faulty.argmax())].where)
        notices[EMPTY_ROWS] += int(found.is_faulty.sum())
        yield found


def _perplexities_of(
    part: list[Record],
    model: ScoringModel,
    method: PerplexityMethod,
    notices: Counter[str],
    on_run: Callable[[int, float], None],
) -> Perplexities:
    """Compute the perplexities of the records of a part; equal sequences are read once."""
    readings = [_reading(record, method) for record in part]
    unique = list(dict.fromkeys(readings))
    per_token = sum(len(record.sequence) for record in part) / max(1, sum(map(model.n_tokens, unique)))
    answers = model.read(unique, lambda n_tokens: on_run(n_tokens, n_tokens * per_token))
    likelihoods = dict(zip(unique, map(log_likelihood_of, answers), strict=True))
    n_residues = [model.n_units(record.sequence) for record in part]
    n_counted = [len(model.counted(record.sequence)) for record in part]
    windowed = [n > model.window for n in n_residues]
    words = model.tokenizer.modality.words
    notices[left_out(words)] += sum(n_residues) - sum(n_counted)
    notices[without_any(words)] += n_counted.count(0)
    notices[IN_WINDOWS] += sum(windowed)
    totals = np.array([likelihoods[reading] for reading in readings])
    is_faulty = np.isnan(totals)
    pairs = zip(totals, n_counted, strict=True)
    values = np.array([np.exp(-total / n) if n else np.nan for total, n in pairs], np.float32)
    ids, numbers = [record.id for record in part], [record.number for record in part]
    return Perplexities(ids, numbers, n_counted, values, windowed, is_faulty, columns_of(part))


def _reading(record: Record, method: PerplexityMethod) -> Reading:
    return Reading("likelihood" if method == "pseudo" else "shown likelihood", record.sequence)


class PerplexityTally(TypedDict):
    """Holds the counts of a run, and its speed.

    ``perplexity`` is that of all residues together: None where no residue counted, NaN where a record has
    none.
    """

    perplexity: float | None
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float


def write_perplexities(
    intake: Intake,
    model: ScoringModel,
    method: PerplexityMethod,
    table: Table,
    notices: Counter[str],
    progress: Progress,
    *,
    on_error: str = "stop",
) -> PerplexityTally:
    """Compute the perplexities of an input, write them into a table, and close it.

    Other columns of the input stand behind the column ``record``. With ``on_error`` "skip", a last column
    says why a row is empty.

    Args:
        intake: The records of the input.
        model: The model.
        method: "pseudo" or "single-pass".
        table: The opened output.
        notices: Counts what a reader of the table should know.
        progress: Shows how far the run is.
        on_error: What happens to a record for which the model's numbers are not finite: "skip" leaves its row
            empty, "stop" raises an error.

    Returns:
        The counts of the run, and its speed.

    Raises:
        InputError: A record is at fault.
        ModelError: The model's weights are not finite, and ``on_error`` is "stop".
        OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too large
            for the memory.
    """
    began = perf_counter()
    counts: Counter[str] = Counter()
    loss = n_read = 0.0

    def on_run(n_tokens: int, n_characters: float) -> None:
        nonlocal n_read
        n_read += n_characters
        counts.update(tokens=n_tokens)
        progress.update(tokens=counts["tokens"], fraction=intake.share_of(n_read))

    for part in perplexities(intake, model, method, notices, on_run, on_error=on_error):
        which = {"id": part.ids, "record": part.records}
        columns = {"n_residues": part.n_residues, "windowed": part.windowed}
        columns |= emptied({COLUMNS[method]: part.values}, part.is_faulty)
        columns |= reasons(part.is_faulty, model.runner.dtype, on_error)
        apart = kept_apart(part.columns, which | columns)
        notices[RENAMED] = sum(name not in apart for name in part.columns)
        table.append({**which, **apart, **columns})
        counted = np.array(part.n_residues)
        has_any = counted > 0
        loss += float((np.log(part.values[has_any]) * counted[has_any]).sum(dtype=np.float64))
        counts.update(sequences=len(part.ids), residues=sum(part.n_residues))
    table.close()
    seconds = perf_counter() - began
    return PerplexityTally(
        perplexity=float(np.exp(loss / counts["residues"])) if counts["residues"] else None,
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
