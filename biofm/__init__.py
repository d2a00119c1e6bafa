"""biofm: a toolkit for digital biology.

    import biofm

    model = biofm.load("protein-nano")
    embeddings = model.embed(["MKTAYIAKQR"])

The names below are fetched from their modules at first use (PEP 562), so that ``import biofm`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for mypy and editors; the same names as in _HOMES, held by a test
    from biofm.api import (
        Model,
        contacts,
        describe,
        embed,
        estimate_embed,
        estimate_pretrain,
        estimate_score,
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
        score,
    )
    from biofm.core.errors import BiofmError
    from biofm.core.version import __version__

_HOMES = {
    "BiofmError": "biofm.core.errors",
    "Model": "biofm.api",
    "__version__": "biofm.core.version",
    "contacts": "biofm.api",
    "describe": "biofm.api",
    "embed": "biofm.api",
    "estimate_embed": "biofm.api",
    "estimate_pretrain": "biofm.api",
    "estimate_score": "biofm.api",
    "evaluate": "biofm.api",
    "finetune": "biofm.api",
    "info": "biofm.api",
    "load": "biofm.api",
    "merge": "biofm.api",
    "neighbours": "biofm.api",
    "perplexity": "biofm.api",
    "predict": "biofm.api",
    "prepare": "biofm.api",
    "pretrain": "biofm.api",
    "score": "biofm.api",
}

__all__ = [
    "BiofmError",
    "Model",
    "__version__",
    "contacts",
    "describe",
    "embed",
    "estimate_embed",
    "estimate_pretrain",
    "estimate_score",
    "evaluate",
    "finetune",
    "info",
    "load",
    "merge",
    "neighbours",
    "perplexity",
    "predict",
    "prepare",
    "pretrain",
    "score",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # so that mypy still finds a name that is misspelt

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'biofm' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)
