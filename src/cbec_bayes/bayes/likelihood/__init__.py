"""The marginal likelihood of the scales, and the coefficients given scales; `marginal` has the contract of the room."""
