"""Work: where a verb that can be resumed or sharded keeps its unfinished work, and which file it becomes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from biofm.api.inputs import STANDARD_STREAM
from biofm.policy import Target

if TYPE_CHECKING:
    from biofm.inference.runs import Shard


class Resumable(Protocol):
    """Is a verb with the options of a run that can be resumed and sharded."""

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
    """Describes the work of one run.

    Attributes:
        shard: The part of the input that the run works on.
        made: The file that the run leaves: the output or, of a shard, the file that ``merge`` takes.
        is_shard: Whether the run works on a shard.
        resume: Whether to continue the unfinished work.
        overwrite: Whether to replace an existing output.
    """

    shard: "Shard"
    made: Path
    is_shard: bool
    resume: bool
    overwrite: bool

    @property
    def is_finished(self) -> bool:
        """Whether the run is to be resumed and has finished before."""
        from biofm.gate import was_finished  # brings numpy

        return self.resume and not self.overwrite and was_finished(self.made)

    @property
    def target(self) -> Target:
        """The place where the work is written: the file of a shard, or a folder beside the output.

        For standard output it is a temporary folder, which is removed when the run ends.
        """
        from secrets import token_hex  # these bring numpy, or are rarely needed

        from biofm.core.temporary import temporary_folder
        from biofm.gate import scratch_path

        if self.made == STANDARD_STREAM:
            return Target(path=temporary_folder() / f".biofm-{token_hex(8)}.run", kind="temporary")
        if self.is_shard:
            return Target(path=self.made, kind="journal", overwrite=self.overwrite, resume=self.resume)
        path = scratch_path(self.made)
        return Target(path=path, kind="scratch", overwrite=self.overwrite, resume=self.resume)


def work_of(asked: Resumable) -> Work:
    """Return the work that a verb was asked for, or raise OptionError for a shard that is not like 2/8."""
    from biofm.inference.runs import WHOLE, Shard  # bring torch

    output, is_shard = Path(asked.output), asked.shard is not None
    shard = WHOLE if asked.shard is None else Shard.parse(asked.shard)
    made = shard.path(output) if is_shard else output
    return Work(shard, made, is_shard, asked.resume, asked.overwrite)
