"""What holds of the declaration of every verb that biofm has."""

import inspect
import pydoc
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest

import biofm.api
from biofm.api.declaration import GROUPS, Declared, Verb, name_of, options_of
from biofm.api.model import Model
from biofm.api.request import VERBS
from biofm.core.bounds import BOUNDS
from biofm.policy import ESTIMATE
from biofm.training import FinetuneRecipe, PretrainRecipe, Recipe

API = Path(biofm.api.__path__[0])


def declared_verbs() -> dict[str, type[Verb[Any]]]:
    """Every verb of biofm, by the name of the file that declares it."""
    found = {}
    for path in sorted(API.glob("*.py")):
        for name in re.findall(r"^class (\w+)\(Verb\[", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[path.stem] = getattr(import_module(f"biofm.api.{path.stem}"), name)
    return found


DECLARED = declared_verbs()
each_verb = pytest.mark.parametrize("name", DECLARED)
each_option = pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name}-{option.name}")
        for name, declaration in DECLARED.items()
        for option in options_of(declaration)
    ],
)


@each_option
def test_each_option_of_each_verb_is_explained_in_sentences(name: str, option: Declared) -> None:
    text = option.option.help
    assert text.endswith("."), text
    assert text == " ".join(text.split()), "spaces and lines are the reader's terminal's to choose"


@each_option
def test_each_option_that_a_command_line_has_stands_under_a_heading(name: str, option: Declared) -> None:
    is_of_python = name == "finetune" and option.name == "recipe"
    assert (option.option.group in GROUPS) is not (option.is_positional or is_of_python)


@each_option
def test_each_option_of_each_verb_has_the_limits_that_its_name_has(name: str, option: Declared) -> None:
    assert option.limits == BOUNDS.get(option.name)


@each_verb
def test_each_verb_is_declared_in_the_file_of_its_name(name: str) -> None:
    assert name_of(DECLARED[name]) == name


def test_the_gate_knows_what_is_declared_what_is_done_with_models_and_nothing_else() -> None:
    assert {*DECLARED, ESTIMATE, "configure", "fetch", "load", "save"} == VERBS


@each_verb
def test_each_function_has_the_parameters_of_its_declaration(name: str) -> None:
    declaration = DECLARED[name]
    function = getattr(import_module(f"biofm.api.{name}"), name)

    got, wanted = inspect.signature(function), inspect.signature(declaration)

    assert {one.name: (one.kind, one.default) for one in got.parameters.values()} == {
        one.name: (one.kind, one.default) for one in wanted.parameters.values()
    }
    assert {one.name: one.annotation for one in got.parameters.values()} == {
        one.name: get_args(wanted.parameters[one.name].annotation)[0] for one in got.parameters.values()
    }
    assert got.return_annotation == inspect.signature(declaration.run).return_annotation
    assert (function.__name__, function.__module__) == (name, declaration.__module__)


@each_verb
def test_each_verb_explains_itself_and_all_of_its_options_in_its_help(name: str) -> None:
    function = getattr(import_module(f"biofm.api.{name}"), name)

    shown = " ".join(pydoc.plain(pydoc.render_doc(function)).split())

    assert (DECLARED[name].__doc__ or "").split("\n\n")[0].endswith(".")
    for paragraph in (DECLARED[name].__doc__ or "").split("\n\n"):
        assert " ".join(paragraph.split()) in shown
    assert 0 < shown.index(" Args: ") < shown.index(" Raises: ")
    for option in options_of(DECLARED[name]):
        assert f"{option.name}: {option.option.help}" in shown


@each_verb
def test_each_verb_shows_no_progress_from_python_unless_it_is_asked_to(name: str) -> None:
    assert [one.default for one in options_of(DECLARED[name]) if one.name == "quiet"] == [True]


@pytest.mark.parametrize(("name", "recipe"), [("pretrain", PretrainRecipe), ("finetune", FinetuneRecipe)])
def test_a_setting_of_a_recipe_is_spelled_as_the_errors_of_the_recipe_spell_it(
    name: str, recipe: type[Recipe]
) -> None:
    settings = {field.name for field in fields(recipe)}
    declared = {one.name: one.flag for one in options_of(DECLARED[name]) if one.name in settings}
    assert declared == dict(recipe.OPTIONS)


@pytest.mark.parametrize("name", ["embed", "contacts", "score", "perplexity"])
def test_the_verbs_of_a_loaded_model_have_the_defaults_of_the_declared_ones(name: str) -> None:
    declared = {one.name: one.default for one in options_of(DECLARED[name])}
    for parameter in inspect.signature(getattr(Model, name)).parameters.values():
        if parameter.default is not inspect.Parameter.empty:
            assert parameter.default == declared[parameter.name], parameter.name
