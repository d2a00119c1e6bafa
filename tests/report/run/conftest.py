"""Reports of made-up runs, and what can be read in their pages."""

import io
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from biofm.core.environment import Environment
from biofm.evaluation import IntervalEstimate
from biofm.report import Curves, Series, draw_curves
from biofm.report.run import Contender, Measure, Pairs, Picture, Results, RunReport, Table, write_report

VOID = {"br", "col", "img", "link", "meta"}
MakeReport = Callable[..., RunReport]

ENVIRONMENT = Environment(
    biofm="9.8.7", commit="0123456789ab", python="3.11.7", torch="2.13.0", system="Linux x86_64",
    cpu="AMD EPYC", cores=8, threads=4, memory_bytes=25_300_000_000, gpus=("NVIDIA L4",), device="cuda",
    dtype="bfloat16",
)  # fmt: skip


class Element:
    """A part of a page: its name, attributes, the elements in it, and the text in it and in them."""

    def __init__(self, name: str, attributes: dict[str, str], parent: "Element | None") -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.children: list[Element] = []
        self.own_text = ""

    @property
    def text(self) -> str:
        return self.own_text + "".join(child.text for child in self.children)

    def all(self, name: str = "", **attributes: str) -> "list[Element]":
        """Return the elements inside this one that have this name and these attributes."""
        found = []
        for child in self.children:
            wanted = {key.rstrip("_"): value for key, value in attributes.items()}
            if name in ("", child.name) and wanted.items() <= child.attributes.items():
                found.append(child)
            found += child.all(name, **attributes)
        return found


class _Reader(HTMLParser):
    """Builds the tree of a page, and fails if an element is not closed, or closed in the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> closes <{self.here.name}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.own_text += data


def page_of(report: RunReport) -> str:
    handle = io.BytesIO()
    write_report(report, handle)
    return handle.getvalue().decode()


def read_page(page: str) -> Element:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.name}> is not closed"
    return reader.root


def estimate(value: float, margin: float = 0.0) -> IntervalEstimate:
    return IntervalEstimate(value=value, low=value - margin, high=value + margin)


def noise(n: int, around: float) -> list[float]:
    values: list[float] = (around + 0.01 * np.random.default_rng(0).normal(size=n)).tolist()
    return values


def loss_curves() -> Curves:
    steps = list(range(10, 1010, 10))
    training = Series(name="training", x=steps, y=noise(100, 2.6), is_noisy=True)
    validation = Series(name="validation", x=[500, 1000], y=[2.71, 2.65])
    return Curves(
        title="Loss", x_label="step", y_label="cross-entropy (nats)", series=(training, validation),
        levels={"residue frequencies": 2.875},
    )  # fmt: skip


def speed_curves() -> Curves:
    speed = Series(name="tokens/s", x=[10, 20, 30], y=[5000.0, 5240.0, 5100.0])
    return Curves(title="Speed", x_label="step", y_label="tokens a second", series=(speed,))


def results() -> Results:
    return Results(
        title="Held-out perplexity",
        measures=(Measure(name="perplexity", higher_is_better=False),),
        contenders=(
            Contender(
                name="residue frequencies",
                kind="baseline",
                estimates=(estimate(17.73, 0.12),),
                note="unigram",
            ),
            Contender(name="own composition", kind="baseline", estimates=(estimate(16.9, 0.1),)),
            Contender(name="protein-nano", kind="model", estimates=(estimate(15.21, 0.1),)),
        ),
        note="1,500 proteins.",
    )


def picture() -> Picture:
    handle = io.BytesIO()
    draw_curves(speed_curves(), handle, ".png")
    return Picture(png=handle.getvalue(), caption="How fast.", description="A line that rises.")


@pytest.fixture(scope="session")
def page(make_report: MakeReport) -> Element:
    """The page of a report with one of everything."""
    return read_page(page_of(make_report()))


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """A report with one of everything; any field may be given."""

    def make(**fields: Any) -> RunReport:
        lengths = Table(
            title="Lengths", header=("split", "sequences", "median"),
            rows=[("training", 81_650, 274.5), ("validation", 1000, None)], note="In residues.",
        )  # fmt: skip
        whole: dict[str, Any] = {
            "title": "protein-nano on UniRef90",
            "kind": "pretraining",
            "summary": "1,213,440 weights were trained on 81,650 proteins.",
            "environment": ENVIRONMENT,
            "facts": {"perplexity": "15.21", "steps": "4,000"},
            "results": (results(),),
            "curves": (loss_curves(), speed_curves()),
            "pictures": (picture(),),
            "data": (lengths, Pairs(title="Residues", values={"L": "9.9 %"}, note="Of training.")),
            "configuration": {"learning_rate": 4e-3, "compile": False, "encoder": {"n_layers": 6}},
            "notices": {"sequences cropped": 5120},
            "ended": "2026-11-26 18:40",
        }
        return RunReport(**whole | fields)

    return make
