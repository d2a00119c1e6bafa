"""Whoever checks types is told of a wrong call before it is made: a verb's function keeps its types."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CALLS = """
from pathlib import Path

from biofm.api.embed import Embed, embed

reveal_type(embed("in.fasta", "out.csv"))
embed(Path("in.fasta"), output=Path("out.csv"), model="esm2-8m", pool="cls", layer=3, window=None)
embed("in.fasta", "out.csv", on_error="skip", shard="1/2", quiet=False)
reveal_type(Embed("in.fasta", "out.csv").run())

embed("in.fasta", "out.csv", modle="esm2-8m")
embed("in.fasta", "out.csv", layer="3")
embed("in.fasta", "out.csv", pool="median")
embed("in.fasta")
embed("in.fasta", "out.csv", "esm2-8m")
embed("in.fasta", "out.csv").n_dimension
"""
EXPECTED = {
    'reveal_type(embed("in.fasta", "out.csv"))': r'Revealed type is ".*\bEmbedSummary"',
    'reveal_type(Embed("in.fasta", "out.csv").run())': r'Revealed type is ".*\bEmbedSummary"',
    'embed("in.fasta", "out.csv", modle="esm2-8m")': r'.*"modle".*"model".*\[call-arg\]',
    'embed("in.fasta", "out.csv", layer="3")': r'.*"layer".*"str".*"int".*\[arg-type\]',
    'embed("in.fasta", "out.csv", pool="median")': r".*'median'.*'mean', 'cls', 'max', 'none'.*\[arg-type\]",
    'embed("in.fasta")': r"Too few arguments .*\[call-arg\]",
    'embed("in.fasta", "out.csv", "esm2-8m")': r"Too many positional arguments .*\[call-arg\]",
    'embed("in.fasta", "out.csv").n_dimension': r'"EmbedSummary" .*"n_dimension".*\[attr-defined\]',
}
"""What mypy says of which line; of the others nothing."""


@pytest.mark.slow
def test_a_wrong_call_of_a_verb_is_told_at_its_line_and_a_right_one_is_not(tmp_path: Path) -> None:
    """It takes a second where mypy has looked at the sources before, which it remembers in the checkout, and
    half a minute where not.
    """
    script = tmp_path / "calls.py"
    script.write_text(CALLS)
    command = [sys.executable, "-m", "mypy", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "1 file (checked 1 source file)" in done.stdout, done.stdout + done.stderr
    lines = CALLS.splitlines()
    said = re.findall(r"^.*calls\.py:(\d+): (?:error|note): (.*)$", done.stdout, re.MULTILINE)
    assert [lines[int(number) - 1] for number, _ in said] == list(EXPECTED)
    for (_, message), expected in zip(said, EXPECTED.values(), strict=True):
        assert re.fullmatch(expected, message)
