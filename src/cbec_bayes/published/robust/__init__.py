"""Pooling with heavy tails: t likelihoods of estimates, and robust distributions between groups, exactly."""
