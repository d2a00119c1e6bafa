"""The group ``biofm policy`` shows and checks policies. It passes no gate: a wrong one must be mendable."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm_datasets.text import format_count
from typer import Argument, Option, Typer

from biofm.cli.commands import Command, Group, Json
from biofm.cli.printing import print_json, print_result, print_table, say
from biofm.cli.signing import check_model, sign
from biofm.core.errors import InputError, OptionError
from biofm.policy import AGENT, LETTERS, PERSON, Evidence, Labels, Request

if TYPE_CHECKING:  # help does not need it
    from biofm.policy.accounts import Accounts
    from biofm.policy.policies import Policy

NAMES = "research, script, clinical-agent"
"""The policies that come with biofm."""

app = Typer(
    cls=Group, no_args_is_help=True, help="Show the policies that say what is allowed, and check them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Holds a request with its evidence, as ``explain`` reads them.

    Attributes:
        request: The request.
        evidence: The evidence about it.
    """

    request: Request
    evidence: Evidence


@app.command(cls=Command)
def check(
    policy: Annotated[
        str,
        Argument(help=f"Check this policy file. A name, one of {NAMES}, checks the one that biofm ships."),
    ],
) -> None:
    """Check a policy file, or a system's file that gives policies to accounts, and say what is wrong."""
    accounts = _accounts_of(policy)
    if accounts is not None:
        _check_accounts(accounts)
        return
    found = _sound(policy)
    n_rules, n_hosts = len(found.rules), sum(map(len, found.hosts.values()))
    facts = [
        ("policy", found.name),
        ("rules", str(n_rules)),
        ("hosts", str(n_hosts)),
        ("sinks", str(len(found.sinks))),
    ]
    print_table([*facts, *_places(found), ("purpose", found.purpose)])


@app.command(cls=Command)
def explain(
    request: Annotated[
        Path,
        Argument(help="Read the request and its evidence from this JSON file; - is standard input."),
    ],
    policy: Annotated[
        str | None,
        Option(
            help=f"Judge it by this policy alone: {NAMES}, or a file. By default the policies in force do.",
            metavar="POLICY",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Judge a request that is written in a file, and print every rule that fires. Nothing is run."""
    from biofm.gate import policies_in_force  # these bring numpy, and what help does not need
    from biofm.policy.rules import judge
    from biofm.policy.typed import spell

    case = _read_case(request)
    policies = policies_in_force() if policy is None else (_sound(policy),)
    verdicts = judge(case.request, case.evidence, policies)
    gravest = max(verdicts, key=lambda verdict: verdict.decision)
    if json:
        fired = [spell(one) | {"decision": one.decision.name.lower()} for one in verdicts]
        print_json({"decision": gravest.decision.name.lower(), "rule": gravest.rule, "fired": fired})
        return
    print_table(
        [(one.decision.name.lower(), one.rule, one.reason) for one in verdicts],
        header=("decision", "rule", "reason"),
    )
    print_result(
        f"\nverdict: {gravest.decision.name.lower()}, by {gravest.rule} ({', '.join(gravest.evidence)})"
    )


@app.command(cls=Command)
def rights(
    held: Annotated[
        str | None,
        Option(
            help="Print the card of a holder of these labels, such as UP: U untrusted input, P private data, "
            "X execution of a caller's code, E external communication. By default it is yours.",
            metavar="LETTERS",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print whether this account may get private data, a caller's code and other machines, or why not."""
    from biofm.api.request import VERBS  # these bring numpy, and what help does not need
    from biofm.gate import current_session, labels_held, parent_of, policies_in_force, principal_of_account
    from biofm.policy.rights import rights_of

    policies = policies_in_force()
    labels = labels_held(principal_of_account(), policies) if held is None else Labels.NONE
    for letter in held or "":
        if letter not in LETTERS:
            what, remedy = f"{letter!r} is no label", f"Give letters among {', '.join(LETTERS)}"
            raise OptionError(what, where="--held", remedy=remedy)
        labels |= LETTERS[letter]
    session = current_session() if held is None else ""
    card = rights_of(
        principal_of_account(), labels, policies, VERBS, session=session, parent=parent_of(session)
    )
    if json:
        print_json(card)
    else:
        print_result(card.text())


@app.command(cls=Command)
def begin() -> None:
    """Begin a session, and print its handle for --session and BIOFM_SESSION.

    The ledger then says which session brought which label. A session starts with all labels that this account
    has, and is judged by all that its sessions have. Where --session or BIOFM_SESSION names a session, the
    new one is within it: its handle begins with that one's, and it ends with it. There is no third level.
    """
    from biofm.gate import (
        begin_session,
        current_session,
        policies_in_force,
        principal_of_account,
    )  # bring numpy

    print_result(begin_session(principal_of_account(), policies_in_force(), current_session()))


@app.command(cls=Command)
def reset(
    session: Annotated[
        str | None,
        Option(
            help="End this session and those within it. By default all sessions of this account end, and "
            "what came without a session.",
            metavar="HANDLE",
        ),
    ] = None,
) -> None:
    """End sessions, whose labels then no longer count. A person has to confirm it at the terminal.

    A session within another one returns its labels to that one, so nobody has to confirm its end.
    """
    from biofm.gate import end_sessions, policies_in_force, principal_of_account  # bring numpy

    n_ended = end_sessions(principal_of_account(), policies_in_force(), session)
    print_result(f"{format_count(n_ended, 'session')} ended.")


@app.command(cls=Command)
def schema(
    accounts: Annotated[
        bool,
        Option(
            "--accounts",
            help="Print the schema of a system's file that gives policies to accounts. By default it is that "
            "of a policy.",
            metavar="",
        ),
    ] = False,
) -> None:
    """Print the JSON schema of policy files, by which an editor can check one while it is written."""
    from biofm.policy.schema import accounts_schema, policy_schema  # help does not need it

    print_json(accounts_schema() if accounts else policy_schema())


@app.command(cls=Command)
def show(
    name: Annotated[str, Argument(help=f"Print this policy: {NAMES}.")] = "research",
) -> None:
    """Print a policy that comes with biofm, as the start of your own."""
    from biofm.policy.files import SHIPPED, shipped_text  # help does not need it

    if name not in SHIPPED:
        raise OptionError("no such policy", where=name, remedy=f"Give one of {NAMES}")
    print_result(shipped_text(name).decode().removesuffix("\n"))


app.command(cls=Command)(sign)
app.command(cls=Command)(check_model)


def _accounts_of(word: str) -> "Accounts | None":
    """Return which account has which policy, if a word is the path of a file that says so."""
    from biofm.gate import read_policy_file  # these bring numpy, and what help does not need
    from biofm.policy.accounts import Accounts
    from biofm.policy.files import is_policy_name

    found = None if is_policy_name(word) else read_policy_file(Path(word))
    return found if isinstance(found, Accounts) else None


def _check_accounts(accounts: "Accounts") -> None:
    """Print which account has which policy. Raises InputError if one of the policies has a fault."""
    from biofm.gate import is_account  # these bring numpy, and what help does not need

    for word in (*accounts.accounts.values(), accounts.others):
        _sound(word)
    named = sorted({*accounts.accounts, *accounts.agents})
    kinds = {account: AGENT if account in accounts.agents else PERSON for account in named}
    missing = [account for account in named if not is_account(account)]
    rows = [
        (
            account,
            accounts.accounts.get(account, accounts.others),
            kinds[account],
            "no" if account in missing else "yes",
        )
        for account in named
    ]
    print_table(
        [*rows, ("all others", accounts.others, PERSON, "")],
        header=("account", "policy", "asks as", "on this machine"),
    )
    if accounts.ledgers is not None:
        print_result(f"\nledgers: {accounts.ledgers}, each in a folder with the name of its account")
    if missing:
        say(
            f"notice: this machine has no account {' and no account '.join(missing)}; if a name is "
            f"misspelt, who was meant has the policy of all others, {accounts.others}."
        )


def _places(policy: "Policy") -> list[tuple[str, str]]:
    """Return the files and folders that a policy names, and which of them this machine lacks."""
    from biofm.gate import expanded  # brings numpy, and help does not need it

    named = [("private folder", root) for root in policy.private.roots]
    named += [("reads below", root) for root in policy.roots.read if root != "/"]
    named += [("writes below", root) for root in policy.roots.write if root != "/"]
    files = {"manifest": policy.manifest, "manifest's key": policy.manifest_key}
    named += [(what, path) for what, path in files.items() if path is not None]
    rows = [
        (
            what,
            path if expanded(path).exists() else f"{path}: not there, so that {CONSEQUENCES[what]}",
        )
        for what, path in named
    ]
    if policy.models == "signed" and policy.manifest is None:
        rows.append(("manifest", "none, so that no model is loaded"))
    return rows


CONSEQUENCES = {
    "private folder": "nothing is private by it",
    "reads below": "nothing is read there",
    "writes below": "nothing is written there",
    "manifest": "no model is loaded",
    "manifest's key": "no model is loaded",
}
"""What follows where a file or folder that a policy names is not on this machine."""


def _sound(word: str) -> "Policy":
    """Return a policy. Raises InputError if it cannot be read or names an unknown verb."""
    from biofm.api.request import VERBS  # these bring numpy, and what help does not need
    from biofm.gate import read_named
    from biofm.policy.policies import Invalid

    found = read_named(word)
    if isinstance(found, Invalid):
        raise InputError(found.what, where=f"{found.source}, {found.where}", remedy=found.remedy)
    if unknown := found.named_verbs - VERBS:
        what = f"it names {', '.join(sorted(unknown))}, and there is no such verb"
        raise InputError(what, where=word, remedy=f"The verbs are {', '.join(sorted(VERBS))}")
    return found


def _read_case(path: Path) -> Case:
    """Return the request and the evidence of a file. Raises InputError if they are not well formed."""
    from biofm.api.request import VERBS  # these bring numpy, and what help does not need
    from biofm.gate import EVERYWHERE, STANDARD_INPUT, open_input
    from biofm.policy.documents import MAX_BYTES, DocumentError, Node, read_json
    from biofm.policy.typed import build

    file = open_input(path, EVERYWHERE, streams=True)
    data = file.read(MAX_BYTES + 1)
    if path != STANDARD_INPUT:
        file.close()
    try:
        document = read_json(data)
        request = document.value.get("request") if isinstance(document.value, dict) else None
        if request is not None and isinstance(request.value, dict):
            request.value.setdefault("verbs", Node([Node(verb, 0) for verb in sorted(VERBS)], 0))
        case: Case = build(Case, document)
    except DocumentError as error:
        raise InputError(error.what, where=f"{path}, {error.where}", remedy=error.remedy) from error
    return case
