"""The marginal likelihood of the scales, and the coefficients given scales."""
