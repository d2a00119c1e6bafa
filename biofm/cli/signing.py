"""The commands ``biofm policy sign`` and ``check-model``, by which an operator signs the models to trust."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from typer import Argument, Option

from biofm.cli.printing import print_result, print_table
from biofm.core.errors import InputError, ModelError, OptionError

SAFETENSORS = "Give a folder with config.json and model.safetensors: `model.save(folder)` writes one"
Folder = Annotated[
    Path,
    Argument(
        help="Read the model in this folder: config.json and its safetensors, or a predictor that "
        "`biofm finetune` wrote."
    ),
]
Key = Annotated[
    Path,
    Option(
        "--key",
        help="Read the key from this file. It holds the word hmac-sha256 and 64 hexadecimal digits; or, with "
        "the package cryptography, ed25519-private to sign and ed25519 to check, each with its digits.",
        metavar="PATH",
    ),
]
Use = Annotated[
    str,
    Option(
        "--use",
        help="Allow the model to be used for this, said in a sentence.",
        metavar="TEXT",
    ),
]
Add = Annotated[
    Path | None,
    Option(
        "--add",
        help="Put the models of this manifest, which the same key has signed, into the new one too. By "
        "default it holds the model of the folder alone.",
        metavar="PATH",
    ),
]
Manifest = Annotated[
    Path,
    Option(
        "--manifest",
        help="Look for the model in this manifest, which `biofm policy sign` printed.",
        metavar="PATH",
    ),
]


def sign(folder: Folder, key: Key, use: Use, add: Add = None) -> None:
    """Print a signed manifest of a model: its files, their checksums, and what it may be used for."""
    from biofm.core.provenance import sha256_of  # these bring numpy
    from biofm.gate.manifest import SAFE, SignedModel, read_manifest, sign_manifest

    if not use.strip():
        raise OptionError("the use is empty", where="--use", remedy="Say what the model may be used for")
    others = [] if add is None else read_manifest(add, key)
    with _opened(folder) as files:
        for name in files:
            if not name.endswith(SAFE):
                what = "this is not a safetensors file, and a file of another kind could run code"
                raise ModelError(what, where=str(folder / name), remedy=SAFETENSORS)
        sums = {name: sha256_of([file]) for name, file in files.items()}
    models = [*(one for one in others if one.files != sums), SignedModel(files=sums, intended_use=use)]
    print_result(sign_manifest(models, key).removesuffix("\n"))


def check_model(folder: Folder, manifest: Manifest, key: Key) -> None:
    """Check that a model is one that the operator signed; the exit code is 1 if it is not."""
    from biofm.gate import manifest as signed  # brings numpy

    models = signed.read_manifest(manifest, key)
    with _opened(folder) as files:
        found = signed.check_model(files, models)
    if not found.is_signed:
        remedy = "Ask the operator to sign it with `biofm policy sign`"
        raise ModelError(f"this model is not signed: {found.reason}", where=str(folder), remedy=remedy)
    print_table([("signed", "yes"), ("files", ", ".join(sorted(files))), ("use", found.intended_use)])


@contextmanager
def _opened(folder: Path) -> Iterator[dict[str, BinaryIO]]:
    """Open the files that loading the model of a folder reads, and yield them by their paths below it."""
    from biofm.gate import EVERYWHERE, open_input  # these bring numpy and torch
    from biofm.inference.prediction import PREDICTOR_FILE, files_of_predictor, find_predictor
    from biofm.models import files_of

    if not folder.is_dir():
        raise InputError("this is not a folder", where=str(folder), remedy=SAFETENSORS)
    predictor = find_predictor(folder)
    is_predictor = (predictor / PREDICTOR_FILE).is_file()
    paths = files_of_predictor(predictor) if is_predictor else files_of(folder)
    with ExitStack() as opened:
        yield {
            path.relative_to(paths[0].parent).as_posix(): opened.enter_context(
                open_input(path, EVERYWHERE, streams=False)
            )
            for path in paths
        }
