"""Projects whose records lie in a database."""

from __future__ import annotations

from postgres_server import postgres, schema  # noqa: F401 - fixtures
