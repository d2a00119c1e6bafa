"""biofm is a toolkit that runs and trains foundation models of biology.

    import biofm

    model = biofm.load("protein-nano")
    embeddings = model.embed(["MKTAYIAKQR"])

The names below are imported from their modules at first use (PEP 562), so that ``import biofm`` is quick.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for mypy and editors; a test checks that _HOMES has the same names
    from biofm.api import (
        Contacts,
        Describe,
        Embed,
        Evaluate,
        Finetune,
        Merge,
        Neighbours,
        Perplexity,
        Predict,
        Prepare,
        Pretrain,
        RunProgram,
        Score,
        contacts,
        describe,
        embed,
        evaluate,
        finetune,
        info,
        load,
        merge,
        neighbours,
        perplexity,
        predict,
        prepare,
        pretrain,
        run_program,
        score,
    )
    from biofm.api.model import Model
    from biofm.core.environment import __version__
    from biofm.core.errors import BiofmError
    from biofm.gate import policy_in_force

_HOMES = {
    "BiofmError": "biofm.core.errors",
    "Contacts": "biofm.api",
    "Describe": "biofm.api",
    "Embed": "biofm.api",
    "Evaluate": "biofm.api",
    "Finetune": "biofm.api",
    "Merge": "biofm.api",
    "Model": "biofm.api.model",
    "Neighbours": "biofm.api",
    "Perplexity": "biofm.api",
    "Predict": "biofm.api",
    "Prepare": "biofm.api",
    "Pretrain": "biofm.api",
    "RunProgram": "biofm.api",
    "Score": "biofm.api",
    "__version__": "biofm.core.environment",
    "contacts": "biofm.api",
    "describe": "biofm.api",
    "embed": "biofm.api",
    "evaluate": "biofm.api",
    "finetune": "biofm.api",
    "info": "biofm.api",
    "load": "biofm.api",
    "merge": "biofm.api",
    "neighbours": "biofm.api",
    "perplexity": "biofm.api",
    "policy_in_force": "biofm.gate",
    "predict": "biofm.api",
    "prepare": "biofm.api",
    "pretrain": "biofm.api",
    "run_program": "biofm.api",
    "score": "biofm.api",
}

__all__ = [
    "BiofmError",
    "Contacts",
    "Describe",
    "Embed",
    "Evaluate",
    "Finetune",
    "Merge",
    "Model",
    "Neighbours",
    "Perplexity",
    "Predict",
    "Prepare",
    "Pretrain",
    "RunProgram",
    "Score",
    "__version__",
    "contacts",
    "describe",
    "embed",
    "evaluate",
    "finetune",
    "info",
    "load",
    "merge",
    "neighbours",
    "perplexity",
    "policy_in_force",
    "predict",
    "prepare",
    "pretrain",
    "run_program",
    "score",
]


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # so that mypy still finds a misspelt name

    def __getattr__(name: str) -> object:
        """Import a public name at its first use."""
        if name not in _HOMES:
            raise AttributeError(f"module 'biofm' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)
