"""What each verb runs in a confined worker is named in one closed table."""

import ast
from importlib.util import find_spec
from pathlib import Path

from biofm.api.declaration import options_of
from biofm.api.request import VERBS
from biofm.api.run_program import RunProgram
from biofm.api.workers import WORKERS
from biofm.policy import RunsCode


def test_the_table_names_verbs_and_modules_that_exist() -> None:
    assert WORKERS["run_program"] == "biofm.inference.worker"
    assert WORKERS.keys() <= VERBS
    for module in WORKERS.values():
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        names = {
            name
            for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
            for name in (
                [node.name]
                if isinstance(node, ast.FunctionDef)
                else [ast.unparse(one) for one in node.targets]
                if isinstance(node, ast.Assign)
                else []
            )
        }
        assert {"JOB", "run"} <= names


def test_no_worker_has_a_module_beside_the_table() -> None:
    """Each call of ``Worker`` in biofm takes its module from the table."""
    given = [
        ast.unparse(keyword.value)
        for path in (Path(__file__).parents[2] / "biofm").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Worker"
        for keyword in node.keywords
        if keyword.arg == "module"
    ]
    assert sorted(given) == ["WORKERS['run_program']", "WORKERS[name]"]


def test_the_declaration_says_that_the_verb_runs_code() -> None:
    effects = [effect for one in options_of(RunProgram) for effect in one.effects]
    assert [effect.role for effect in effects if isinstance(effect, RunsCode)] == ["program"]
