"""The hub of models: files are downloaded from it, and no connection goes to a host that was not allowed.

The hub answers many requests by sending the client to another host, where the file lies. So the host of
every single request is checked, before the client connects.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from biofm.core.errors import ModelError, OptionError, RefusedError
from biofm.gate import hosts_of_server
from biofm.models.files import ESM_PACKAGE_WEIGHTS, WEIGHTS, Location
from biofm.policy.hosts import HostError, is_listed, parse_url

# Downloaders that are written in Rust connect by themselves, so that nothing could check their hosts.
OTHER_DOWNLOADERS = {"HF_HUB_DISABLE_XET": True, "HF_HUB_ENABLE_HF_TRANSFER": False}


def fetch(location: Location, hosts: tuple[str, ...]) -> Path:
    """Download a hub repository's model files, or find them in the hub's cache, and return their folder.

    Pickles are downloaded only from a repository without safetensors.

    Args:
        location: The place of the model on the hub.
        hosts: The hosts that may be contacted.

    Raises:
        ModelError: The files can neither be downloaded nor found in the cache.
        RefusedError: The hub leads to another host.
    """
    from huggingface_hub import snapshot_download  # imports an HTTP client, which only downloads need
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

    remedy = "Check the name and the network, or give the path of a folder that you downloaded"
    try:
        beside_settings = [f"{stem}*.{suffix}" for stem, suffix in WEIGHTS]
        for weights in (*beside_settings, ESM_PACKAGE_WEIGHTS):
            patterns = ["config.json", weights, "*.index.json"]
            with only_these_hosts(hosts):
                folder = Path(snapshot_download(location.hub_id, allow_patterns=patterns))
            if any(folder.glob(weights)):
                break
    except (HTTPError, HFValidationError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"cannot be fetched from the hub ({reason})", where=location.hub_id, remedy=remedy
        ) from error
    return folder


def hosts_of_hub() -> tuple[str, ...]:
    """Return the hosts that ``fetch`` contacts; none with HF_HUB_OFFLINE.

    They are the hub, or the host in HF_ENDPOINT, and the file stores that the policy lists beside it.

    Raises:
        OptionError: HF_ENDPOINT is no address, or not in its only spelling.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return ()
    try:
        host = parse_url(ENDPOINT).host
    except HostError as error:
        remedy = "Correct the variable, or unset it to use huggingface.co"
        raise OptionError(str(error), where="HF_ENDPOINT", remedy=remedy) from error
    return hosts_of_server("fetch", host)


@contextmanager
def only_these_hosts(hosts: tuple[str, ...]) -> Iterator[None]:
    """Let huggingface_hub contact only these hosts within the ``with``, in every thread.

    Args:
        hosts: Hosts, or ``*.`` and the end of host names.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    client: Any = _http  # Its names differ between the versions 0 and 1.

    def check(url: str) -> None:
        try:
            host = parse_url(url).host
            is_allowed = is_listed(host, hosts)
        except HostError as error:
            what = f"the hub leads to an address that is not spelled as usual: {error}"
            raise RefusedError(what, where="fetch") from error
        if not is_allowed:
            what = f"the hub leads to {host}, but this request may contact {' and '.join(hosts) or 'no host'}"
            remedy = "Download the model yourself, and give the path of its folder"
            raise RefusedError(what, where="fetch", remedy=remedy)

    with ExitStack() as undone:
        for name, value in OTHER_DOWNLOADERS.items():
            if hasattr(constants, name):
                undone.callback(setattr, constants, name, getattr(constants, name))
                setattr(constants, name, value)
        if hasattr(client, "set_client_factory"):  # huggingface_hub 1
            factory = client._GLOBAL_CLIENT_FACTORY
            undone.callback(client.set_client_factory, factory)
            client.set_client_factory(lambda: _checked_client(factory(), check))
        else:
            factory = client._GLOBAL_BACKEND_FACTORY
            undone.callback(client.configure_http_backend, factory)
            client.configure_http_backend(lambda: _checked_session(factory(), check))
        yield


def _checked_client(client: Any, check: Callable[[str], None]) -> Any:
    """Return a client of httpx that checks every address, those of redirects too, before it connects."""

    def hook(request: Any) -> None:
        check(str(request.url))

    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], hook]}
    return client


def _checked_session(session: Any, check: Callable[[str], None]) -> Any:
    """Return a session of requests that checks every address, those of redirects too, before it connects."""
    for adapter in session.adapters.values():
        adapter.send = _checked_send(adapter.send, check)
    return session


def _checked_send(send: Callable[..., Any], check: Callable[[str], None]) -> Callable[..., Any]:
    def checked(request: Any, **options: Any) -> Any:
        check(request.url)
        return send(request, **options)

    return checked
