"""A weather service for one example: serves the readings beside this file over HTTP, on this machine only.

    python weather_station.py [--port 8765]

``/now?station=Fernhill`` answers with one station's reading as JSON, and with 404 for a station that it does not know.
Stations and readings are made up. The standard library is all that it needs, and it reads nothing but `readings.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

READINGS = Path(__file__).with_name("readings.json")
PORT = 8765
"""The port that `settings.toml` names."""


class Station(BaseHTTPRequestHandler):
    """Answers with the recorded reading of a station."""

    def do_GET(self) -> None:
        """Answer ``/now?station=NAME``; anything else is not found."""
        address = urlsplit(self.path)
        name = parse_qs(address.query).get("station", [""])[0].casefold()
        # Read for each request: an edited reading is live at once, which is the point of a live source.
        recorded = json.loads(READINGS.read_text(encoding="utf-8"))
        readings = {reading["station"].casefold(): reading for reading in recorded["stations"]}
        if address.path != "/now" or name not in readings:
            self._send(404, {"error": "no such station"})
        else:
            self._send(200, {"at": recorded["at"], "reading": readings[name]})

    def _send(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: a study asks hundreds of times."""


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="Serve the made-up weather readings of this example.")
    parser.add_argument("--port", type=int, default=PORT)
    port = parser.parse_args().port
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Station)
    except OSError as error:
        print(f"error: port {port} cannot be used: {error.strerror}", file=sys.stderr)
        print("help: end what uses the port, or change it here (--port) and in settings.toml", file=sys.stderr)
        raise SystemExit(2) from error
    server.serve_forever()


if __name__ == "__main__":
    main()
