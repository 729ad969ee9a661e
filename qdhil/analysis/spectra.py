"""The strongest line of an optical spectrum: where it is and how wide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings
from qdhil.analysis.panel import Panel
from qdhil.errors import FormatError
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.line import Line, fit_line
from qdhil.tags.recording import Spectrum

_AROUND, _CROWDED = 8.0, 2.0
"""Range of the fit in full widths, of a line alone and of one among others."""
_FEWEST_POINTS = 12
_SECOND = 0.25
_DEPARTS = 0.1
_LABELS = {"nm": "wavelength", "meV": "energy", "GHz": "frequency"}
_ZERO = 1e-9


def analyse_spectrum(spectrum: Spectrum, choices: Choices) -> Findings:
    """Return centre and width of the strongest line, in the unit of the axis.

    The line is fitted within some of its widths, on a level floor. The signal is taken for a camera's:
    its errors come from the scatter about the fit.

    Raises
    ------
    FormatError
        If no line stands out, or is resolved.
    """
    if not choices.allows("spectrum"):
        raise FormatError(f"a spectrum is nothing of kind {choices.kind}")
    place, peaks = _strongest(spectrum)
    line, chosen = _fitted(spectrum, place, peaks, choices.confidence)
    found = Findings([_in_unit(line.centre, spectrum.unit), _in_unit(line.fwhm, spectrum.unit)])
    if peaks > 1:
        found.notes.append(f"{peaks} lines of a quarter of the strongest or more: the strongest is given")
    if line.fwhm.value < 3 * float(np.median(np.diff(spectrum.axis))):
        found.notes.append("the line is as narrow as the spectrometer's pixels: its width is an upper limit")
    panel, departure = _panel(spectrum, line, chosen)
    if departure > _DEPARTS:
        found.notes.append(f"the fit departs by {departure:.0%} of the line's height: no single Lorentzian line")
    found.panels.append(panel)
    return found


def _fitted(spectrum: Spectrum, place: int, peaks: int, confidence: float) -> tuple[Line, slice]:
    """Return the fitted line and the points about it; refuse with the reason of the narrowest range."""
    reasons: list[str] = []
    for widths in (_AROUND, 2 * _AROUND, 4 * _AROUND) if peaks == 1 else (_CROWDED, 2 * _CROWDED, _AROUND):
        chosen = _range(spectrum, place, widths)
        signal = spectrum.signal[chosen]
        counts = signal - min(float(signal.min()), 0.0)
        try:
            return fit_line(spectrum.axis[chosen], counts, photon_counts=False, confidence=confidence), chosen
        except ValueError as error:
            reasons.append(str(error))
    raise FormatError(reasons[0])


def _in_unit(estimate: Estimate, unit: str) -> Estimate:
    return replace(estimate, normalisation=f"lorentzian-line, in {unit}")


def _smooth(spectrum: Spectrum) -> npt.NDArray[np.float64]:
    """Return the signal above its slow background, over three points."""
    signal = np.convolve(spectrum.signal, np.ones(3) / 3, "same")
    signal[0], signal[-1] = signal[1], signal[-2]
    return signal - float(np.median(signal))


def _strongest(spectrum: Spectrum) -> tuple[int, int]:
    """Return the highest point, and how many lines are as high as a quarter of it."""
    above = _smooth(spectrum)
    place = int(np.argmax(above))
    high = above > _SECOND * float(above[place])
    return place, int(np.count_nonzero(np.diff(high.astype(np.int8)) == 1)) + int(high[0])


def _range(spectrum: Spectrum, place: int, widths: float) -> slice:
    """Return the points about a line, by its width at half height."""
    above = _smooth(spectrum)
    below = np.flatnonzero(above < above[place] / 2)
    left = int(below[below < place].max(initial=0))
    right = int(below[below > place].min(initial=above.size - 1))
    reach = max(round((right - left) * widths / 2), _FEWEST_POINTS)
    return slice(max(place - reach, 0), min(place + reach + 1, above.size))


def _panel(spectrum: Spectrum, line: Line, chosen: slice) -> tuple[Panel, float]:
    """Return the plot, and the scatter about the fitted line as a part of the line's height."""
    from scipy.special import voigt_profile

    centre, width, unit = line.centre.value, line.fwhm.value, spectrum.unit
    axis = np.linspace(float(spectrum.axis[chosen][0]), float(spectrum.axis[chosen][-1]), 801)
    shape = voigt_profile(spectrum.axis[chosen] - centre, _ZERO, width / 2)
    design = np.stack([shape, np.ones_like(shape)], axis=1)
    height, floor = np.linalg.lstsq(design, spectrum.signal[chosen], rcond=None)[0]
    scatter = float(np.std(spectrum.signal[chosen] - design @ (height, floor)))
    panel = Panel(
        "spectrum",
        f"{_LABELS[unit]} ({unit})",
        "signal",
        spectrum.axis,
        spectrum.signal,
        style="line",
        model=(axis, floor + height * voigt_profile(axis - centre, _ZERO, width / 2)),
        zoom=(float(axis[0]), float(axis[-1])),
        note=f"strongest line at {centre:.6g} {unit}, full width {width:.4g} {unit}",
    )
    return panel, scatter / float(height * voigt_profile(0.0, _ZERO, width / 2))
