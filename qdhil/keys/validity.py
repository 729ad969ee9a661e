"""From when to when a statement holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from qdhil.errors import RefusedError

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def moment(text: str) -> datetime:
    """Return the time that a timestamp of a statement means."""
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)


def timestamp(time: datetime) -> str:
    """Write a time as statements do: UTC, whole seconds."""
    return time.astimezone(UTC).strftime(_TIME_FORMAT)


def expiry(now: datetime, lifetime: timedelta) -> str:
    """Return the timestamp at which something issued now expires."""
    return timestamp(now + lifetime)


def _real_time(text: str) -> str:
    moment(text)
    return text


Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_real_time)]


def check_time(
    issued_and_expires: tuple[str, str], now: datetime, *, lifetime_max_h: float, clock_skew_s: float, what: str
) -> None:
    """Refuse a statement from the future, expired, or made to last too long; expiry has no grace.

    Parameters
    ----------
    issued_and_expires
        The statement's two timestamps.
    now
        The time.
    lifetime_max_h, clock_skew_s
        What the trust file allows.
    what
        Names the statement in messages.

    Raises
    ------
    RefusedError
        With the reason.
    """
    issued, expires = issued_and_expires
    if moment(issued) > now + timedelta(seconds=clock_skew_s):
        raise RefusedError(f"{what}: issued in the future ({issued})")
    if moment(expires) <= now:
        raise RefusedError(f"{what}: expired at {expires}")
    if moment(expires) - moment(issued) > timedelta(hours=lifetime_max_h):
        raise RefusedError(f"{what}: made to last longer than the {lifetime_max_h:g} h that are trusted")
