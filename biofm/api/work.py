"""The unfinished work of a verb that can be resumed, and shared among processes: where it lies, and what it
becomes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from biofm.api.inputs import STANDARD_STREAM
from biofm.policy import Target

if TYPE_CHECKING:
    from biofm.inference.runs import Shard


class Resumable(Protocol):
    """A verb with the options of a run that can be resumed and shared."""

    @property
    def output(self) -> str | Path: ...
    @property
    def shard(self) -> str | None: ...
    @property
    def resume(self) -> bool: ...
    @property
    def overwrite(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Work:
    """``share`` is what the run does of its input; ``made`` is what is there at its end: the output, or the
    file of a share, which ``merge`` takes.
    """

    share: "Shard"
    made: Path
    is_shared: bool
    resume: bool
    overwrite: bool

    @property
    def is_finished(self) -> bool:
        """Whether a run that is to be resumed has ended before."""
        from biofm.gate import was_finished  # brings numpy

        return self.resume and not self.overwrite and was_finished(self.made)

    @property
    def target(self) -> Target:
        """What the work is written into: the file of a share, or a folder beside the output. The work for
        standard output goes with its run.
        """
        from secrets import token_hex  # these bring numpy, or are rarely needed

        from biofm.core.temporary import temporary_folder
        from biofm.gate import scratch_path

        if self.made == STANDARD_STREAM:
            return Target(path=temporary_folder() / f".biofm-{token_hex(8)}.run", kind="temporary")
        if self.is_shared:
            return Target(path=self.made, kind="journal", overwrite=self.overwrite, resume=self.resume)
        path = scratch_path(self.made)
        return Target(path=path, kind="scratch", overwrite=self.overwrite, resume=self.resume)


def work_of(asked: Resumable) -> Work:
    """The work that a verb was asked for. Raises OptionError: ``shard`` is none."""
    from biofm.inference.runs import WHOLE, Shard  # bring torch

    output, is_shared = Path(asked.output), asked.shard is not None
    share = WHOLE if asked.shard is None else Shard.parse(asked.shard)
    made = share.path(output) if is_shared else output
    return Work(share, made, is_shared, asked.resume, asked.overwrite)
