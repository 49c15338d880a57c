"""The export of members for CRM systems: CSV in the dialect of one, keyed so that it updates what is there.

The formats are those of Salesforce Bulk API 2.0 (ingest jobs, upsert by external id) and of HubSpot's imports (v3). A
blank field leaves what the other system has; what is known to be nothing is `#N/A` for Salesforce, which empties a
field with it.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from typing import Any, Final, NamedTuple

from loyalty.v1.consent_pb2 import ContactChannel
from loyalty.v1.member_pb2 import IdentifierType
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Program
from psycopg import Connection, sql

from ledger.export.folder import ExportError, ExportFolder, Plan, Progress
from ledger.export.member_columns import COLUMNS, CONTACT_BY, KEYS, Key, MemberColumn, Profile
from ledger.proof.manifest import ExportedFile

MEMBERS: Final = "members"

_MB: Final = 1_000_000


class Limits(NamedTuple):
    """What a system takes in one file, its header included."""

    rows: int
    size_bytes: int


LIMITS: Final[dict[Profile, Limits]] = {
    "generic": Limits(1_048_576, 512 * _MB),
    "salesforce": Limits(1_048_576, 100 * _MB),  # 150 MB as base64, which is how it is kept there
    "hubspot": Limits(1_048_575, 511 * _MB),  # less than 1,048,576 rows and less than 512 MB
}

_HUBSPOT_CONTACT: Final = "0-1"

_FROM: Final = sql.SQL((files("ledger.export") / "members.sql").read_text(encoding="utf-8").partition("FROM")[2])
_IDENTIFIED: Final = """
CROSS JOIN LATERAL (
    SELECT min(p.value) AS value FROM profile.identifiers p
    WHERE p.member_id = b.member_id AND p.program = b.program AND p.type = {type} HAVING count(*) > 0
) AS i
"""
_CONSENTING: Final = """
JOIN (
    SELECT a.member_id, string_agg(n.name, ';' ORDER BY n.way) AS contact_by
    FROM views.consents_at({now}) AS a JOIN (VALUES {ways}) AS n (way, name) ON n.way = a.channel
    WHERE a.purpose = {purpose}
    GROUP BY a.member_id HAVING {way} = '' OR bool_or(n.name = {way})
) AS w ON w.member_id = b.member_id
"""
WAYS: Final = {
    name.removeprefix("CONTACT_CHANNEL_").lower(): number
    for name, number in ContactChannel.items()
    if number > ContactChannel.CONTACT_CHANNEL_ALL
}
"""The single ways of contact."""

_WAYS: Final = sql.SQL(", ").join(sql.SQL("({}, {})").format(number, name) for name, number in WAYS.items())
_CHANNELS: Final = sql.SQL(", ").join(
    sql.SQL("({}, {})").format(sql.Literal(number), sql.Literal(name.removeprefix("CHANNEL_").lower()))
    for name, number in Channel.items()
    if number
)
_DAY: Final = "to_char(to_timestamp(({}) / 1e6) AT TIME ZONE s.time_zone, 'YYYY-MM-DD')"
_PROGRAMS: Final = "SELECT definition FROM views.programs WHERE %b IN ('', program)"
_POSITION: Final = "SELECT coalesce(min(position), 0) FROM views.positions"


class MemberOrder(NamedTuple):
    """Which members to export, and how."""

    profile: Profile
    key: Key
    program: str
    """programs/{program}; empty for all."""
    purpose: str = ""
    """Only those who consent to this, by any way of contact, or as marketing/email by one of WAYS; empty for all."""

    @property
    def columns(self) -> list[MemberColumn]:
        """The columns, the key first."""
        return [KEYS[self.key], *COLUMNS, *([CONTACT_BY] if self.purpose else [])]


def export_members(
    connection: Connection[Any],
    folder: ExportFolder,
    order: MemberOrder,
    now: int,
    progress: Progress,
    limits: Limits | None = None,
) -> Plan:
    """Writes all members as they are at one moment, `now` in microseconds. Raises ExportError.

    By external id only those who have one: it reads the profile store, and needs the right to.
    """
    if order.key == "external_id" and not order.program:
        raise ExportError("an external id is of one program: give --program, or --key member")
    with connection.transaction():
        cursor = connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _check(order, [Program.FromString(definition) for (definition,) in cursor.execute(_PROGRAMS, [order.program])])
        row = cursor.execute(_POSITION).fetchone()
        plan = folder.begin(
            Plan(
                exported=MEMBERS,
                format="csv",
                first_position=1,
                last_position=row[0] if row is not None else 0,
                tree_size=0,
                is_signed=False,
            )
        )
        rows = 0
        with cursor.copy(_query(order, now)) as copy:
            for file in _parts(folder, order, map(bytes, copy), limits or LIMITS[order.profile]):
                plan = folder.done(plan, file)
                rows += file.rows
                progress(rows, rows)
    _tell_how(folder, order, plan)
    return plan


def _check(order: MemberOrder, versions: list[Program]) -> None:
    """Raises ExportError for what none of the programs' versions knows, of which an export would have nobody."""
    if order.program and not versions:
        raise ExportError(f"there is no program {order.program}: correct --program")
    purpose, slash, way = order.purpose.partition("/")
    asked = sorted({one.purpose_id for version in versions for one in version.consents})
    if order.purpose and purpose not in asked:
        known = ", ".join(asked) or "nothing"
        raise ExportError(f"nobody is asked to consent to {purpose}, but to {known}: correct --purpose")
    if slash and way not in WAYS:
        raise ExportError(f"{way!r} is no way of contact, as {', '.join(WAYS)} are: correct --purpose")


def _parts(folder: ExportFolder, order: MemberOrder, lines: Iterator[bytes], limits: Limits) -> Iterator[ExportedFile]:
    """Files of as many lines as a system takes; one with the header alone where there are none."""
    header = ",".join(column.header(order.profile) for column in order.columns).encode() + b"\n"
    line = next(lines, b"")
    for number in count(1):
        name = _part_name(number)
        with folder.open(name) as file:
            file.write(header)
            rows = 0
            while line and rows + 1 < limits.rows and file.size_bytes + len(line) <= limits.size_bytes:
                file.write(line)
                rows += 1
                line = next(lines, b"")
        if line and not rows:
            raise ExportError(f"a member takes more than {limits.size_bytes} bytes")
        yield ExportedFile(name=name, sha256=file.sha256, size_bytes=file.size_bytes, rows=rows)
        if not line:
            return


def _part_name(number: int) -> str:
    return f"{MEMBERS}-{number:06}.csv"


def _query(order: MemberOrder, now: int) -> sql.Composed:
    columns = sql.SQL(", ").join(_value(column, order.profile) for column in order.columns)
    identified: sql.Composable = sql.SQL("")
    if order.key == "external_id":
        kind = sql.Literal(IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID)
        identified = sql.SQL(_IDENTIFIED).format(type=kind)
    consenting: sql.Composable = sql.SQL("")
    if order.purpose:
        purpose, _, way = order.purpose.partition("/")
        consenting = sql.SQL(_CONSENTING).format(now=now, ways=_WAYS, purpose=purpose, way=way)
    source = _FROM.format(
        now=sql.Literal(now),
        program=sql.Literal(order.program),
        channels=_CHANNELS,
        identified=identified,
        consenting=consenting,
    )
    return sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv)").format(columns, source)


def _value(column: MemberColumn, profile: Profile) -> sql.Composable:
    expression = _DAY.format(column.expression) if column.kind == "date" else f"({column.expression})::text"
    if profile == "salesforce":
        expression = f"coalesce({expression}, '#N/A')"
    return sql.SQL(expression)


def _tell_how(folder: ExportFolder, order: MemberOrder, plan: Plan) -> None:
    """Writes what the other system's API is called with, beside the files that are sent to it."""
    if order.profile == "salesforce":
        job = {
            "object": "Contact",
            "operation": "upsert",
            "externalIdFieldName": KEYS[order.key].header(order.profile),
            "contentType": "CSV",
            "lineEnding": "LF",
        }
        folder.write("job.json", _json(job))
    if order.profile == "hubspot":
        for number, file in enumerate(plan.files, 1):
            folder.write(f"importRequest-{number:06}.json", _json(_import_request(order, file.name)))


def _import_request(order: MemberOrder, file_name: str) -> dict[str, Any]:
    mappings = [
        {
            "columnObjectTypeId": _HUBSPOT_CONTACT,
            "columnName": column.header(order.profile),
            "propertyName": column.header(order.profile),
        }
        for column in order.columns
    ]
    mappings[0]["columnType"] = "HUBSPOT_ALTERNATE_ID"
    return {
        "name": f"Loyalty {order.program}".rstrip(),
        "importOperations": {_HUBSPOT_CONTACT: "UPSERT"},
        "dateFormat": "YEAR_MONTH_DAY",
        "files": [
            {
                "fileName": file_name,
                "fileFormat": "CSV",
                "fileImportPage": {"hasHeader": True, "columnMappings": mappings},
            }
        ],
    }


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
