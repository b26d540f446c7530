"""Draws of the scales: importance sampling, nutpie, and the gates of both."""
