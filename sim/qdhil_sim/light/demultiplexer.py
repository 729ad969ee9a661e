"""One source behind a demultiplexer that routes its pulses in turn to several outputs, a detector at each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.model_files import Strict
from qdhil_sim.light.detector import Detector, TaggerInputs
from qdhil_sim.light.detector_bank import Input, SyncInput, best_efficiency
from qdhil_sim.light.event_stream import EventStream
from qdhil_sim.light.excitation import Probability
from qdhil_sim.light.setup import Provenance

if TYPE_CHECKING:
    from qdhil_sim.light._demultiplexer import Routes
    from qdhil_sim.light._detection import Frame


class PhotonSource(Strict):
    """What a pulse makes at the emitter."""

    lifetime_ps: float = Field(gt=0)
    photon: Probability
    """Probability of a photon per pulse."""
    another: Probability = 0.0
    """Probability of a second one, given the first, during the pulse."""
    leak_photons: Probability = 0.0
    """Probability of one laser photon with a pulse, whatever the dot does."""
    pulse_fwhm_ps: float = Field(default=10.0, ge=0)

    @property
    def mean(self) -> float:
        """Mean photon number μ per pulse."""
        return self.photon * (1 + self.another) + self.leak_photons

    @property
    def g2(self) -> float:
        """g2(0) of one pulse."""
        pairs = self.photon * (self.another + self.leak_photons * (1 + self.another))
        return 2 * pairs / self.mean**2 if self.mean > 0 else math.nan


class Output(Strict):
    """One output of the demultiplexer."""

    transmission: Probability
    """Through the switches and the fibre."""
    extinction: Probability = 0.0
    """Share of the light of every other output's turn that comes out here."""
    delay_ps: int = Field(default=0, ge=0, le=10**8)
    """Of the delay line behind it."""
    detector: Detector


class ArraySetup(Strict):
    """A demultiplexed source."""

    schema_version: Literal[1] = 1
    title: str = ""
    kind: Literal["array"] = "array"
    rep_rate_hz: float = Field(gt=0, le=1e11)
    transmission: Probability
    """From the emitter to the demultiplexer."""
    pulses_per_turn: int = Field(default=1, ge=1)
    """Pulses that an output gets before it is the next one's turn."""
    sync_divider: int = Field(default=1, ge=1)
    sync_input_jitter_ps: float = Field(default=5.0, ge=0)
    source: PhotonSource
    outputs: tuple[Output, ...] = Field(min_length=2, max_length=30)
    tagger: TaggerInputs = TaggerInputs()
    provenance: dict[str, Provenance] = Field(default_factory=dict)
    """By the field's path in the profile, or by the name of a published measure."""

    @model_validator(mode="after")
    def _open(self) -> ArraySetup:
        if not any(output.transmission * output.detector.efficiency > 0 for output in self.outputs):
            raise ValueError("no output lets light through to a detector")
        if sum(output.extinction for output in self.outputs) > 1:
            raise ValueError("the outputs' extinctions must not add up to more than 1")
        return self

    @property
    def period_ps(self) -> float:
        """Pulse period T in ps."""
        return 1e12 / self.rep_rate_hz

    @property
    def turn_ps(self) -> float:
        """Time from one turn of an output to its next."""
        return self.period_ps * self.pulses_per_turn * len(self.outputs)

    def aligned(self) -> ArraySetup:
        """Return the setup with delay lines that make the photons of one round arrive together, to 1 ps."""
        last = len(self.outputs) - 1
        lines = [round((last - place) * self.pulses_per_turn * self.period_ps) for place in range(last + 1)]
        outputs = [
            output.model_copy(update={"delay_ps": line}) for output, line in zip(self.outputs, lines, strict=True)
        ]
        return self.model_copy(update={"outputs": tuple(outputs)})

    def photons_per_turn(self, output: int, turn: int) -> float:
        """Return the mean photons per pulse that output ``output`` detects during the turn of output ``turn``."""
        chosen = self.outputs[output]
        share = chosen.extinction
        if output == turn:
            share = 1 - sum(other.extinction for place, other in enumerate(self.outputs) if place != turn)
        return self.source.mean * self.transmission * share * chosen.transmission * chosen.detector.efficiency


class ArrayStream(EventStream):
    """Tags of all outputs and of the sync; pulse 0 begins the first output's turn.

    Parameters
    ----------
    setup
        The source and its outputs.
    seed
        Seed of the acquisition.
    channel_sync
        Tagger input of the sync.
    channels
        Those of the outputs; by default the ones after the sync's.

    Raises
    ------
    ConfigurationError
        If there isn't one channel for each output.
    """

    def __init__(
        self,
        setup: ArraySetup,
        *,
        seed: int | Sequence[int],
        channel_sync: int = 1,
        channels: Sequence[int] | None = None,
    ) -> None:
        count = len(setup.outputs)
        wired = list(channels) if channels is not None else list(range(channel_sync + 1, channel_sync + 1 + count))
        if len(wired) != count:
            raise ConfigurationError(f"{count} outputs need as many channels, not {len(wired)}")
        inputs = [
            Input(channel, output.detector, output.delay_ps)
            for channel, output in zip(wired, setup.outputs, strict=True)
        ]
        super().__init__(
            inputs,
            seed=seed,
            period=10**12 / Fraction(setup.rep_rate_hz),
            sync=SyncInput(channel_sync, setup.sync_divider, setup.sync_input_jitter_ps),
            lasting_ps=setup.source.lifetime_ps,
            start_sd_ps=setup.source.pulse_fwhm_ps,
            tagger=setup.tagger,
        )
        self._routes = _routes(setup, best_efficiency(inputs))

    def _draw(self, frame: Frame, _lasts_ps: int, photons: npt.NDArray[np.float64]) -> int:
        from qdhil_sim.light import _demultiplexer

        return _demultiplexer.fill(self._light_rng, self._routes, frame, photons)


def _routes(setup: ArraySetup, best: float) -> Routes:
    from qdhil_sim.light._demultiplexer import Routes

    source = setup.source
    return Routes(
        photon=source.photon,
        another=source.another,
        leak=source.leak_photons,
        survives=setup.transmission * best,
        leaks=np.array([output.extinction for output in setup.outputs]),
        through=np.array([output.transmission for output in setup.outputs]),
        pulses_per_turn=setup.pulses_per_turn,
        lifetime_ps=source.lifetime_ps,
        prompt_sd_ps=source.pulse_fwhm_ps / math.sqrt(8 * math.log(2)),
    )
