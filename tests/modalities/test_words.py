"""What is said of a modality is said in its own words: none of what the toy is told speaks of proteins."""

import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets import Record
from biofm_datasets.choices import SplitMethod
from biofm_datasets.store import Alphabet, open_store

import biofm
from biofm.core import InputError, ModelError, OptionError
from biofm.core.choices import FinetuneMethod
from biofm.corpus import check_not_standard_input, has_letters
from biofm.evaluation import held_out_perplexity
from biofm.evaluation.supervised.tasks import find_task
from biofm.gate import STANDARD_INPUT
from biofm.inference import NO_DIRECTION, check_length, check_pool, check_window, choose_compute, run_whole
from biofm.inference.scoring.perplexity import left_out, without_any
from biofm.modalities import PROTEIN, Item, ProteinTokenizer, Words, items_of
from biofm.models import Checkpoint, families, write_checkpoint
from biofm.nn import Encoder, MaskedLM, initialise
from biofm.report import draw_dataset
from biofm.training import PretrainRecipe
from biofm.training.run import check_model
from tests.modalities import toy

TOKENIZER = toy.ToyTokenizer()
OF_PROTEINS = re.compile("protein|residue|amino", re.IGNORECASE)
N_STRINGS, N_HELD_OUT = 24, 4
FEW: dict[str, Any] = {"n_steps": 2, "tokens_per_batch": 80, "n_warmup": 1, "max_length": 33, "log_every": 1}


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "toy", toy)  # type: ignore[arg-type]


def made(**other: Any) -> MaskedLM:
    model = MaskedLM(toy.config(**other))
    initialise(model, seed=3)
    return model.eval().requires_grad_(False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in write_checkpoint(Checkpoint("toy", made(), TOKENIZER)).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def texts() -> list[str]:
    random = Random(1)
    return [
        "".join(f"{random.choice(toy.PAIRS)}{random.randrange(10)}" for _ in range(random.randrange(4, 25)))
        for _ in range(N_STRINGS)
    ]


@pytest.fixture
def file(texts: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts)))
    return path


def none_of_proteins(*texts: object) -> bool:
    assert texts
    spoken = [text for text in map(str, texts) if OF_PROTEINS.search(text)]
    assert not spoken, spoken
    return True


def told(page: Path) -> str:
    """A report without its pictures, whose letters spell anything."""
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page.read_text(encoding="utf-8"))


def test_lengths_that_a_model_does_not_take_are_counted_in_its_units(texts: list[str]) -> None:
    shape = made(positions="learned", n_positions=10, trained_length=10).encoder.config
    item = next(it for it in map(_item, texts) if it.n_units > 9)
    with pytest.raises(InputError, match=f"{item.n_units} pairs, but the model .* positions for 9") as long:
        check_length(item, shape, TOKENIZER)
    with pytest.raises(OptionError, match="20 pairs are more than") as window:
        check_window(20, shape, TOKENIZER)
    assert none_of_proteins(long.value, window.value, run_whole(10, TOKENIZER))


def _item(text: str) -> Item:
    return next(iter(items_of([Record("a", text, "", 1, "in.fasta")], TOKENIZER, Counter())))


def test_a_pooling_and_a_lack_of_memory_are_refused_in_its_words(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="<cls> sees no pair: it is the same for every string") as pool:
        check_pool("cls", toy.config(causal=True), TOKENIZER)
    loaded = biofm.load(model, device="cpu")

    def is_full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Encoder, "forward", is_full)
    with pytest.raises(OptionError, match="if one string alone is too long, embed it by windows") as memory:
        loaded.embed(["ab3"])
    assert none_of_proteins(pool.value, memory.value)


def test_a_model_without_a_head_or_with_numbers_that_are_none_is_refused_in_its_words(
    texts: list[str],
) -> None:
    headless = made()
    headless.head = None  # type: ignore[assignment]
    with pytest.raises(ModelError, match="it predicts no pairs") as head:
        check_model(
            Checkpoint("toy", headless, TOKENIZER), PretrainRecipe(**FEW), choose_compute("cpu", "float32")
        )
    encoded, unigram = [TOKENIZER.encoded(text) for text in texts[:2]], np.full(300, 1 / 300)
    for is_causal in (False, True):
        broken = made(causal=is_causal)
        broken.encoder.embedding.tokens.weight.fill_(torch.nan)
        with pytest.raises(ModelError, match="held-out string") as numbers:
            held_out_perplexity(broken, encoded, unigram, TOKENIZER, tokens_per_batch=100)
        assert none_of_proteins(head.value, numbers.value)


def test_the_notices_of_perplexities_are_in_its_words(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nab3zz1\n>b\nzz1\n")
    summary = biofm.perplexity(path, tmp_path / "out.csv", model=model, device="cpu")
    assert {name: n for name, n in summary.notices.items() if n} == {
        "pairs left out, because they stand for no single pair": 2,
        "sequences without a pair, so that their perplexity is nan": 1,
    }
    assert none_of_proteins(*summary.notices)


def test_the_notices_of_perplexities_of_proteins_are_what_they_were() -> None:
    assert left_out(PROTEIN.words) == "residues left out, because they stand for no single amino acid"
    assert without_any(PROTEIN.words) == "sequences without an amino acid, so that their perplexity is nan"
    others = Words("RNA", "RNAs", "base", "bases", "base", "bases")
    assert left_out(others) == "bases left out, because they stand for no single base"


def test_targets_and_standard_input_are_spoken_of_in_its_words() -> None:
    cells = ["HHEC", "CCHE", "EEEH"]
    reason = find_task("t.csv", ["y"], [cells], [{4}] * 3, "pair").reason
    assert reason == "'y' holds a letter for every pair"
    odd = [["one", "two", "three"]]
    with pytest.raises(InputError, match="a letter for every pair") as target:
        find_task("t.csv", ["y"], odd, [{4}] * 3, "pair")
    with pytest.raises(InputError, match="Write the strings into a file first") as stream:
        check_not_standard_input([STANDARD_INPUT], "toy")
    direction = NO_DIRECTION.format(items="strings")
    assert none_of_proteins(reason, target.value, stream.value, direction)


def test_the_picture_of_a_data_set_shows_its_units(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    biofm.prepare(file, store, modality="toy", split="random", test=N_HELD_OUT)
    handle = io.BytesIO()
    found = biofm.describe(store)
    draw_dataset(found, handle, ".svg")
    labels = [it.strip() for it in re.findall(r"<!--(.*?)-->", handle.getvalue().decode(), re.DOTALL)]
    assert "Composition" in labels
    assert any(
        re.fullmatch(r"the 20 commonest of \d+ kinds; 0 are none of the 300 pairs", it) for it in labels
    )
    assert set(list(found.letters)[:20]) <= set(labels), "as matplotlib keeps each text in a comment"
    assert "Swiss-Prot" not in labels
    assert none_of_proteins(*labels)


@pytest.mark.parametrize("names", [{"ab": 1}, {"a-long-name-of-a-unit": 1, "a$\\b": 2}, {}])
def test_units_of_any_name_fit_into_the_picture(names: dict[str, int], file: Path) -> None:
    handle = io.BytesIO()
    draw_dataset(replace(biofm.describe(file, modality="toy"), letters=names), handle, ".svg")
    assert handle.getvalue().endswith(b"</svg>\n")


def test_the_report_of_a_pretraining_is_in_its_words(file: Path, tmp_path: Path) -> None:
    recipe = PretrainRecipe(**FEW, checkpoint_every=2, n_held_out=N_HELD_OUT)
    run = tmp_path / "run"
    summary = biofm.pretrain(file, run, recipe, size="small", modality="toy", device="cpu")
    page = told(run / "report.html")
    assert "pair frequencies of the string itself, smoothed" in page
    assert "each predicted once; guessing has perplexity 300." in page
    assert "Relatives were not searched for." in page
    assert none_of_proteins(page, *summary.notices)


@pytest.mark.parametrize("n_validation", [0, 3])
def test_a_pretraining_holds_out_at_random_and_says_so(
    n_validation: int, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofm.training.run._report", lambda *given: None)
    recipe = PretrainRecipe(
        **FEW | {"n_steps": 0}, n_held_out=N_HELD_OUT, n_validation=n_validation, checkpoint_every=2
    )
    run = tmp_path / "run"
    summary = biofm.pretrain(file, run, recipe, size="small", modality="toy", device="cpu")
    notice = (
        "sequences held out at random, so training may hold their relatives: the search for relatives "
        "compares letters, and pairs are not single letters"
    )
    assert summary.notices == {notice: N_HELD_OUT + n_validation}
    assert summary.held_out["in.fasta"].n_sequences == N_HELD_OUT
    split = open_store(run / "data").record.split
    assert (split.method, split.counts["removed"]) == ("random", 0)
    again = biofm.pretrain(file, run, recipe, size="small", modality="toy", device="cpu", resume=True)
    assert again.notices[notice] == N_HELD_OUT + n_validation


def test_too_many_to_hold_out_are_named_by_the_option_of_the_run(file: Path, tmp_path: Path) -> None:
    recipe = PretrainRecipe(**FEW, n_held_out=N_STRINGS)
    with pytest.raises(OptionError, match="--held-out: 24 of 24 sequences cannot be held out") as caught:
        biofm.pretrain(file, tmp_path / "run", recipe, size="small", modality="toy", device="cpu")
    assert none_of_proteins(caught.value)


@pytest.mark.parametrize("method", ["probe", "full"])
def test_the_report_of_a_fine_tuning_is_in_its_words(
    method: FinetuneMethod, model: Path, texts: list[str], tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    rows = [f"r{i},{text},{len(text) + i / 10}" for i, text in enumerate(texts)]
    table.write_text("\n".join(["id,text,y", *rows]) + "\n")
    steps: dict[str, Any] = (
        {} if method == "probe" else {name: FEW[name] for name in ("n_steps", "tokens_per_batch")}
    )
    summary = biofm.finetune(
        table, tmp_path / "run", target="y", column="text", model=model, method=method, device="cpu",
        dtype="float32", sets=["n_resamples=20", "n_warmup=1"], **steps,
    )  # fmt: skip
    page = told(tmp_path / "run" / "report.html")
    assert "pairs of a training row" in page
    assert "Lengths in pairs." in page
    assert none_of_proteins(page, *summary.notices, *summary.not_computed.values(), summary.why)


@pytest.mark.parametrize("split", ["identity", "cluster"])
def test_a_split_by_relatives_is_refused_where_units_are_not_letters(
    split: SplitMethod, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        biofm.prepare(file, tmp_path / "store", modality="toy", split=split, test=2)
    assert str(caught.value) == (
        f"--split: {split} compares sequences letter by letter, but pairs are not single letters. "
        "Give random, column or group"
    )
    assert not (tmp_path / "store").exists()


def test_relatives_are_left_out_of_a_description_where_units_are_not_letters(
    file: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    biofm.prepare(file, store, modality="toy", split="random", validation=3, test=2)
    found = biofm.describe(store)
    assert {(it.n_sampled, it.n_related, it.n_searched) for it in found.leakage} == {(0, 0, 0)}
    assert found.notices == {
        "held-out sequences whose relatives were not searched: the search compares single letters, which "
        "pairs are not": 5
    }
    assert biofm.describe(store, n_sampled=0).notices == {}, "nobody asked for them"


def test_letters_are_told_from_what_has_none() -> None:
    assert has_letters(ProteinTokenizer().alphabet)
    assert not has_letters(TOKENIZER.alphabet)
    odd = Alphabet(name="odd", tokens=("A", "1", "é", "C"), scored=(0, 3))
    assert has_letters(odd)
    assert not has_letters(Alphabet(name="odd", tokens=odd.tokens, scored=(0, 1)))
    assert not has_letters(Alphabet(name="odd", tokens=odd.tokens, scored=(0, 2)))
