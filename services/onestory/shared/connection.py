"""HTTP connections: uvicorn's, which refuse as FHIR does, and hold no more of a request's head than anybody needs."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onestory.shared.errors import Issue
from onestory.shared.fhir.outcome import outcome

MOST_HEAD_BYTES = 1 << 20
"""The parser gathers a head before anybody is asked for a token, so that it may not be endless. What came with it in
the same read counts too: far fewer bytes would do for the longest head of a well-meaning client."""


class Connection(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too-long", "The URL or the headers are too long."
                )

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for what is no HTTP. Its own words would be text."""
        self._refuse(HTTPStatus.BAD_REQUEST, "structure", "This is no HTTP request that can be read.")

    def _refuse(self, status: HTTPStatus, code: str, diagnostics: str) -> None:
        said = outcome([Issue(code, diagnostics)])
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/fhir+json\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + said)
        self.transport.close()
