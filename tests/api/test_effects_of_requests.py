"""The effects that a verb declares become the fields of its request."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from biofm.api.declaration import Option, Verb, sends_of
from biofm.api.embed import Embed
from biofm.api.merge import Merge
from biofm.api.prepare import Prepare
from biofm.core import SILENT, ProgressSink
from biofm.policy import NONE, Code, ConnectsTo, Content, Host, Request, RunsCode, UsesDevice


@dataclass(frozen=True, slots=True)
class Experiment(Verb["Experiment"]):
    """Do what no verb of biofm does."""

    _: KW_ONLY
    code: Annotated[Code | None, Option("Run this program."), RunsCode("plan")]
    host: Annotated[
        Host | None,
        Option("Send it there."),
        ConnectsTo("sink", sends=frozenset({Content.NUMBERS, Content.SEG})),
    ]
    tool: Annotated[str, Option("Take this tool."), RunsCode("tool", of_caller=False)] = "kmer"
    device: Annotated[str, Option("Run it there."), UsesDevice("compute")] = "auto"
    n_devices: Annotated[int, Option("Take as many."), UsesDevice("compute")] = 1
    quiet: Annotated[bool, Option("Show no progress."), NONE] = True

    def request(self) -> Request:
        return self.asking()

    def run(self, progress: ProgressSink = SILENT) -> "Experiment":
        return self


def test_the_effects_of_a_declaration_say_what_its_request_runs_uses_and_sends() -> None:
    asked = Experiment(
        code=Code("plan.pt2"), host=Host("archive.lab"), tool="mmseqs", device="cuda:1", n_devices=2
    )
    request = asked.asking(hosts=("archive.lab",))
    assert request.code == ("plan.pt2",), "a tool that biofm looks for itself is not the caller's code"
    assert request.device == "cuda:1", "a number of devices names none"
    assert request.sends == {Content.NUMBERS, Content.SEG}

    idle = Experiment(code=None, host=None).asking()
    assert (idle.code, idle.device, idle.hosts, idle.sends) == ((), "auto", (), frozenset())


@pytest.mark.parametrize("verb", [Merge, Embed])
def test_a_verb_that_may_contact_others_may_send_anything_unless_it_says_what(verb: type[Verb[Any]]) -> None:
    assert sends_of(verb) == ({Content.FREE} if verb is Embed else set())


def test_preparing_data_runs_no_code_of_the_caller(fasta: Path, tmp_path: Path) -> None:
    assert Prepare(fasta, tmp_path / "store", split_tool="mmseqs").request().code == ()
