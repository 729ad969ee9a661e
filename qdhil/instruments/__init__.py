"""Roles of a rig's instruments and their drivers over PyVISA."""

from qdhil.instruments.controller import PhotonSourceController
from qdhil.instruments.cryostat import LakeShore336
from qdhil.instruments.session import Session
from qdhil.instruments.switch import DiConGP600
from qdhil.instruments.tagger import TimeTagger
from qdhil.instruments.wait import wait_until

__all__ = ["DiConGP600", "LakeShore336", "PhotonSourceController", "Session", "TimeTagger", "wait_until"]
