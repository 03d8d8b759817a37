"""Fit probabilities to what happened on validation, without believing small samples too much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit, log_expit, log_softmax, softmax

Floats = NDArray[np.float64]

TEMPERATURE_BOUNDS = (0.2, 20.0)
BIAS_BOUND = 6.0
PRIOR_LOG_TEMPERATURE = 0.5
"""SD of the prior of log temperature: without data, half to double is likely."""
PRIOR_BIAS = 2.0
"""SD of the prior of each bias, in logits: wide enough for a class of one in fifty."""


def calibrated_sigmoid(logits: Floats, temperature: float, bias: Floats) -> Floats:
    """Probabilities of independent labels: ``sigmoid((z + b) / T)``, same shape as ``logits``."""
    return np.asarray(expit((logits + bias) / temperature))


def calibrated_softmax(logits: Floats, temperature: float, bias: Floats) -> Floats:
    """Probabilities of exclusive classes: ``softmax((z + b) / T)``, ``(N, K)``."""
    return np.asarray(softmax((logits + bias) / temperature, axis=1))


def fit_sigmoid(logits: Floats, truth: Floats) -> tuple[float, Floats]:
    """Temperature and one bias a label, by penalised likelihood.

    Args:
        logits: ``(N, L)``.
        truth: ``(N, L)`` 1, 0, or NaN where missing.

    Returns:
        Temperature, and ``(L,)`` biases in logits.

    Source:
        Platt 1999 with the slope shared; priors keep it bounded when classes separate fully.
    """
    known = np.isfinite(truth)
    sign = np.where(known, 2 * np.nan_to_num(truth) - 1, 0.0)

    def cost(parameters: Floats) -> tuple[float, Floats]:
        slope, bias = np.exp(-parameters[0]), parameters[1:]
        shifted = (logits + bias) * slope
        value = -(log_expit(sign * shifted) * known).sum() + _penalty(parameters)
        pull = -sign * expit(-sign * shifted)
        gradient = np.r_[-(pull * shifted).sum(), (pull * slope).sum(axis=0)] + _penalty_gradient(parameters)
        return float(value), gradient

    return _minimise(cost, logits.shape[1])


def fit_softmax(logits: Floats, truth: NDArray[np.intp]) -> tuple[float, Floats]:
    """Temperature and one bias a class, by penalised likelihood.

    Args:
        logits: ``(N, K)``.
        truth: ``(N,)`` class indices.

    Returns:
        Temperature, and ``(K,)`` biases in logits that sum to 0.

    Source:
        Guo et al. 2017 (temperature); Alexandari et al. 2020 (bias-corrected); priors as in
        :func:`fit_sigmoid`.
    """
    rows = np.arange(len(truth))
    target = np.eye(logits.shape[1])[truth]

    def cost(parameters: Floats) -> tuple[float, Floats]:
        slope, bias = np.exp(-parameters[0]), parameters[1:]
        shifted = (logits + bias) * slope
        value = -log_softmax(shifted, axis=1)[rows, truth].sum() + _penalty(parameters)
        pull = softmax(shifted, axis=1) - target
        gradient = np.r_[-(pull * shifted).sum(), (pull * slope).sum(axis=0)] + _penalty_gradient(parameters)
        return float(value), gradient

    temperature, bias = _minimise(cost, logits.shape[1])
    return temperature, bias - bias.mean()


def _penalty(parameters: Floats) -> float:
    return float((parameters[0] / PRIOR_LOG_TEMPERATURE) ** 2 + ((parameters[1:] / PRIOR_BIAS) ** 2).sum()) / 2


def _penalty_gradient(parameters: Floats) -> Floats:
    return np.r_[parameters[0] / PRIOR_LOG_TEMPERATURE**2, parameters[1:] / PRIOR_BIAS**2]


def _minimise(cost: object, n_bias: int) -> tuple[float, Floats]:
    low, high = np.log(TEMPERATURE_BOUNDS)
    bounds = [(low, high)] + [(-BIAS_BOUND, BIAS_BOUND)] * n_bias
    found = optimize.minimize(cost, np.zeros(1 + n_bias), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), np.asarray(found.x[1:], dtype=np.float64)
