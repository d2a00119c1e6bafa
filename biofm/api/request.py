"""What every verb states of itself before it acts."""

from collections.abc import Mapping
from pathlib import Path

from biofm.gate import person
from biofm.policy import Request, Target, Verb


def request_of(
    verb: Verb,
    *,
    reads: Mapping[str, tuple[Path, ...]] | None = None,
    writes: Mapping[str, Target] | None = None,
    contacts: tuple[str, ...] = (),
    model: str = "",
) -> Request:
    return Request(
        verb=verb, principal=person(), reads=reads or {}, writes=writes or {}, contacts=contacts, model=model
    )
