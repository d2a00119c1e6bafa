"""The group ``biofm audit`` shows, verifies and exports the ledger, and signs how far it went."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from biofm_datasets.text import format_count
from typer import Exit, Option, Typer

from biofm.cli.commands import CHOICE, Command, Group, Json
from biofm.cli.printing import print_json, print_result, print_table, say
from biofm.core.choices import SigningMethod
from biofm.core.errors import LedgerError, OptionError

if TYPE_CHECKING:
    from biofm.gate.ledger.entries import Entry

LINES_AT_ONCE = 1_000

LedgerFile = Annotated[
    Path | None,
    Option(
        "--ledger",
        help="Read this ledger, such as that of an agent's account. By default it is that of your account.",
        metavar="PATH",
    ),
]
Verb = Annotated[
    str | None,
    Option("--verb", help="Show only this verb, such as embed. By default all are shown.", metavar="VERB"),
]
Since = Annotated[
    str | None,
    Option(
        "--since",
        help="Show only what was written at this time (UTC) or later: 2026-11-30 or 2026-11-30T09:00. "
        "By default there is no such limit.",
        metavar="TIME",
    ),
]
Last = Annotated[
    int,
    Option(
        "--last", help="Show at most this many entries, the newest. 0 shows all entries.", metavar="N", min=0
    ),
]
ReadOrWritten = Annotated[
    Path | None,
    Option(
        "--path",
        help="Show only what read or wrote this file or folder, by its whole name. By default all is shown.",
        metavar="PATH",
    ),
]
TextKeys = Annotated[
    Path | None,
    Option(
        "--key",
        help="Look for --path in keyed texts too, with the keys in this file, which the policy names as its "
        "`key`. By default only texts in clear are looked at.",
        metavar="PATH",
    ),
]
HeadFile = Annotated[
    Path | None,
    Option(
        "--head",
        help="Compare the ledger with a head that `biofm audit head` printed and that was kept elsewhere. "
        "By default none is compared, and a cut tail cannot be found.",
        metavar="PATH",
    ),
]
KeyFile = Annotated[
    Path | None,
    Option(
        "--key",
        help="Check the head's signature with this key: the one that signed it, or its public key. "
        "By default there is none, which --head does not allow.",
        metavar="PATH",
    ),
]
SigningKey = Annotated[
    Path,
    Option(
        "--key",
        help="Sign with the key in this file, outside the ledger's folder. A missing file is made, and for "
        "ed25519 the public key beside it, with the ending .pub.",
        metavar="PATH",
    ),
]
Sign = Annotated[
    SigningMethod,
    Option(
        "--sign",
        help="Sign by this method: hmac-sha256, whose key also checks, or ed25519, whose public key checks "
        "and which needs the package cryptography.",
        metavar=CHOICE,
    ),
]
Format = Annotated[
    Literal["jsonl", "fhir"],
    Option(
        "--format",
        help="Print each entry on a line, in this form: jsonl as it is stored, or fhir as an AuditEvent of "
        "FHIR R5.",
        metavar=CHOICE,
    ),
]

app = Typer(
    cls=Group,
    no_args_is_help=True,
    help="Read the ledger, which remembers every request and how it ended, and prove that nobody changed it.",
)


@app.command(cls=Command)
def show(
    verb: Verb = None,
    path: ReadOrWritten = None,
    key: TextKeys = None,
    since: Since = None,
    last: Last = 20,
    ledger: LedgerFile = None,
    json: Json = False,
) -> None:
    """Show the newest entries of the ledger, the oldest of them first."""
    if key is not None and path is None:
        what = "the keys are used to look for a path"
        raise OptionError(what, where="--key", remedy="Give --path too, or leave --key out")
    earliest, place, names = None if since is None else _time(since), _path_of(ledger), dict[str, str]()
    texts = None if path is None else _spellings(path, key, place)
    requests, found = set[int](), []
    for entry, fields in _contents(place):
        if "user" in fields:
            names[str(fields.get("holder"))] = str(fields["user"])
        if verb is not None or texts is not None:
            is_of_verb = verb is None or fields.get("verb") == verb
            if is_of_verb and "verb" in fields and (texts is None or _mentions(fields, texts)):
                requests.add(entry.seq)
            if entry.seq not in requests and fields.get("request") not in requests:
                continue
        if earliest is None or _time(str(fields.get("time"))) >= earliest:
            found.append((entry, fields))
    if not found:
        what = "no entry of the ledger is what was asked for"
        raise LedgerError(what, where=str(place), remedy="Leave out --verb, --path or --since")
    found = found[-last:] if last else found
    if json:
        print_json([{"seq": entry.seq, **fields} for entry, fields in found])
    else:
        rows = [
            (str(entry.seq), str(fields.get("time", "")), *_spelt(fields, names)) for entry, fields in found
        ]
        print_table(rows, header=("entry", "time", "kind", "what"))


@app.command(cls=Command)
def verify(head: HeadFile = None, key: KeyFile = None, ledger: LedgerFile = None, json: Json = False) -> None:
    """Verify that nobody changed, removed or reordered entries; the exit code is 1 if somebody did."""
    from biofm.gate.ledger.heads import read_head  # these are not needed for help
    from biofm.gate.ledger.verify import verify as verify_ledger

    if (head is None) != (key is None):
        what = "a head and the key that signed it go together"
        raise OptionError(what, where="--head", remedy="Give --head and --key, or neither")
    path = _path_of(ledger)
    kept = read_head(head, key, path) if head and key else None
    if kept is not None and not path.exists():
        what = f"the head says that there were {kept.seq:,} entries, and there is no ledger: it was removed"
        raise LedgerError(what, where=str(path), remedy="Ask who may write this folder, and look for a copy")
    report = verify_ledger(path, kept)
    if json:
        print_json(asdict(report))
    else:
        count = format_count(report.n_entries, "entry", "entries")
        result = "is whole" if not report.findings else format_count(len(report.findings), "fault")
        said = result if not report.findings else f"has {result}"
        print_result(
            "\n".join([*report.findings, *report.notes, f"The ledger {path}, with {count}, {said}."])
        )
    if report.findings:
        raise Exit(1)


@app.command(cls=Command)
def export(format: Format = "jsonl", ledger: LedgerFile = None) -> None:
    """Print the whole ledger, archives included, for programs. The same ledger gives the same bytes."""
    path = _path_of(ledger)
    lines = _lines(path) if format == "jsonl" else _events(path)
    while block := list(islice(lines, LINES_AT_ONCE)):
        print_result("\n".join(block))


@app.command(cls=Command)
def head(key: SigningKey, sign: Sign = "hmac-sha256", ledger: LedgerFile = None) -> None:
    """Print a signed line that says how far the ledger goes, to be kept where nobody can change it.

    `biofm audit verify --head` then also finds a cut tail, and an earlier copy in the ledger's place.
    """
    from biofm.gate.ledger.entries import canonical  # these are not needed for help
    from biofm.gate.ledger.heads import make_head

    is_new = not key.exists()
    print_result(canonical(asdict(make_head(_path_of(ledger), key, sign))))
    if is_new:
        say(f"notice: there was no file {key}, so a new key was made in it; keep a copy.")


def _path_of(ledger: Path | None) -> Path:
    """Return the path of the ledger that is read."""
    from biofm.gate import ledger_path  # help does not need it

    return ledger_path() if ledger is None else ledger


def _spellings(path: Path, key: Path | None, ledger: Path) -> frozenset[str]:
    """Return how the path of a file may stand in the ledger."""
    from biofm.gate.ledger.texts import spellings_of  # help does not need it

    name = str(path.absolute())
    return frozenset({name}) if key is None else spellings_of(name, key, ledger)


def _mentions(value: Any, texts: frozenset[str]) -> bool:
    """Return whether one of the texts stands anywhere in what an entry says."""
    if isinstance(value, str):
        return value in texts
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(_mentions(part, texts) for part in parts)


def _lines(path: Path) -> Iterator[str]:
    """Yield the entries as they are stored."""
    from biofm.gate.ledger.reading import entries_of  # help does not need it

    for entry in entries_of(path):
        yield entry.line


def _events(path: Path) -> Iterator[str]:
    """Yield the entries as AuditEvents."""
    from biofm.gate.ledger.entries import canonical  # these are not needed for help
    from biofm.gate.ledger.fhir import audit_event

    identity = ""
    for entry, fields in _contents(path):
        identity = identity or str(fields.get("ledger"))
        yield canonical(audit_event(entry, identity))


def _contents(path: Path) -> Iterator[tuple["Entry", dict[str, Any]]]:
    """Yield the entries with what they say.

    Raises:
        LedgerError: An entry is damaged.
    """
    from biofm.gate.ledger.reading import entries_of  # help does not need it

    for entry in entries_of(path):
        try:
            yield entry, entry.fields
        except ValueError as error:
            remedy = "Say `biofm audit verify` to see all that is wrong with it"
            what = f"entry {entry.seq} is damaged"
            raise LedgerError(what, where=str(path), remedy=remedy) from error


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        remedy = "Write it like 2026-11-30 or 2026-11-30T09:00"
        raise OptionError(f"{text!r} is no time", where="--since", remedy=remedy) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _spelt(fields: dict[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """Return the kind of an entry, and what it says in a few words.

    Args:
        fields: What the entry says.
        names: The names of the accounts, by their holders.
    """
    from biofm.policy.labels import Labels, letters_of  # help does not need it

    kind, holder, labels = str(fields.get("kind")), str(fields.get("holder")), fields.get("labels")
    known = range(1 << len(Labels))
    spelt = {
        "holder": names.get(holder, holder),
        "labels": letters_of(Labels(labels)) or "no label" if labels in known else str(labels),
        "layers": ", ".join(fields.get("layers") or ["nothing"]),
        "in_session": f" in the session {fields['session']}" if fields.get("session") else "",
        "by_login": f" by the login account {fields['login']}" if fields.get("login", -1) != -1 else "",
        "by_error": f" ({fields['error']})" if fields.get("error") else "",
        "for_refused": f": {fields['refused']}" if fields.get("refused") else "",
    }
    return kind, SPELT.get(kind, "").format_map(defaultdict(str, fields | spelt)).strip()


SPELT = {
    "segment": "segment {segment} of the ledger {ledger}",
    "request": "{user} asked for {verb}: {decision}, by the rule {rule}",
    "outcome": "request {request} ended: {outcome}{by_error}",
    "label": "{holder} now holds {labels}{in_session}",
    "session": "{holder} {action} the session {session}",
    "approval": "the approval of a request of {holder} was {action}{by_login}",
    "output": "request {request} made {path}, with {labels}",
    "confinement": "request {request} ran in a worker held by {layers}: {end}{for_refused}",
}
"""What a table says of each kind of entry."""
