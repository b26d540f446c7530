"""The Bayesian engines: sampling with convergence gates."""
