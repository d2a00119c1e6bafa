"""The hosts of a request: the server that a verb asks, and the hosts to which that one may lead it.

Which hosts these are stands in the policies and nowhere else, so that a mirror of the hub or a server of
one's own is a line in a policy file.
"""

from biofm.gate.policies import policies_in_force
from biofm.policy.hosts import HostError, is_listed
from biofm.policy.policies import Policy


def hosts_of_server(verb: str, server: str) -> tuple[str, ...]:
    """Return the hosts that a verb contacts if it asks a server.

    A server sends its clients on to other machines, such as file stores. So these are the server and the
    hosts that every policy in force lists for the verb. If a policy does not list the server, it is the
    server alone, and the policy will refuse it.

    Args:
        verb: The verb.
        server: The host of the server in its only spelling.
    """
    lists = [one.hosts.get(verb, ()) if isinstance(one, Policy) else () for one in policies_in_force()]
    listed = dict.fromkeys(host for some in lists for host in some)
    try:
        allowed = tuple(host for host in listed if all(is_listed(host, some) for some in lists))
        is_allowed = is_listed(server, allowed)
    except HostError:  # A policy lists a host that is not in its only spelling.
        is_allowed = False
    if not is_allowed:
        return (server,)
    return allowed if server in allowed else (server, *allowed)
