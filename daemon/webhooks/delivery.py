"""Carries one message to the URL it is for: signed, to checked addresses alone, within a set time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from daemon import addresses
from daemon.errors import FfspoolError, InvalidRequest
from daemon.journal import known
from daemon.models import Model
from daemon.plaintext import clipped, flaw, visible
from daemon.retry_after import seconds_of
from daemon.webhooks.signing import Secrets

if TYPE_CHECKING:  # it takes longer to load than a short clip to encode, and `ffspool run` sends nothing
    import httpx

log = logging.getLogger(__name__)

ATTEMPT_TIMEOUT = 10.0  # seconds for one attempt, its redirects included
CONNECT_TIMEOUT = 4.0  # for one address; a host may have more
MAX_REDIRECTS = 3
MOST_SHOWN = 100  # characters of a URL that is refused
MOST_WORDS = 300  # characters of what went wrong: a receiver has its say in it
REDIRECTS = frozenset({301, 302, 307, 308})


class Reply(Model, frozen=True):
    """A reply is what a receiver answered, or why it did not: no `error` means that it took the message.

    `final`: trying again is of no use.
    """

    status_code: int | None = None
    error: str | None = None
    retry_after: float | None = None  # seconds the receiver wants to be left alone
    final: bool = False


class Sender:
    """Sends, and says what became of it. Nothing is remembered between two attempts."""

    def __init__(
        self,
        secrets: Secrets,
        *,
        allow_private: bool = False,
        now: Callable[[], float] = time.time,
        resolve: addresses.Resolve = addresses.look_up,
        interfaces: addresses.Interfaces = addresses.interfaces,
    ) -> None:
        self._secrets = secrets
        self._allow_private = allow_private
        self._now = now
        self._resolve = resolve
        self._interfaces = interfaces

    async def attempt(
        self, url: str, identifier: str, body: bytes, owner: str | None = None, *, to_admin: bool = True
    ) -> Reply:
        """Makes one attempt at a message about that owner's job. Whether that is an admin, says `to_admin`.

        Whatever goes wrong is in the reply; cancelled, it may have arrived.
        """
        reply = await self._attempt(url, identifier, body, owner, to_admin)
        words = reply.error and clipped(visible(reply.error), MOST_WORDS)
        return msgspec.structs.replace(reply, error=words)

    async def _attempt(self, url: str, identifier: str, body: bytes, owner: str | None, to_admin: bool) -> Reply:
        import httpx

        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                return await self._send(parsed(url), await self._headers(identifier, body, owner), body)
        except FfspoolError as refusal:
            return Reply(error=addresses.told(refusal, to_admin=to_admin), final=True)
        except TimeoutError:
            return Reply(error=f"no answer within {ATTEMPT_TIMEOUT:.0f} s")
        except (httpx.HTTPError, OSError) as error:  # of an OSError no more than its reason: it may name a file
            return Reply(error=getattr(error, "strerror", None) or str(error) or type(error).__name__)
        except Exception:
            log.exception("a webhook could not be sent by a fault of ffspool", extra=known(delivery=identifier))
            return Reply(error="a fault of ffspool; its log has the details")

    async def _headers(self, identifier: str, body: bytes, owner: str | None) -> dict[str, str]:
        timestamp = int(self._now())
        return {
            "Content-Type": "application/json",
            "User-Agent": "ffspool",
            "webhook-id": identifier,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": await self._secrets.sign(identifier, timestamp, body, owner),
        }

    async def _send(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raises FfspoolError for a target we do not go to, httpx.HTTPError and OSError when it cannot be reached."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._post(url, headers, body)
            location = response.headers.get("location")
            if response.status_code not in REDIRECTS or not location:
                return self._judge(response)
            url = parsed(location, base=url)
        words = f"it redirected us more than {MAX_REDIRECTS} times, at last to {url.host}"
        return Reply(status_code=response.status_code, error=words)

    async def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """The answer of the first of the host's addresses that takes a connection; its body is not read."""
        import httpx

        host = url.raw_host.decode("ascii")
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        *others, last = await addresses.addresses(
            host, port, allow_private=self._allow_private, resolve=self._resolve, own=self._interfaces
        )
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post_to(address, host, url, headers, body)
        return await self._post_to(last, host, url, headers, body)

    async def _post_to(
        self, address: addresses.Address, host: str, url: httpx.URL, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        import httpx

        # To the address itself, so that no second look-up can lead elsewhere; the name stays in Host, in TLS and
        # in the certificate that is asked for. A transport alone keeps no cookies and follows nothing by itself,
        # and one of our own shares no connection with another name at the same address.
        timeout = httpx.Timeout(ATTEMPT_TIMEOUT, connect=CONNECT_TIMEOUT)
        request = httpx.Request(
            "POST",
            url.copy_with(host=str(address)),
            headers={"Host": url.netloc.decode("ascii"), **headers},
            content=body,
            extensions={"sni_hostname": host, "timeout": timeout.as_dict(), "trace": partial(self._look_whom, host)},
        )
        async with httpx.AsyncHTTPTransport(verify=self._tls) as transport:
            response = await transport.handle_async_request(request)
            await response.aclose()
            return response

    async def _look_whom(self, host: str, step: str, facts: Mapping[str, Any]) -> None:
        """Raises ForbiddenTarget once it is connected, and before anything is sent, if it reached this very host."""
        if step != "connection.connect_tcp.complete" or self._allow_private:
            return
        stream = facts["return_value"]
        ours, theirs = (addresses.plain(stream.get_extra_info(end)[0]) for end in ("client_addr", "server_addr"))
        try:
            await addresses.check_connection(host, ours, theirs, self._interfaces)
        except BaseException:
            await stream.aclose()
            raise

    @cached_property
    def _tls(self) -> Any:
        import httpx

        return httpx.create_ssl_context()  # reads every root certificate: once, and only if there is a webhook

    def _judge(self, response: httpx.Response) -> Reply:
        code = response.status_code
        if response.is_success:
            return Reply(status_code=code)
        pause = response.headers.get("retry-after") if code in {429, 503} else None
        return Reply(
            status_code=code,
            error=f"it answered {code} {response.reason_phrase}".rstrip(),
            retry_after=seconds_of(pause, self._now()) if pause else None,
        )


def parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Returns the URL of a webhook, or of a redirect from `base`. Raises InvalidRequest when it cannot be one."""
    import httpx

    shown = repr(clipped(url, MOST_SHOWN))
    if reason := flaw(url):
        raise InvalidRequest(f"the webhook's URL {shown} {reason}")
    try:
        found = base.join(url) if base else httpx.URL(url)
        host = found.host  # decoded only here: a label that begins as Punycode may be none
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidRequest(f"the webhook's URL {shown} is not one: {error}") from error
    if found.port is not None and not 0 < found.port < 2**16:
        raise InvalidRequest(f"the webhook's URL {shown} names a port that there is not")
    if found.scheme not in {"http", "https"} or not host:
        raise InvalidRequest(f"the webhook's URL {shown} does not begin with http:// or https:// and a host")
    if found.userinfo:
        raise InvalidRequest(f"the webhook's URL to {host} holds a user name: send secrets in its path instead")
    return found
