"""Evidence is what the gate found out about a request, for the policy to judge.

Every field is required, so that no rule can miss one in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from biofm.policy.labels import Labels
from biofm.policy.requests import require
from biofm.policy.screening import Screening


class Approval(Enum):
    """Says whether a person has approved the request.

    LIVE is an approval of exactly this request that is still valid. USED and EXPIRED ones were of this
    request, and OTHER ones of another request.
    """

    NONE = "none"
    LIVE = "live"
    USED = "used"
    EXPIRED = "expired"
    OTHER = "other"


class Models(Enum):
    """Says whether the operator has signed the files of the model. NONE means that no model is loaded."""

    NONE = "none"
    SIGNED = "signed"
    UNSIGNED = "unsigned"


Loss = Literal["deletes", "overwrites"]
Maker = Literal["own", "account", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """Says which existing file or folder the request would delete or overwrite.

    Attributes:
        path: The file or folder.
        what: Whether the request "deletes" or "overwrites" it.
        maker: Who made it: this holder under this ledger ("own"), this "account", or an "other" account.
    """

    path: Path
    what: Loss
    maker: Maker

    def __post_init__(self) -> None:
        require(isinstance(self.path, Path), f"the path of an alteration is a Path, not {self.path!r}")
        require(self.what in get_args(Loss), f"an alteration deletes or overwrites, not {self.what!r}")
        require(self.maker in get_args(Maker), f"the maker is own, account or other, not {self.maker!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Holds what the gate found out about a request.

    Attributes:
        held: The labels that the holder has already.
        inputs: The labels of the files that are read, by role.
        alters: What the request would delete or overwrite.
        outside: The files and folders of the request that lie outside the roots of a policy in force.
        approval: Whether a person has approved exactly this request.
        is_confined: Whether the kernel can confine a worker here.
        models: Whether the model's files are signed.
        screening: How the sequences of the request were screened.
    """

    held: Labels
    inputs: Mapping[str, Labels]
    alters: tuple[Alteration, ...]
    outside: tuple[Path, ...]
    approval: Approval
    is_confined: bool
    models: Models
    screening: Screening

    def __post_init__(self) -> None:
        kinds = {"held": Labels, "alters": tuple, "outside": tuple, "approval": Approval}
        kinds |= {"is_confined": bool, "models": Models, "screening": Screening}
        for name, kind in kinds.items():
            value = getattr(self, name)
            require(
                type(value) is kind, f"the evidence {name!r} is of the type {kind.__name__}, not {value!r}"
            )
        for role, labels in self.inputs.items():
            require(isinstance(role, str), f"the role of an input is a str, not {role!r}")
            require(type(labels) is Labels, f"the labels of {role!r} are Labels, not {labels!r}")
        for one in self.alters:
            require(isinstance(one, Alteration), f"the evidence 'alters' holds Alterations, not {one!r}")
        for path in self.outside:
            require(isinstance(path, Path), f"the evidence 'outside' holds Paths, not {path!r}")
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
