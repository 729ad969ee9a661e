"""A device that fetches a file over HTTP, in a thread of its own."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request

MOST_BYTES = 8 << 20
_PIECE_BYTES = 1 << 14
_TIMEOUT_S = 10.0


class ImageFetch:
    """One file on its way; it ends with data or with an error."""

    def __init__(self, url: str) -> None:
        self._data = bytearray()
        self._awaited_bytes = 0
        self._abandoned = False
        self.error: str | None = None
        """Why there is no file, in one line."""
        self._thread = threading.Thread(target=self._run, args=(url,), name="fetch", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return not self._thread.is_alive()

    @property
    def percent(self) -> int:
        """How much has come, in per cent."""
        return 100 * len(self._data) // self._awaited_bytes if self._awaited_bytes else 0

    @property
    def data(self) -> bytes:
        """What has come."""
        return bytes(self._data)

    def abandon(self) -> None:
        """Fetch no more."""
        self._abandoned = True

    def _run(self, url: str) -> None:
        try:
            self._fetch(url)
        except urllib.error.HTTPError as error:
            self.error = f"server said {error.code}"
            error.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            self.error = f"download failed: {reason}".replace("\n", " ")

    def _fetch(self, url: str) -> None:
        # a device knows no proxies
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            self._awaited_bytes = int(answer.headers.get("Content-Length", "0"))
            if not 0 < self._awaited_bytes <= MOST_BYTES:
                raise ValueError(f"{self._awaited_bytes} bytes can't be taken")
            while not self._abandoned and (piece := answer.read(_PIECE_BYTES)):
                self._data += piece
                if len(self._data) > self._awaited_bytes:
                    raise ValueError("more bytes than announced")
        if len(self._data) != self._awaited_bytes:
            raise ValueError(f"it ended after {len(self._data)} of {self._awaited_bytes} bytes")
