"""Every feature by name: which calculation gives it, how many points it needs, what it is where it has no value.

The names and definitions of `FATS` are those of Nun et al. 2015 (arXiv:1506.00010) and of the code published with it;
N is the number of points, m the flux handed in, s its standard deviation with N in the denominator.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One number computed from a light curve.

    Attributes
    ----------
    group : str
        Calculation that gives it (a key of `skyreel.features.groups.GROUPS`); the features of a group share their work.
    minimum : int
        Fewest points with which it is computed.
    fill : float
        Its value with fewer points, and where the definition divides by zero or overflows.
    meaning : str
        Definition in words or as a formula.
    """

    group: str
    minimum: int
    fill: float
    meaning: str


_RATIO = "(x[{high}] - x[{low}]) / (x[.95] - x[.05]) with x the sorted fluxes and x[p] = x_ceil(pN) counted from 0, the last where N < 20"
_FATS = {
    "Amplitude": Feature("order", 1, 0.0, "half of: median of the largest ceil(.05 N) fluxes - median of the smallest"),
    "AndersonDarling": Feature("moments", 4, 0.5, "1 / (1 + exp(-10 (A - 0.3))), A the Anderson-Darling statistic"),
    "Autocor_length": Feature("autocorrelation", 2, 0.0, "smallest lag, in points, at which the autocorrelation is below 1/e"),
    "Beyond1Std": Feature("order", 2, 0.0, "share of points farther than one standard deviation (both about the weighted mean)"),
    "CAR_mean": Feature("car", 3, 0.0, "mean flux / CAR_tau"),
    "CAR_sigma": Feature("car", 3, 0.0, "driving noise of the continuous autoregressive process of order 1 [flux d^-1/2]"),
    "CAR_tau": Feature("car", 3, 0.0, "its relaxation time [d]"),
    "Con": Feature("order", 3, 0.0, "share of runs of three consecutive points all beyond 2 s of the mean"),
    "Eta_e": Feature("moments", 2, 0.0, "mean(w) span^2 sum(w dm^2) / (s^2 sum(w) N^2), w = 1 / dt^2 of consecutive points"),
    "FluxPercentileRatioMid20": Feature("order", 3, 0.0, _RATIO.format(high=".60", low=".40")),
    "FluxPercentileRatioMid35": Feature("order", 3, 0.0, _RATIO.format(high=".675", low=".325")),
    "FluxPercentileRatioMid50": Feature("order", 3, 0.0, _RATIO.format(high=".75", low=".25")),
    "FluxPercentileRatioMid65": Feature("order", 3, 0.0, _RATIO.format(high=".825", low=".175")),
    "FluxPercentileRatioMid80": Feature("order", 3, 0.0, _RATIO.format(high=".90", low=".10") + "; FATS rounds .95 N down here"),
    **{
        f"Freq{i}_harmonics_amplitude_{j}": Feature(
            "harmonics", 4, 0.0, f"amplitude of the sinusoid with {j + 1} times the frequency of the highest Lomb-Scargle peak no. {i}"
        )
        for i in (1, 2, 3)
        for j in range(4)
    },
    **{
        f"Freq{i}_harmonics_rel_phase_{j}": Feature(
            "harmonics", 4, 0.0, f"its phase arctan(cosine / sine coefficient) minus that of the peak's own frequency, peak no. {i}"
        )
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    },
    "Gskew": Feature("order", 1, 0.0, "median of fluxes up to the 3 % quantile + median of those from the 97 % quantile - 2 median"),
    "LinearTrend": Feature("moments", 3, 0.0, "slope of the least-squares line [flux / d]"),
    "MaxSlope": Feature("moments", 2, 0.0, "largest |dm| / dt of consecutive points [flux / d]"),
    "Mean": Feature("moments", 1, 0.0, "mean flux"),
    "Meanvariance": Feature("moments", 2, 0.0, "s / mean"),
    "MedianAbsDev": Feature("moments", 1, 0.0, "median of |m - median|"),
    "MedianBRP": Feature("moments", 1, 0.0, "share of points closer to the median than a tenth of the range"),
    "PairSlopeTrend": Feature("order", 2, 0.0, "(rising - other steps) / 30 among the last 30 points"),
    "PercentAmplitude": Feature("moments", 1, 0.0, "largest |m - median| / median"),
    "PercentDifferenceFluxPercentile": Feature("order", 2, 0.0, "(x[.95] - x[.05]) / median, x as in FluxPercentileRatioMid20"),
    "PeriodLS": Feature("period", 3, 0.0, "period of the highest Lomb-Scargle peak [d]"),
    "Period_fit": Feature("period", 3, 1.0, "false-alarm probability of that peak"),
    "Psi_CS": Feature("period", 3, 0.0, "Rcs of the curve folded with twice PeriodLS"),
    "Psi_eta": Feature("period", 3, 0.0, "sum(dm^2) / ((N - 1) s^2) of consecutive points of the same folded curve"),
    "Q31": Feature("order", 1, 0.0, "third minus first quartile"),
    "Rcs": Feature("moments", 2, 0.0, "range of the cumulative sum of (m - mean) / (N s)"),
    "Skew": Feature("moments", 3, 0.0, "mean((m - mean)^3) / s^3"),
    "SlottedA_length": Feature("slotted", 3, 0.0, "smallest lag [d] at which the slotted autocorrelation is below 1/e"),
    "SmallKurtosis": Feature("moments", 4, 0.0, "small-sample kurtosis, with s in the place of the sample standard deviation"),
    "Std": Feature("moments", 2, 0.0, "s"),
    "StetsonK": Feature("moments", 2, 0.0, "mean |m - weighted mean| / error over its root mean square"),
    "StetsonK_AC": Feature("slotted", 3, 0.0, "StetsonK of the slotted autocorrelation of the first 100 slots"),
    "StructureFunction_index_21": Feature("structure", 3, 0.0, "slope of log S2 over log S1, S_p(lag) = mean |dm|^p of 100 even points"),
    "StructureFunction_index_31": Feature("structure", 3, 0.0, "slope of log S3 over log S1"),
    "StructureFunction_index_32": Feature("structure", 3, 0.0, "slope of log S3 over log S2"),
}

_BANDS = ("0.10-0.25", "0.25-0.45", "0.45-0.70", "0.70-1.20", "1.20-3.00")
_EXTENDED = {
    "magnitude": Feature("level", 1, 30.0, "25 - 2.5 log10(max(median flux, median error)): mag where flux is counts/s at zero point 25"),
    "relative_amplitude": Feature("level", 2, 0.0, "(largest - smallest flux) / top, top = max(largest flux, its error)"),
    "relative_spread": Feature("level", 2, 0.0, "s / top"),
    "relative_quartiles": Feature("level", 2, 0.0, "(third - first quartile) / top"),
    "relative_median": Feature("level", 1, 0.0, "median / top"),
    "relative_minimum": Feature("level", 1, 0.0, "smallest flux / top"),
    "relative_second": Feature("level", 2, 0.0, "second largest flux / top"),
    "relative_first": Feature("level", 1, 0.0, "first flux / top"),
    "relative_last": Feature("level", 1, 0.0, "last flux / top"),
    "running_fall": Feature("level", 2, 0.0, "largest fall below the running maximum / top"),
    "running_rise": Feature("level", 2, 0.0, "largest rise above the running minimum / top"),
    "largest_gap": Feature("level", 3, 0.0, "(largest - second largest flux) / (largest - median): 1 if one point alone is bright"),
    "smallest_gap": Feature("level", 3, 0.0, "(second smallest - smallest flux) / (median - smallest)"),
    "chi2_constant": Feature("noise", 2, 0.0, "log10 of the reduced chi2 about the weighted mean, at least -3"),
    "excess_scatter": Feature("noise", 2, 0.0, "sqrt(|v|) with the sign of v / top, v = variance - mean squared error"),
    "peak_significance": Feature("noise", 1, 0.0, "largest flux / error"),
    "median_significance": Feature("noise", 1, 0.0, "median of flux / error"),
    "significant_share": Feature("noise", 1, 0.0, "share of points with flux above 5 errors"),
    "largest_pull": Feature("noise", 2, 0.0, "largest (flux - weighted mean) / error"),
    "smallest_pull": Feature("noise", 2, 0.0, "smallest of the same"),
    "outlier_share": Feature("noise", 2, 0.0, "share of pulls beyond 3 in either direction"),
    "pull_median": Feature("noise", 2, 0.0, "median pull"),
    "pull_skewness": Feature("noise", 3, 0.0, "skewness of the pulls"),
    "pull_kurtosis": Feature("noise", 4, 0.0, "excess kurtosis of the pulls"),
    "pull_memory": Feature("noise", 3, 0.0, "mean product of consecutive pulls / mean squared pull"),
    "kendall": Feature("trend", 3, 0.0, "rising minus falling pairs of points over all pairs (Kendall's tau with time)"),
    "kendall_before": Feature("trend", 3, 0.0, "the same among points up to the brightest"),
    "kendall_after": Feature("trend", 3, 0.0, "the same among points from the brightest on"),
    "rise_days": Feature("trend", 1, 0.0, "time from the first point above 5 errors to the brightest [d], 0 if it comes later or never"),
    "asymmetry": Feature("trend", 3, 0.0, "(mean flux after - before the brightest point) / top, 0 where one side is empty"),
    "steepest_rise": Feature("trend", 2, 0.0, "largest dm / (errors in quadrature dt) of consecutive points, dt at least 0.02 d [1/d]"),
    "steepest_fall": Feature("trend", 2, 0.0, "smallest of the same"),
    "relative_rise": Feature("trend", 2, 0.0, "largest dm / (top dt), dt at least 0.02 d [1/d]"),
    "relative_fall": Feature("trend", 2, 0.0, "smallest of the same"),
    "decline_rate": Feature("trend", 3, 0.0, "weighted slope of log10 flux from the brightest point on [dex/d], above 3 errors"),
    "line_gain": Feature("fits", 4, 0.0, "share of the chi2 of constancy that a line removes, less what one parameter removes from noise"),
    "line_slope": Feature("fits", 4, 0.0, "slope of that line / top [1/d]"),
    "parabola_gain": Feature("fits", 5, 0.0, "the same of a parabola (two parameters) - line_gain"),
    "parabola_curvature": Feature("fits", 5, 0.0, "second derivative of that parabola / top [1/d^2]"),
    "step_gain": Feature("fits", 5, 0.0, "the same of the best step between two levels (counted as three parameters)"),
    "step_height": Feature("fits", 5, 0.0, "later minus earlier level of that step / top"),
    "transient_gain": Feature("transient", 6, 0.0, "the same of the best of 72 Bazin shapes with a base (counted as one parameter)"),
    "transient_chi2": Feature("transient", 6, 0.0, "log10 of the reduced chi2 of that shape, at least -3"),
    "transient_base": Feature("transient", 6, 0.0, "base of that shape / (base + amplitude), both at least 0"),
    "transient_rise": Feature("transient", 6, 0.0, "rise time of that shape [d]"),
    "transient_fall": Feature("transient", 6, 0.0, "fall time of that shape [d]"),
    "night_scatter": Feature("nights", 3, 0.0, "log10 of the reduced chi2 within nights, at least -3; nights end at gaps of 0.4 d"),
    "nightly_scatter": Feature("nights", 3, 0.0, "log10 of the reduced chi2 of the nights' weighted means, at least -3"),
    "night_ratio": Feature("nights", 3, 0.0, "nightly_scatter - night_scatter"),
    "night_range": Feature("nights", 3, 0.0, "largest flux range within a night / top"),
    "night_step": Feature("nights", 3, 0.0, "mean |dm| / errors in quadrature of consecutive points of a night"),
    "night_memory": Feature("nights", 3, 0.0, "mean product of consecutive pulls of a night / mean squared pull"),
    "best_period": Feature("spectrum", 4, 0.0, "period of the highest peak of the weighted periodogram with floating mean [d]"),
    "best_gain": Feature(
        "spectrum", 4, 0.0, "share of the chi2 of constancy that this sinusoid removes, less what the highest peak of noise does"
    ),
    **{f"gain_{band}d": Feature("spectrum", 4, 0.0, f"the same among periods of {band} d") for band in _BANDS},
    "folded_eta": Feature("spectrum", 4, 0.0, "sum of squared steps of the curve folded with best_period / (2 N variance)"),
    "folded_eta_double": Feature("spectrum", 4, 0.0, "the same folded with twice best_period"),
    "two_harmonics_gain": Feature(
        "spectrum", 7, 0.0, "share of two harmonics of twice best_period beyond best_period's (4 and 2 parameters)"
    ),
}

BANDS = tuple((float(low), float(high)) for low, high in (band.split("-") for band in _BANDS))
"""Edges of the bands of period of the `gain_...` features [d]."""

FATS: tuple[str, ...] = tuple(_FATS)
"""The 60 single-band features of FATS that are not constant; section 3.4 of Carrasco-Davis et al. 2018 counts 58."""

EXTENDED: tuple[str, ...] = tuple(_EXTENDED)
"""What we add: relative, error-weighted, nightly, transient and periodic statistics that know no length and no date."""

PAPER_SIX = ("Meanvariance", "PercentDifferenceFluxPercentile", "CAR_mean", "PercentAmplitude", "Mean", "MaxSlope")
"""The six most important features of the paper's forest (caption of figure 14 of Carrasco-Davis et al. 2018)."""

FEATURES: dict[str, Feature] = _FATS | _EXTENDED
"""All of them, FATS first."""
