"""The report of a pretraining."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from biofm.core.environment import find_environment
from biofm.evaluation import HeldOutPerplexity
from biofm.modalities import PROTEIN, ProteinTokenizer
from biofm.nn import EncoderConfig, pack
from biofm.report.run import RunReport, say_who_is_best
from biofm.training import PretrainRecipe
from biofm.training.objectives import masked_lm
from biofm.training.reporting import report_of_pretraining, say_which_perplexity_is_better
from biofm.training.reporting.pretraining import loss_without_context
from biofm.training.summary import PretrainSummary

ROWS = [
    {"step": 10.0, "tokens": 1e6, "loss": 3.0, "tokens_per_second": 5000.0},
    {"step": 20.0, "tokens": 2e6, "loss": 2.8, "tokens_per_second": 5200.0},
]
ENCODER = EncoderConfig(vocab_size=33, d_model=16, n_layers=2, n_heads=2, d_feedforward=24, trained_length=64)
JUDGED = HeldOutPerplexity(
    n_sequences=500, n_residues=100_000, model=15.2, unigram=17.7, own_composition=16.9,
    intervals={"model": (15.1, 15.3)},
)  # fmt: skip
SUMMARY = PretrainSummary(
    model="run/model", n_parameters=1_213_440, n_train=81_650, n_removed=18_349, dtype="float32",
    dtype_reason="as asked", held_out={"uniref90.fasta": JUDGED}, notices={"cropped": 3},
)  # fmt: skip


UNIGRAM = np.random.default_rng(0).dirichlet(np.full(20, 3.0))


def reported(**changes: Any) -> RunReport:
    given: dict[str, Any] = {
        "summary": SUMMARY,
        "recipe": PretrainRecipe(n_steps=20),
        "encoder": ENCODER,
        "rows": ROWS,
        "sources": ["uniref90.fasta"],
        "words": PROTEIN.words,
        "unigram": UNIGRAM,
        "data": (),
        "environment": find_environment(threads=1, gpus=(), device="cpu", dtype="float32"),
        "ended": "2026-11-26 18:40",
    }
    given |= changes
    positional = [given.pop(name) for name in ("summary", "recipe", "encoder", "rows")]
    return report_of_pretraining(*positional, **given)


def test_the_run_is_told_in_a_few_sentences_and_figures() -> None:
    report = reported()
    assert report.title == "Pretraining on uniref90.fasta"
    assert report.summary == (
        "A model of 1,213,440 parameters was trained on 81,650 sequences for 20 steps. For the evaluation, "
        "500 sequences were held out; 18,349 that resemble them were left out."
    )
    assert report.facts == {
        "held-out perplexity": "15.20", "best baseline": "16.90",
        "parameters": "1,213,440", "sequences in training": "81,650", "steps": "20",
        "tokens seen": "2.0 million", "time in training": "6 min 32 s", "tokens per second": "5,100",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("best_step", "said"),
    [
        (20, "for 20 steps. For"),
        (27, "for 27 steps. For"),
        (10, "for 20 steps, and judged with the weights of step 10. For"),
    ],
)
def test_the_report_names_the_step_of_the_weights_that_were_judged(best_step: int, said: str) -> None:
    assert said in reported(summary=replace(SUMMARY, best_step=best_step)).summary


def test_the_model_stands_beside_its_baselines_with_its_interval() -> None:
    (results,) = reported().results
    assert [measure.name for measure in results.measures] == ["perplexity on uniref90.fasta"]
    found = {it.name: (it.kind, it.estimates[0]) for it in results.contenders}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "the model": "model", "own composition": "baseline", "unigram": "baseline",
    }  # fmt: skip
    model, baseline = found["the model"][1], found["own composition"][1]
    assert model is not None
    assert (model.value, model.low, model.high) == (15.2, 15.1, 15.3)
    assert baseline is not None
    assert (baseline.value, baseline.low) == (16.9, None)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (JUDGED, "the model (15.20) is 1.70 better than the baseline own composition (16.90)."),
        (
            replace(JUDGED, model=17.8, intervals={}),
            "the baseline own composition (16.90) is 0.90 better than the model (17.80): train on more "
            "sequences or for more steps.",
        ),
        (
            replace(JUDGED, intervals={"model": (15.1, 16.6), "own_composition": (16.5, 17.2)}),
            "the model (15.20) is 1.70 better than the baseline own composition (16.90): their 95 % "
            "intervals overlap, so the difference may be chance.",
        ),
    ],
)
def test_a_sentence_compares_the_model_with_the_best_baseline_as_the_report_does(
    found: HeldOutPerplexity, sentence: str
) -> None:
    said = say_which_perplexity_is_better("uniref90.fasta", found)
    assert said == f"By perplexity on uniref90.fasta (500 sequences), {sentence}"
    (results,) = reported(summary=replace(SUMMARY, held_out={"uniref90.fasta": found})).results
    assert [standing.sentence for standing in say_who_is_best(results)] == [said]


def test_two_sequences_are_too_few_for_an_interval_and_the_page_says_so() -> None:
    found = replace(
        JUDGED, n_sequences=2, intervals=dict.fromkeys(("model", "own_composition"), (15.1, 16.6))
    )
    said = say_which_perplexity_is_better("a.fasta", found)
    assert said == (
        "By perplexity on a.fasta (2 sequences), the model (15.20) is 1.70 better than the baseline own "
        "composition (16.90): 2 sequences are too few to tell whether that is chance."
    )
    (results,) = reported(summary=replace(SUMMARY, held_out={"a.fasta": found})).results
    assert results.interval.startswith("95 % bootstrap interval over 2 sequences, unreliable because ")


def test_a_perplexity_that_is_no_number_is_not_compared() -> None:
    assert say_which_perplexity_is_better("a.fasta", replace(JUDGED, model=math.nan)) == ""


def test_several_sources_are_judged_apart() -> None:
    both = replace(SUMMARY, held_out={"a.fasta": JUDGED, "b.fasta": JUDGED})
    report = reported(summary=both, sources=["a.fasta", "b.fasta", "c.fasta"])
    assert report.title == "Pretraining on a.fasta, b.fasta and c.fasta"
    assert [it.name for it in report.results[0].measures] == [
        "perplexity on a.fasta",
        "perplexity on b.fasta",
    ]
    assert "1,000 sequences were held out" in report.summary
    assert "held-out perplexity" not in report.facts


def test_few_tokens_are_told_exactly() -> None:
    assert reported(rows=[{"step": 1.0, "tokens": 240_960.0, "loss": 3.0}]).facts["tokens seen"] == "240,960"


def test_a_model_that_was_only_judged_has_no_curves() -> None:
    report = reported(rows=[])
    assert report.curves == ()
    assert "evaluated without training" in report.summary
    assert not {"steps", "tokens seen", "time in training"} & set(report.facts)


def test_without_held_out_sequences_that_is_said() -> None:
    report = reported(summary=replace(SUMMARY, held_out={}, n_removed=0))
    assert report.results == ()
    assert report.summary.endswith("No sequences were held out for the evaluation.")


def test_losses_are_compared_with_the_frequencies_where_they_predict_the_same() -> None:
    masked, causal = (
        reported().curves[0],
        reported(recipe=PretrainRecipe(n_steps=20, objective="causal")).curves[0],
    )
    assert masked.y_label == "loss (nats per predicted residue)"
    assert masked.levels == {"without context": loss_without_context(UNIGRAM, PretrainRecipe(n_steps=20))}
    assert "80% are hidden, 10% replaced and 10% shown unchanged" in masked.note
    assert "so that the loss is not their logarithm" in masked.note
    assert (causal.y_label, causal.levels) == ("loss (nats per token)", {})


@pytest.mark.parametrize("rates", [(0.8, 0.1), (1.0, 0.0), (0.3, 0.0), (0.0, 1.0), (0.5, 0.25)])
def test_the_level_is_what_counting_gives_on_residues_as_training_shows_them(
    rates: tuple[float, float], tokenizer: ProteinTokenizer
) -> None:
    """The level agrees with a count.

    The objective hides residues drawn by their frequencies. The test counts how often each of them is the
    true residue behind what the model sees.
    """
    recipe = PretrainRecipe(n_steps=20, mask_rate=rates[0], random_rate=rates[1], masked_share=0.9)
    rng = np.random.default_rng(1)
    tokens = rng.choice(tokenizer.scored, 400_000, p=UNIGRAM)
    batch = pack([torch.from_numpy(tokens.astype(np.int64))])
    members = starts = np.zeros(1, np.int64)
    labelled = masked_lm(tokenizer, recipe).label(batch, members, starts, rng)
    seen, truth = labelled.batch.tokens[labelled.rows].numpy(), labelled.targets.numpy()
    counts = np.zeros((len(tokenizer.vocabulary),) * 2)
    np.add.at(counts, (seen, truth), 1)
    given = counts / np.maximum(1, counts.sum(1, keepdims=True))
    counted = -(counts * np.log(np.where(counts > 0, given, 1))).sum() / counts.sum()
    assert loss_without_context(UNIGRAM, recipe) == pytest.approx(counted, abs=0.005)


def test_configuration_and_notices_are_there_whole() -> None:
    report = reported()
    assert report.configuration["n_steps"] == 20
    assert report.configuration["encoder"]["d_model"] == 16
    assert report.notices == {"cropped": 3}
