"""Documents of settings are read strictly where their reader asks for that."""

import pytest
from biofm_datasets.documents import parse_json


def test_a_key_that_stands_twice_is_refused_where_the_caller_wants_that() -> None:
    text = '{"a": {"b": 1, "b": 2}}'
    assert parse_json(text) == {"a": {"b": 2}}
    with pytest.raises(ValueError, match="the key 'b' stands there twice"):
        parse_json(text, strict=True)
    assert parse_json('{"a": [{"b": 1}, {"b": 2}]}', strict=True) == {"a": [{"b": 1}, {"b": 2}]}
