"""What schemathesis has to be told: a piece of an upload is sent as it is."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def piece(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
