"""How an image gets into the slot that does not run: with the command, or fetched from a URL; then flash is written."""

from __future__ import annotations

from qdhil_sim.clock import Clock
from qdhil_sim.devices.firmware import FirmwareSlots, ImageRefused, Stored, parse_image
from qdhil_sim.devices.image_fetch import ImageFetch
from qdhil_sim.protocol.errors import ScpiError

START_S = 2.0
BYTES_PER_S = 1e6


class SlotWriter:
    """Writes one image at a time.

    Parameters
    ----------
    slots
        Where to.
    clock
        Device time; writing takes some of it, fetching takes the host's.
    """

    def __init__(self, slots: FirmwareSlots, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._fetch: ImageFetch | None = None
        self._writing: Stored | None = None
        self._start_s = self._end_s = 0.0
        self._by_url = False
        self._state = "IDLE"

    @property
    def end_s(self) -> float:
        """Device time at which what is being written will be."""
        return self._end_s if self._writing is not None else 0.0

    def take(self, data: bytes) -> None:
        """Begin to write an image.

        Raises
        ------
        ScpiError
            If another is being written, the slot is needed, or it is no image.
        """
        self._check_free()
        self._by_url = False
        try:
            self._begin(data)
        except ImageRefused as error:
            raise ScpiError(-310, str(error)) from error

    def fetch(self, url: str) -> None:
        """Begin to fetch an image, which is then written; what goes wrong is told by :meth:`state` alone.

        Raises
        ------
        ScpiError
            If another is being written, the slot is needed, or the URL is none of HTTP.
        """
        self._check_free()
        if not url.startswith(("http://", "https://")):
            raise ScpiError(-224, "not a URL of http or https")
        self._by_url = True
        self._fetch = ImageFetch(url)

    def state(self) -> str:
        """Return IDLE, BUSY with per cent, UPDATING with per cent and text, COMPLETE, or ERROR with its text."""
        self._advance()
        if self._fetch is not None:
            return f"UPDATING,{self._fetch.percent // 2},fetching"
        if self._writing is None:
            return self._state
        if self._clock.finish(self._end_s):
            self._advance()
            return self._state
        done = (self._clock.now_s - self._start_s) / (self._end_s - self._start_s)
        return f"UPDATING,{50 + 50 * done:.0f},writing" if self._by_url else f"BUSY,{100 * done:.0f}"

    def check_idle(self) -> None:
        """Raise ScpiError if something is being fetched or written."""
        self._advance()
        if self._fetch is not None or self._writing is not None:
            raise ScpiError(-221, "an upload is going on")

    def abandon(self) -> None:
        """Forget what is not done: the power went, or a reset came."""
        self._advance()
        if self._fetch is not None:
            self._fetch.abandon()
        self._fetch = self._writing = None
        self._state = "IDLE"

    def _check_free(self) -> None:
        self.check_idle()
        if self._slots.running != self._slots.confirmed:
            raise ScpiError(-221, "the other slot holds the confirmed image")

    def _begin(self, data: bytes) -> None:
        try:
            self._writing = Stored(data, parse_image(data))
        except ImageRefused as error:
            self._state = f"ERROR,{error}"
            raise
        self._slots.trial = None
        self._slots.contents[self._slots.inactive] = None
        self._start_s = self._clock.now_s
        self._end_s = self._start_s + START_S + len(data) / BYTES_PER_S

    def _advance(self) -> None:
        """Go from fetching to writing, and from writing to done, where it is time."""
        if self._fetch is not None and self._fetch.ended:
            fetched, self._fetch = self._fetch, None
            if fetched.error is not None:
                self._state = f"ERROR,{fetched.error}"
            else:
                try:
                    self._begin(fetched.data)
                except ImageRefused:
                    return
        if self._writing is not None and self._clock.now_s >= self._end_s:
            self._slots.contents[self._slots.inactive] = self._writing
            self._writing = None
            self._state = "COMPLETE" if self._by_url else "IDLE"
