"""Every public name of biofm: which verb it asks the gate for, or why it need not ask.

Run as a script, this calls every name under a policy that refuses everything, and prints as JSON what each
one asked for and what it touched. It is a script because nobody can take an audit hook away again.
"""

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from tests.api.watch import Watch

HUB_NAME = "someone/tiny"
REFUSING, WITHOUT_MODELS, ALLOWING = "nothing.yaml", "models.yaml", "mirror.yaml"
"""A policy that refuses everything, one that refuses to load models, and one whose hub is on this machine."""
ROOT = Path(__file__).resolve().parents[2]

# How each declared verb is called, by its function: what is given by position and by name.
CALLS: dict[str, tuple[Sequence[Any], dict[str, Any]]] = {
    "contacts": (("in.fasta", "new.npz"), {"model": "esm2"}),
    "describe": (("in.fasta",), {"picture": "new.png"}),
    "embed": (("in.fasta", "new.npz"), {"model": "esm2"}),
    "evaluate": (("scores.csv",), {"measured_column": "fitness", "score_column": "score"}),
    "finetune": (
        ("table.csv", "new"),
        {"target": "y", "column": "sequence", "split_column": "set", "model": "esm2"},
    ),
    "merge": ((("in.npz.shard-1-of-2", "in.npz.shard-2-of-2"), "new.npz"), {}),
    "neighbours": (("in.npz",), {"picture": "new.png"}),
    "perplexity": (("in.fasta", "new.csv"), {"model": "esm2"}),
    "predict": (("in.fasta", "new.csv"), {"predictor": "tuned/predictor"}),
    "prepare": (("in.fasta", "new"), {"split": "identity", "split_tool": "mmseqs", "validation": 0.2}),
    "pretrain": (("in.fasta", "new"), {"n_steps": 2, "sets": ("wandb=mine",), "start_from": "esm2"}),
    "run_program": (("program.pt2", "input.npy", "new.npy"), {}),
    "score": (("variants.csv", "new.csv"), {"wild_type": "wild.fasta", "models": ("esm2",)}),
}
WITH_MODEL = ("contacts", "embed", "finetune", "perplexity", "predict", "pretrain", "score")
ESTIMATED = ("embed", "finetune", "pretrain", "score")

# The commands, with the verb that each one asks for first.
COMMANDS: dict[str, tuple[str, Sequence[str]]] = {
    "contacts": ("contacts", ("in.fasta", "-o", "new.npz", "-m", "esm2")),
    "data describe": ("describe", ("in.fasta",)),
    "data prepare": ("prepare", ("in.fasta", "-o", "new")),
    "embed": ("embed", ("in.fasta", "-o", "new.h5ad", "-m", "esm2")),
    "evaluate": ("evaluate", ("scores.csv", "--measured-column", "fitness", "--score-column", "score")),
    "finetune": (
        "finetune",
        ("table.csv", "--target", "y", "--column", "sequence", "-m", "esm2", "-o", "new"),
    ),
    "info": ("load", ("esm2",)),
    "merge": ("merge", ("in.npz.shard-1-of-2", "in.npz.shard-2-of-2", "-o", "new.npz")),
    "neighbours": ("neighbours", ("in.npz",)),
    "perplexity": ("perplexity", ("in.fasta", "-o", "new.csv")),
    "predict": ("predict", ("in.fasta", "-p", "tuned/predictor", "-o", "new.csv")),
    "pretrain": ("pretrain", ("in.fasta", "-o", "new", "--steps", "2")),
    "run-program": ("run_program", ("program.pt2", "input.npy", "-o", "new.npy")),
    "score": ("score", ("variants.csv", "--wild-type", "wild.fasta", "-o", "new.csv")),
}

# Other ways into the verbs: the roads to helper programs, servers and files beside the inputs.
ROADS: dict[str, tuple[str, Sequence[str]]] = {
    "a model on the hub": ("fetch", ("info", HUB_NAME)),
    "relatives by MMseqs2": (
        "prepare",
        (
            "data",
            "prepare",
            "in.fasta",
            "-o",
            "new",
            "--split",
            "identity",
            "--split-tool",
            "mmseqs",
            "--validation",
            "0.2",
        ),
    ),
    "a log at Weights & Biases": (
        "pretrain",
        ("pretrain", "in.fasta", "-o", "new", "--steps", "2", "--set", "wandb=mine"),
    ),
    "a recipe": ("configure", ("pretrain", "in.fasta", "-o", "new", "--config", "settings.toml")),
    "a run that is resumed": ("configure", ("pretrain", "in.fasta", "-o", "pretrained", "--resume")),
    "an output that is whole": ("embed", ("embed", "in.fasta", "-o", "in.npz", "--resume", "-m", "esm2")),
    "an estimate": ("estimate", ("embed", "in.fasta", "-o", "new.npz", "--estimate", "-m", "esm2")),
    "standard input and output": ("perplexity", ("perplexity", "-", "-o", "-", "-m", "esm2")),
    "a file that is overwritten": ("embed", ("embed", "in.fasta", "-o", "in.npz", "--overwrite")),
    "a shard": ("embed", ("embed", "in.fasta", "-o", "new.npz", "--shard", "1/2", "-m", "esm2")),
}


def class_of(verb: str) -> str:
    """Return the name of the class that declares a verb."""
    return "".join(word.capitalize() for word in verb.split("_"))


CONTROLS = ("biofm.embed", "relatives by MMseqs2", "a model on the hub")
"""What is called once more where it is allowed, to show that the watch sees something."""

NAMES_ONLY = "it looks at the names of files, and at what ships with biofm, and opens none of the caller's"
MEMORY = "it works on weights and numbers in memory"
OPENED = "it reads files that a permit has opened"
OPERATORS = "it is the operator's tool, by which a wrong policy or manifest is mended"
LEDGERS = "it reads the ledger, which every other name writes"

# Called as well, although nothing is asked: they touch nothing.
SILENT: dict[str, str] = {
    **{f"biofm.{class_of(verb)}.options": "it turns options into plain values" for verb in CALLS},
    **{f"biofm.{class_of(verb)}.asking": "it puts a request together" for verb in CALLS},
    **{f"biofm.{class_of(verb)}.request": NAMES_ONLY for verb in CALLS},
    **{f"biofm.{class_of(verb)}.exact_options": "it turns options into plain values" for verb in CALLS},
    "biofm.Finetune.settled": "it puts a recipe together, and asks for its file if there is one",
    "biofm.Pretrain.settled": "it puts a recipe together, and asks for its file if there is one",
    "biofm.Model.modality": MEMORY,
    "biofm.Model.in_dtype": MEMORY,
    "biofm.Model.embedder": MEMORY,
    "biofm.Model.contact_mapper": MEMORY,
    "biofm.Model.contact_provenance": MEMORY,
    "biofm.Model.scoring_model": MEMORY,
    "biofm.Model.provenance": MEMORY,
    "biofm.api.kernels": "it describes this machine",
    "biofm.api.models": NAMES_ONLY,
    "biofm models": NAMES_ONLY,
    "biofm policy show": "it prints a file of biofm",
    "biofm policy schema": "it prints what biofm's own classes say",
    "biofm policy rights": "it prints what the policies say",
}

# Not called here, each with the reason.
STATED: dict[str, str] = {
    "biofm.BiofmError": "it is an exception",
    "biofm.__version__": "it is a text",
    "biofm.policy_in_force": "it names a policy, which the gate itself reads",
    **{f"biofm.{class_of(verb)}": "it only holds the options of a call" for verb in CALLS},
    **{f"biofm.{class_of(verb)}.models_loaded": OPENED for verb in CALLS},
    "biofm.Model": "it only holds a model that load has read",
    "biofm policy check": OPERATORS,
    "biofm policy explain": OPERATORS,
    "biofm policy sign": OPERATORS,
    "biofm policy check-model": OPERATORS,
    "biofm policy begin": "it notes a session in the ledger, which takes no label away",
    "biofm policy reset": "it ends sessions in the ledger, and a person confirms it at the terminal",
    "biofm audit show": LEDGERS,
    "biofm audit verify": LEDGERS,
    "biofm audit export": LEDGERS,
    "biofm audit head": f"{LEDGERS}, and makes the operator's key where there is none",
    "biofm.inference.prediction.PredictorFiles": OPENED,
    "biofm.inference.prediction.PredictorFiles.calibration": OPENED,
    "biofm.inference.prediction.PredictorFiles.checkpoint": OPENED,
    "biofm.inference.prediction.PredictorFiles.domain": OPENED,
    "biofm.inference.prediction.PredictorFiles.head": OPENED,
    "biofm.inference.prediction.PredictorFiles.merge_adapter": OPENED,
    "biofm.inference.prediction.PredictorFiles.nearest": OPENED,
    "biofm.inference.prediction.Predictor": MEMORY,
    "biofm.inference.prediction.Predictor.embedder": MEMORY,
    "biofm.inference.prediction.Predictor.stream": MEMORY,
    "biofm.esm.ESMC": "it only holds a model that load has read",
    "biofm.esm.ESMC.from_pretrained": "it reads the model by biofm.load, which asks",
    **{
        f"biofm.esm.ESMC.{name}": MEMORY
        for name in ("decode", "device", "encode", "eval", "forward", "logits", "raw_model", "to")
    },
}


def public_names() -> Iterator[str]:
    """Yield every name that a caller has: of the package, of its public classes, and of the commands."""
    import biofm
    from biofm import api
    from biofm.inference.prediction import Predictor, PredictorFiles

    for name in biofm.__all__:
        yield f"biofm.{name}"
        if isinstance(kind := getattr(biofm, name), type) and name != "BiofmError":
            yield from (f"biofm.{name}.{method}" for method in methods_of(kind))
    yield from (f"biofm.api.{name}" for name in api.__all__ if name not in biofm.__all__)
    for kind in (Predictor, PredictorFiles):
        yield f"biofm.inference.prediction.{kind.__name__}"
        yield from (f"biofm.inference.prediction.{kind.__name__}.{name}" for name in methods_of(kind))
    yield "biofm.esm.ESMC"
    yield from (f"biofm.esm.ESMC.{name}" for name in methods_of_client())
    yield from commands()


def methods_of(kind: type) -> list[str]:
    """Return the public methods and properties of a class that are no fields."""
    fields = getattr(kind, "__dataclass_fields__", {})
    found = (name for name, _ in inspect.getmembers(kind) if not name.startswith("_"))
    return [name for name in found if name not in fields]


def methods_of_client() -> list[str]:
    """Return the public methods of the client for the package esm, which need not be installed."""
    tree = ast.parse((ROOT / "biofm" / "esm.py").read_text(encoding="utf-8"))
    (client,) = (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == "ESMC")
    found = [one.name for one in client.body if isinstance(one, ast.FunctionDef)]
    return [name for name in found if not name.startswith("_")]


def commands() -> Iterator[str]:
    """Yield every command, with the group that it belongs to."""
    from biofm.cli import app

    for group, prefix in (
        (app, ""),
        *((one.typer_instance, f"{one.name} ") for one in app.registered_groups),
    ):
        for one in group.registered_commands:
            assert one.callback is not None
            yield f"biofm {prefix}{one.callback.__name__.replace('_', '-')}"


class Watched(NamedTuple):
    """Holds what a call asked the gate for, how it ended, and what it touched."""

    asked: list[str]
    ended: str
    touched: list[str]


def words(*given: str) -> Callable[[], object]:
    """Return a call of the command line."""

    def call() -> object:
        from biofm.cli import main

        sys.argv = ["biofm", *given]
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said, suppress(SystemExit):
            main()
        if "the policy does not allow this" in said.getvalue():
            from biofm.core.errors import RefusedError

            raise RefusedError(said.getvalue(), where="", remedy="")
        return said.getvalue()

    return call


def calls(model: Any) -> dict[str, Callable[[], object]]:
    """Return a call of every public name but those of ``STATED``, and of every road."""
    import biofm
    from biofm import api

    def on(verb: str, method: str) -> Callable[[], object]:
        given, named = CALLS[verb]
        return lambda: getattr(getattr(biofm, class_of(verb))(*given, **named), method)()

    found: dict[str, Callable[[], object]] = {}
    for verb, (given, named) in CALLS.items():
        found[f"biofm.{verb}"] = partial(getattr(biofm, verb), *given, **named)
        for method in ("asking", "exact_options", "options", "perform", "request", "run"):
            found[f"biofm.{class_of(verb)}.{method}"] = on(verb, method)
        if verb in ESTIMATED:
            found[f"biofm.{class_of(verb)}.estimate"] = on(verb, "estimate")
    found |= {f"biofm.{class_of(verb)}.settled": on(verb, "settled") for verb in ("finetune", "pretrain")}
    found |= {f"biofm {name}": words(*name.split(), *rest) for name, (_, rest) in COMMANDS.items()}
    found |= {name: words(*given) for name, (_, given) in ROADS.items()}
    found |= {name: words(*name.split()[1:]) for name in SILENT if name.startswith("biofm ")}
    proteins = ["MKTAYIAKQR", "ACDEFGHIKL"]
    return found | {
        "biofm.load": lambda: biofm.load("esm2"),
        "biofm.info": lambda: biofm.info(),
        "biofm.api.kernels": lambda: api.kernels(),
        "biofm.api.models": lambda: api.models(),
        "biofm.Model.embed": lambda: model.embed(proteins),
        "biofm.Model.contacts": lambda: model.contacts(proteins),
        "biofm.Model.score": lambda: model.score(proteins[0], ["M1A"]),
        "biofm.Model.perplexity": lambda: model.perplexity(proteins),
        "biofm.Model.save": lambda: model.save("new"),
        "biofm.Model.modality": lambda: model.modality,
        "biofm.Model.in_dtype": lambda: model.in_dtype("bfloat16"),
        "biofm.Model.embedder": lambda: model.embedder(embed_options()),
        "biofm.Model.contact_mapper": lambda: model.contact_mapper(),
        "biofm.Model.contact_provenance": lambda: model.contact_provenance("drop"),
        "biofm.Model.scoring_model": lambda: model.scoring_model(),
        "biofm.Model.provenance": lambda: model.provenance(model.embedder(embed_options()), "drop"),
    }


def embed_options() -> Any:
    from biofm.inference import EmbedOptions

    return EmbedOptions(pool="mean", layer=-1, window=None, tokens_per_batch=None, on_error="stop")


def expected() -> dict[str, str]:
    """Return the verb that each call of ``calls`` asks for first; "" if it asks for none."""
    asked = dict.fromkeys(SILENT, "")
    for verb in CALLS:
        asked |= dict.fromkeys(
            (f"biofm.{verb}", *(f"biofm.{class_of(verb)}.{one}" for one in ("run", "perform"))), verb
        )
    asked |= {f"biofm.{class_of(verb)}.estimate": "estimate" for verb in ESTIMATED}
    asked |= {"biofm.load": "load", "biofm.info": "load", "biofm.Model.save": "save"}
    asked |= {f"biofm.Model.{verb}": verb for verb in ("contacts", "embed", "perplexity", "score")}
    asked |= {f"biofm {name}": verb for name, (verb, _) in COMMANDS.items()}
    return asked | {name: verb for name, (verb, _) in ROADS.items()}


def main() -> None:
    """Print what every name did: below the policy that refuses everything, and one name without it."""
    import biofm.gate

    asked: list[str] = []
    ask = biofm.gate.ask

    def watched(request: Any, *, in_worker: bool = False) -> Any:
        asked.append(request.verb)
        return ask(request, in_worker=in_worker)

    biofm.gate.ask = watched  # before the verbs take it from there
    import biofm.models
    from biofm.core.errors import RefusedError

    folder = Path.cwd()
    watch = Watch(folder, Path(biofm.models.__file__).parent / "bundled", folder.parent / "own")
    every = calls(biofm.load("esm2"))

    def told(call: Callable[[], object]) -> Watched:
        asked.clear()
        watch.touched, ended = [], "completed"
        try:
            call()
        except RefusedError:
            ended = "refused"
        except Exception as error:  # noqa: BLE001  # the test says which one
            ended = f"{type(error).__name__}: {error}"
        finally:
            touched, watch.touched = watch.touched, None
        return Watched(list(asked), ended, touched)

    before = contents(folder)
    with biofm.policy_in_force(str(folder.parent / "own" / REFUSING)):
        found = {name: told(call) for name, call in every.items()}
    assert contents(folder) == before, "a call that was refused has changed a file"
    with biofm.policy_in_force(str(folder.parent / "own" / WITHOUT_MODELS)):
        half = {f"biofm.{verb}": told(every[f"biofm.{verb}"]) for verb in WITH_MODEL}
    with biofm.policy_in_force(str(folder.parent / "own" / ALLOWING)):
        controls = {name: told(every[name]) for name in CONTROLS}
    print(json.dumps({"found": found, "half": half, "controls": controls}))


def contents(folder: Path) -> dict[str, bytes]:
    """Return what all files of a folder hold."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    main()
