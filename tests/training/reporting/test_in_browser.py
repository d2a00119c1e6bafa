"""The report pages of real runs, in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest

from biofm import api
from biofm.training import PretrainRecipe
from tests.report.run.browser import NEEDS_BROWSER, Browser

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]

N_CHARTS = 5  # loss, learning rate, speed, use of the machine, memory


def check(file: Path, title: str, profile: Path) -> None:
    with Browser(profile) as browser:
        for width, scheme in ((1200, "light"), (390, "dark")):
            page = browser.open(file.as_uri(), width=width, scheme=scheme)
            assert page.evaluate("document.title") == title
            assert page.complaints == []
            assert [it for it in page.requests if not it.startswith("data:image/png")] == [file.as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("document.querySelectorAll('svg[role=img]').length") == N_CHARTS
            assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 100)")


def test_the_page_of_a_pretraining(
    make_recipe: Callable[..., PretrainRecipe], make_proteins: Callable[..., list[str]], tmp_path: Path
) -> None:
    fasta = tmp_path / "some proteins.fasta"
    fasta.write_text("".join(f">p{i}\n{protein}\n" for i, protein in enumerate(make_proteins(40))))
    recipe = make_recipe(n_steps=6, log_every=1, n_held_out=4, n_validation=4, validate_every=2)
    api.pretrain(fasta, tmp_path / "run", recipe)
    title = "Pretraining on some proteins.fasta · biofm pretraining"
    check(tmp_path / "run" / "report.html", title, tmp_path / "profile")


def test_the_page_of_a_fine_tuning_on_a_table_with_odd_names(
    make_proteins: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = "<b>fitness & $x_{$"
    rows = (f"{protein},{protein.count('A') / len(protein)}" for protein in make_proteins(60))
    table = tmp_path / "a <table>.csv"
    table.write_text("\n".join([f"sequence,{target}", *rows]))
    api.finetune(
        table, tmp_path / "run", target=target, column="sequence", method="lora", n_steps=6,
        tokens_per_batch=512, sets=["n_warmup=1", "validate_every=2", "log_every=1", "n_resamples=50"],
    )  # fmt: skip
    title = f"{target} of {table.name} · biofm fine-tuning"
    check(tmp_path / "run" / "report.html", title, tmp_path / "profile")
