"""Who calls: from the token that a caller sends to the principal it stands for."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import psycopg
import structlog
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.errors import ApiError
from ledger.store.credentials import Credential, Credentials, Principal, Token, parse_token

CACHE_S: Final = 2.0
"""How long a look-up is believed, and so how long a revoked credential still works at most."""

CACHE_CREDENTIALS_MAX: Final = 20_000
"""Credentials that are remembered; beyond it the one looked up longest ago is forgotten."""

CACHE_UNKNOWN_MAX: Final = 2_000
"""Ids of no credential that are remembered: apart, so that guessing pushes no valid one out."""

WAITING_MAX: Final = 2_000
"""Credentials that may wait for their look-up; beyond it callers get UNAVAILABLE."""

_NOBODY: Final = Credential(Principal("", "pos", None, None, None), bytes(32), is_revoked=True)

log = structlog.stdlib.get_logger(__name__)


class CredentialRefused(ApiError):
    """Nobody may call with this token."""

    def __init__(self, principal: Principal | None = None) -> None:
        super().__init__(ErrorReason.ERROR_REASON_CREDENTIAL_INVALID)
        self.principal = principal
        """Whose credential it says it is, revoked or not; None where it is nobody's. The caller is not told."""


class _Known(NamedTuple):
    credential: Credential
    until: float


class Authenticator:
    """Principals by token, from a cache over the table of credentials.

    All look-ups go through one worker thread: while one is under way, the credentials that arrive
    wait, each once however many calls ask for it, and all of them are the next look-up. So a slow
    database costs one connection and one thread, whatever the load.

    A caller cannot tell an unknown credential from a revoked one or from a wrong secret. An id is
    no secret: the log names it.
    """

    def __init__(self, credentials: Credentials, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._clock = clock
        self._valid: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, _Known] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Credential]] = {}
        self._looking_up: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "credentials")

    async def principal(self, text: str | None) -> Principal:
        """The principal that a token stands for.

        Raises ApiError: UNAUTHENTICATED, or UNAVAILABLE when the database cannot say.
        """
        token = parse_token(text) if text is not None else None
        if token is None:
            raise CredentialRefused
        known = self._valid.get(token.credential_id) or self._unknown.get(token.credential_id)
        if known is not None and self._clock() < known.until:
            return _checked(known.credential, token)
        return _checked(await self._look_up(token.credential_id), token)

    def close(self) -> None:
        """Ends the worker thread. Callers that still wait get UNAVAILABLE."""
        self._thread.shutdown(cancel_futures=True)

    async def _look_up(self, credential_id: str) -> Credential:
        future = self._waiting.get(credential_id)
        if future is None:
            if len(self._waiting) >= WAITING_MAX:
                raise ApiError.of(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE)
            future = asyncio.get_running_loop().create_future()
            self._waiting[credential_id] = future
            if self._looking_up is None:
                self._looking_up = asyncio.create_task(self._look_up_waiting())
        # One caller that goes away takes nothing from the others.
        return await asyncio.shield(future)

    async def _look_up_waiting(self) -> None:
        """Looks up all that wait, and then all that came meanwhile, until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                try:
                    found = await loop.run_in_executor(self._thread, self._credentials.find, list(waiting))
                except (psycopg.Error, RuntimeError) as error:  # RuntimeError: the thread ended
                    log.warning("credentials cannot be looked up", error=type(error).__name__)
                    _fail(waiting)
                    continue
                self._remember(waiting, found)
        finally:
            self._looking_up = None

    def _remember(self, waiting: dict[str, asyncio.Future[Credential]], found: dict[str, Credential]) -> None:
        until = self._clock() + CACHE_S
        for credential_id, future in waiting.items():
            credential = found.get(credential_id, _NOBODY)
            self._valid.pop(credential_id, None)
            self._unknown.pop(credential_id, None)
            cache = self._unknown if credential is _NOBODY else self._valid
            cache[credential_id] = _Known(credential, until)
            if not future.cancelled():
                future.set_result(credential)
        while len(self._valid) > CACHE_CREDENTIALS_MAX:
            self._valid.popitem(last=False)
        while len(self._unknown) > CACHE_UNKNOWN_MAX:
            self._unknown.popitem(last=False)


def _checked(credential: Credential, token: Token) -> Principal:
    # Nobody's secret is compared as well, so that an unknown id takes as long as a wrong secret.
    if not credential.has(token.secret) or credential.is_revoked:
        raise CredentialRefused(credential.principal if credential is not _NOBODY else None)
    return credential.principal


def _fail(waiting: dict[str, asyncio.Future[Credential]]) -> None:
    for future in waiting.values():
        if not future.cancelled():
            future.set_exception(ApiError.of(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE))
            future.exception()  # all its callers may have gone; then nobody is left to be told
