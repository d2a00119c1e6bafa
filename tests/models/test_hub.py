"""The hub's client connects to the hosts of the request and to no other, wherever the hub leads it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biofm.core import OptionError, RefusedError
from biofm.models import Location, fetch, hosts_of_hub
from biofm.models.hub import only_these_hosts
from tests.servers import Hub, serving

BOTH = ["config.json", "model.safetensors"]
Fetch = Callable[..., list[str]]


@pytest.fixture
def hub() -> Iterator[type[Hub]]:
    """Start a hub of two files on this machine, and return its handler."""
    with serving(Hub, leads={}, files=dict.fromkeys(BOTH, b"{}")) as handler:
        yield handler


@pytest.fixture
def fetched(hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Return a function that fetches the model from the hub, allowed these hosts, and names its files."""
    constants, address = "huggingface_hub.constants", f"http://127.0.0.1:{hub.port}"
    monkeypatch.setattr(f"{constants}.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    return lambda *hosts: sorted(path.name for path in fetch(Location("a/b", hub_id="a/b"), hosts).iterdir())


def test_a_model_is_fetched_from_its_host(hub: type[Hub], fetched: Fetch) -> None:
    assert fetched("127.0.0.1") == BOTH
    assert {visit.partition(" ")[0] for visit in hub.visits} == {"127.0.0.1"}


@pytest.mark.parametrize("part", ["/api/", "config.json", "model.safetensors"])
def test_a_redirect_to_another_host_is_refused_before_it_is_contacted(
    part: str, hub: type[Hub], fetched: Fetch
) -> None:
    hub.leads[part] = f"http://localhost:{hub.port}"
    with pytest.raises(RefusedError) as caught:
        fetched("127.0.0.1")
    assert str(caught.value) == (
        "fetch: the hub leads to localhost, but this request may contact 127.0.0.1. "
        "Download the model yourself, and give the path of its folder"
    )
    assert {visit.partition(" ")[0] for visit in hub.visits} == {"127.0.0.1"}


def test_a_redirect_to_a_host_of_the_request_is_followed(hub: type[Hub], fetched: Fetch) -> None:
    hub.leads["model.safetensors"] = f"http://localhost:{hub.port}"
    assert fetched("127.0.0.1", "localhost") == BOTH
    assert any(visit.startswith("localhost /elsewhere") for visit in hub.visits)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "user@127.0.0.1", "localhost."])
def test_a_redirect_to_an_unusual_spelling_of_a_host_is_refused(
    host: str, hub: type[Hub], fetched: Fetch
) -> None:
    hub.leads["model.safetensors"] = f"http://{host}:{hub.port}"
    with pytest.raises(RefusedError, match="the hub leads to an address that is not spelled as usual"):
        fetched("127.0.0.1", "localhost")
    assert not any("elsewhere" in visit for visit in hub.visits)


def test_without_hosts_nobody_is_contacted(hub: type[Hub], fetched: Fetch) -> None:
    with pytest.raises(RefusedError) as caught:
        fetched()
    assert str(caught.value) == (
        "fetch: the hub leads to 127.0.0.1, but this request may contact no host. "
        "Download the model yourself, and give the path of its folder"
    )
    assert hub.visits == []


def test_a_program_that_uses_the_hub_itself_has_its_own_client_back() -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY, constants.HF_HUB_DISABLE_XET
    with only_these_hosts(("huggingface.co",)):
        assert constants.HF_HUB_DISABLE_XET is True
        assert len(_http.get_session().event_hooks["request"]) == 2
    assert before == (_http._GLOBAL_CLIENT_FACTORY, constants.HF_HUB_DISABLE_XET)
    assert len(_http.get_session().event_hooks["request"]) == 1


@pytest.mark.parametrize("endpoint", ["hub.example", "https://me:word@hub.example", "https://Hub.example."])
def test_an_endpoint_that_is_not_spelled_as_usual_is_an_error(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    with pytest.raises(OptionError, match=r"^HF_ENDPOINT: ") as caught:
        hosts_of_hub()
    assert caught.value.remedy == "Correct the variable, or unset it to use huggingface.co"
