"""A search for a person: in every table, as text and as bytes, and in files, however it is written."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql

_RELATIONS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_(catalog|toast)' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'pg_catalog', 'pg_stats'
ORDER BY 1, 2
"""


class Search:
    """Looks for some texts."""

    def __init__(self, *texts: str) -> None:
        self._spellings = {text: _spellings(text) for text in texts}

    def in_bytes(self, data: bytes) -> set[str]:
        """The texts that are in some bytes, in upper or lower case, or hashed."""
        lower = data.lower()
        return {text for text, spellings in self._spellings.items() if any(one in lower for one in spellings)}

    def in_texts(self, texts: Iterable[str | bytes]) -> set[str]:
        """The texts that are in any of some texts."""
        return self.in_bytes(b"\n".join(one.encode() if isinstance(one, str) else one for one in texts))

    def in_files(self, folder: Path) -> dict[str, set[str]]:
        """The texts in the files of a folder, by file."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        found = {str(path.relative_to(folder)): self.in_bytes(path.read_bytes()) for path in files}
        return {name: texts for name, texts in found.items() if texts}

    def in_database(self, database_url: str) -> dict[str, set[str]]:
        """The texts in each table of each schema, by its name; and in what PostgreSQL knows of columns."""
        found: dict[str, set[str]] = {}
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ANALYZE")
            for schema, relation in connection.execute(_RELATIONS).fetchall():
                for form in ("text", "binary"):
                    name = sql.Identifier(schema, relation)
                    if (schema, form) == ("pg_catalog", "binary"):
                        continue  # anyarray has no binary form
                    copy = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT {})").format(name, sql.SQL(form))
                    with connection.cursor().copy(copy) as rows:
                        texts = self.in_bytes(b"".join(bytes(block) for block in rows))
                    if texts:
                        found.setdefault(f"{schema}.{relation}", set()).update(texts)
        return found


def _spellings(text: str) -> set[bytes]:
    """How a text may be written: in either case, in UTF-8 and as PostgreSQL and JSON escape it, encoded and hashed."""
    spellings: set[bytes] = set()
    for one in (text, text.lower(), text.upper()):
        raw = one.encode()
        digest = sha256(raw)
        spellings |= {
            raw,
            one.encode("ascii", "backslashreplace"),
            one.encode("utf-16-le"),
            raw.hex().encode(),
            b64encode(raw).rstrip(b"=")[:-1],
            digest.digest(),
            digest.hexdigest().encode(),
        }
    return {one.lower() for one in spellings}
