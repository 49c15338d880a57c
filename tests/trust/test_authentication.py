"""Credentials: who is let in, who is not, and what those who are not can learn."""

import asyncio
import threading
import time
from collections.abc import Collection

import grpc
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ledger.api.authentication import CACHE_S, CACHE_UNKNOWN_MAX, Authenticator
from ledger.api.errors import ApiError
from ledger.api.interceptor import Gate
from ledger.store.credentials import Credential, Credentials, Principal, hash_secret, parse_token
from tests.running import Databases
from tests.trust.client import DEADLINE_S, balance, bearer, failure
from tests.trust.stand_in import running

SECRET = "A" * 43


def refusal(port: int, metadata: tuple[tuple[str, str], ...]) -> tuple[object, ...]:
    """All that a refused caller is told."""
    with pytest.raises(grpc.RpcError) as caught:
        balance(port, metadata)
    return tuple(failure(caught.value))


def refused_for(port: int, token: str) -> str | None:
    """Why a call is refused; None when it is not."""
    try:
        balance(port, bearer(token))
    except grpc.RpcError as error:
        return failure(error).reason
    return None


def test_a_token_is_shown_once_and_only_its_hash_is_kept(credentials: Credentials, database_url: str) -> None:
    """The database holds nothing that a thief could call with."""
    token = credentials.add("pos", "store-1", "till-1", "programs/demo")
    parts = parse_token(token)
    assert parts is not None
    assert parts.credential_id.startswith("t-")
    assert len(parts.secret) == 43
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT c::text FROM credentials c").fetchone()
    assert row is not None
    assert parts.secret not in row[0]
    assert hash_secret(parts.secret).hex() in row[0]
    (listed,) = credentials.listed()
    assert listed.principal == Principal(parts.credential_id, "pos", "store-1", "till-1", "programs/demo")
    assert listed.revoked_at is None


def test_handlers_see_who_calls(gate: Gate, credentials: Credentials) -> None:
    """Each call has its own principal, with all that its credential is bound to."""
    till = credentials.add("pos", "store-1", "till-7", "programs/demo")
    office = credentials.add("admin")
    with running(gate) as port:
        assert balance(port, bearer(till)) == repr((till[:8], "pos", "store-1", "till-7", "programs/demo", False))
        assert balance(port, bearer(office)) == repr((office[:8], "admin", None, None, None, False))


def test_all_who_are_not_let_in_are_told_the_same(gate: Gate, credentials: Credentials) -> None:
    """Missing, malformed, unknown, wrong and revoked credentials cannot be told apart."""
    token = credentials.add("pos")
    revoked = credentials.add("pos")
    credentials.revoke(revoked[:8])
    attempts: list[tuple[tuple[str, str], ...]] = [
        (),
        (("authorization", ""),),
        (("authorization", token),),
        (("authorization", f"Basic {token}"),),
        bearer(""),
        bearer("."),
        bearer("t-234567"),
        bearer(f"{token}x"),
        bearer(token[:-1]),
        bearer(f"t-234567.{SECRET}"),
        bearer(f"{token[:8]}.{SECRET}"),
        bearer(f"{token[:8]}.{SECRET}"),  # from the cache this time
        bearer(revoked),
        bearer("t-" + "9" * 10_00 + "." + SECRET),
    ]
    with running(gate) as port:
        refusals = {refusal(port, attempt) for attempt in attempts}
        assert len(refusals) == 1
        code, _, reason, *_ = refusals.pop()
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
        assert balance(port, bearer(token))  # and the service goes on


def test_bearer_in_any_case(gate: Gate, credentials: Credentials) -> None:
    """The scheme's name is case-insensitive, as RFC 9110 says."""
    token = credentials.add("pos")
    with running(gate) as port:
        assert balance(port, (("authorization", f"bearer {token}"),))


def test_a_revoked_credential_stops_working(gate: Gate, credentials: Credentials) -> None:
    """It may work for as long as it is cached, and then no more."""
    token = credentials.add("pos")
    with running(gate) as port:
        assert balance(port, bearer(token))
        assert credentials.revoke(token[:8])
        deadline = time.monotonic() + CACHE_S + DEADLINE_S
        while (reason := refused_for(port, token)) is None:
            assert time.monotonic() < deadline
        assert reason == "CREDENTIAL_INVALID"
        assert credentials.revoke(token[:8]), "revoking again changes nothing"
        assert not credentials.revoke("t-234567")


def test_without_the_database_nobody_is_called_unauthenticated(
    gate: Gate, credentials: Credentials, database_url: str, databases: Databases
) -> None:
    """A till must not throw its credential away because the database is down; later it works again."""
    name = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
    token = credentials.add("pos")
    with running(gate) as port, psycopg.connect(databases.postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (conninfo_to_dict(database_url)["dbname"],),
        )
        for attempt in (bearer(token), bearer(f"t-234567.{SECRET}")):
            code, _, reason, _, retry_ms, *_ = refusal(port, attempt)
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
            assert retry_ms
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        deadline = time.monotonic() + DEADLINE_S
        while (reason := refused_for(port, token)) is not None:
            assert reason == "DATABASE_UNAVAILABLE"
            assert time.monotonic() < deadline


class Scripted(Credentials):
    """Look-ups that wait until they may, and remember what they were asked."""

    def __init__(self, valid: Collection[str] = ()) -> None:
        self.asked: list[list[str]] = []
        self.begun = threading.Event()
        self.may_answer = threading.Event()
        self._valid = valid

    def find(self, credential_ids: Collection[str]) -> dict[str, Credential]:
        """The valid ones of them."""
        self.asked.append(list(credential_ids))
        self.begun.set()
        assert self.may_answer.wait(DEADLINE_S)
        return {
            one: Credential(Principal(one, "pos", None, None, None), hash_secret(SECRET))
            for one in credential_ids
            if one in self._valid
        }


def test_a_credential_is_looked_up_once_for_all_who_wait() -> None:
    """Calls that arrive during a look-up share the next one; whoever goes away disturbs nobody."""

    async def main() -> None:
        scripted = Scripted({"t-aaaaaa", "t-bbbbbb"})
        authenticator = Authenticator(scripted)
        first = asyncio.create_task(authenticator.principal(f"t-aaaaaa.{SECRET}"))
        await asyncio.to_thread(scripted.begun.wait, DEADLINE_S)
        others = [
            asyncio.create_task(authenticator.principal(f"t-{letter * 6}.{SECRET}")) for letter in "ab" * 20 + "c"
        ]
        gone = others.pop(0)
        await asyncio.sleep(0)  # one turn of the loop: all of them have asked
        gone.cancel()
        first.cancel()
        scripted.may_answer.set()
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert [one.credential_id for one in answers if isinstance(one, Principal)] == [
            f"t-{letter * 6}" for letter in ("ab" * 20)[1:]
        ]
        assert isinstance(answers[-1], ApiError)
        assert len(scripted.asked) == 2
        assert sorted(scripted.asked[0] + scripted.asked[1]) == [
            "t-aaaaaa",
            "t-aaaaaa",
            "t-bbbbbb",
            "t-cccccc",
        ]
        authenticator.close()

    asyncio.run(main())


def test_the_cache_is_believed_for_its_time_and_no_longer() -> None:
    """Found and not found alike; a wrong secret costs no look-up."""
    now = 100.0

    async def main() -> None:
        nonlocal now
        scripted = Scripted({"t-aaaaaa"})
        scripted.may_answer.set()
        authenticator = Authenticator(scripted, clock=lambda: now)

        async def attempts() -> None:
            assert (await authenticator.principal(f"t-aaaaaa.{SECRET}")).role == "pos"
            for token in (f"t-aaaaaa.{'B' * 43}", f"t-zzzzzz.{SECRET}"):
                with pytest.raises(ApiError):
                    await authenticator.principal(token)

        await attempts()
        assert scripted.asked == [["t-aaaaaa"], ["t-zzzzzz"]]
        now += CACHE_S * 0.99
        await attempts()
        assert len(scripted.asked) == 2
        now += CACHE_S * 0.02
        await attempts()
        assert len(scripted.asked) == 4
        authenticator.close()

    asyncio.run(main())


def test_guessing_pushes_no_valid_credential_out_of_the_cache() -> None:
    """Unknown ids are remembered apart, and only so many."""

    async def main() -> None:
        scripted = Scripted({"t-aaaaaa"})
        scripted.may_answer.set()
        authenticator = Authenticator(scripted, clock=lambda: 0.0)
        assert await authenticator.principal(f"t-aaaaaa.{SECRET}")
        letters = "23456789abcdefghjkmn"
        guesses = [f"t-{a}{b}{c}{d}22" for a in "xyz" for b in "xyz" for c in letters for d in letters]
        guesses = guesses[: CACHE_UNKNOWN_MAX + 1]
        assert len(guesses) > CACHE_UNKNOWN_MAX
        for guess in guesses:
            with pytest.raises(ApiError):
                await authenticator.principal(f"{guess}.{SECRET}")
        looked_up = len(scripted.asked)
        assert await authenticator.principal(f"t-aaaaaa.{SECRET}")
        with pytest.raises(ApiError):
            await authenticator.principal(f"{guesses[-1]}.{SECRET}")
        assert len(scripted.asked) == looked_up
        with pytest.raises(ApiError):
            await authenticator.principal(f"{guesses[0]}.{SECRET}")
        assert len(scripted.asked) == looked_up + 1
        authenticator.close()

    asyncio.run(main())


def test_a_closed_authenticator_says_unavailable() -> None:
    """Calls that are still there when the server stops are not told that their credential is bad."""

    async def main() -> None:
        authenticator = Authenticator(Scripted())
        authenticator.close()
        with pytest.raises(ApiError) as caught:
            await authenticator.principal(f"t-aaaaaa.{SECRET}")
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(main())
