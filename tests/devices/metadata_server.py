"""Stands in for the metadata server of a TPU VM, over HTTP."""

import http.server
import threading

import pytest

WORKERS = ["10.164.0.2", "10.164.0.3", "10.164.0.4", "10.164.0.5"]


@pytest.fixture
def metadata(monkeypatch):
    """A TPU VM's metadata server, as the third of four workers sees it; the attributes are the test's to change."""
    endpoints = ",".join(f"unknown:unknown:{address}" for address in WORKERS)
    attributes = {"agent-worker-number": "2", "worker-network-endpoints": endpoints, "tpu-env": "ZONE: 'us-east5-b'"}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            _, found, key = self.path.partition("/computeMetadata/v1/instance/attributes/")
            there = bool(found) and key in attributes and self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if there else 404)
            self.end_headers()
            self.wfile.write(attributes.get(key, "").encode())

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_port}")
    yield attributes
    server.shutdown()
    server.server_close()
