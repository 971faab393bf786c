"""Offers over HTTP the verbs that change jobs under way."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.api.requests import CancelQuery, RetryFilter, RetryQuery
from daemon.jobs.receipts import BulkReceipt, CancelReceipt, Changed, RetryReceipt
from daemon.jobs.scopes import Scope


async def cancel(call: Call) -> CancelReceipt:
    wish: CancelQuery = call.query
    return await call.service.control.cancel(Scope(**call.path), keep_partial=wish.keep_partial)


async def cancel_source(call: Call) -> CancelReceipt:
    return await cancel(call)


async def cancel_variation(call: Call) -> CancelReceipt:
    return await cancel(call)


async def delete(call: Call) -> None:
    await call.service.control.delete(call.path["job"])


async def fail(call: Call) -> CancelReceipt:
    return await call.service.control.fail(call.path["job"])


async def retry(call: Call) -> Changed:
    wish: RetryQuery = call.query
    return await call.service.retries.retry(Scope(**call.path), wish.because, call.caller)


async def retry_source(call: Call) -> Changed:
    return await retry(call)


async def retry_variation(call: Call) -> Changed:
    return await retry(call)


async def pause(call: Call) -> Changed:
    return await call.service.control.pause(call.path["job"])


async def resume(call: Call) -> Changed:
    return await call.service.control.resume(call.path["job"])


async def cancel_all(call: Call) -> BulkReceipt:
    return await call.service.bulk.cancel(call.selection)


async def retry_all(call: Call) -> RetryReceipt:
    wish: RetryFilter = call.query
    return await call.service.bulk.retry(call.selection, wish.because, call.caller)


async def delete_all(call: Call) -> BulkReceipt:
    return await call.service.bulk.delete(call.selection)
