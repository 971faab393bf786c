"""Makes the ASGI application over one running service."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from daemon.api.endpoints import open_paths, routes
from daemon.api.routes import ENDPOINTS
from daemon.api.tus import Versioned
from daemon.http.auth import Gate, load_token
from daemon.http.guard import Guard, Hardened, Hosts
from daemon.http.problems import HANDLERS
from daemon.service import Service


def create_app(service: Service) -> ASGIApp:
    """Returns the application. Makes the token file at the first start."""
    settings = service.settings
    seconds = settings.session_hours * 3600
    gate = Gate(service.store, service.tokens, load_token(service.paths.token), settings.password, seconds)
    hosts = Hosts(settings.host, settings.allowed_hosts)
    app = Starlette(
        routes=routes(ENDPOINTS, service, gate),
        middleware=[Middleware(Versioned), Middleware(Guard, gate=gate, hosts=hosts, open_paths=open_paths(ENDPOINTS))],
        exception_handlers=HANDLERS,
    )
    return Hardened(app)  # outside of the framework, which answers to faults itself
