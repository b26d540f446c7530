"""Coordinates of parameters: there and back, their Jacobians, and where double precision ends."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.parameter import INVERSE_TANH, LOGARITHM, Parameter
from cbec_bayes.bayes.model.densities import CORRELATION
from cbec_bayes.bayes.model.prior import Prior

AT = np.array([-2.0, -0.3, 0.4, 1.7])


@pytest.mark.parametrize("transformation", [LOGARITHM, INVERSE_TANH])
def test_values_and_coordinates_go_there_and_back_with_their_jacobian(transformation):
    values = transformation.value(AT)
    np.testing.assert_allclose(transformation.coordinate(values), AT, rtol=1e-12)
    np.testing.assert_allclose([transformation.number(float(at)) for at in AT], values, rtol=1e-14)
    h = 1e-6
    derivative = (transformation.value(AT + h) - transformation.value(AT - h)) / (2 * h)
    np.testing.assert_allclose(transformation.log_jacobian(AT), np.log(derivative), atol=1e-9)
    slope = (transformation.log_jacobian(AT + h) - transformation.log_jacobian(AT - h)) / (2 * h)
    np.testing.assert_allclose([transformation.log_jacobian_slope(float(v)) for v in values], slope, atol=1e-8)


def test_a_parameter_knows_its_coordinate_from_its_prior():
    scale, rho = Parameter("sigma", Prior("half_normal", {"scale": 2.0})), Parameter("rho", CORRELATION)
    assert (scale.transformation, rho.transformation) == (LOGARITHM, INVERSE_TANH)
    assert scale.start() == 0.0
    assert rho.start() == pytest.approx(np.arctanh(0.3))


def test_a_correlation_that_rounds_to_one_is_outside():
    assert INVERSE_TANH.is_inside(np.array([-30.0, 0.0, 5.0, 30.0])).tolist() == [False, True, True, False]
    assert LOGARITHM.is_inside(np.array([-800.0, 0.0, 800.0])).all()
