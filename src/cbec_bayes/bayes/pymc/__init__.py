"""The same posterior as a `pymc.Model`."""
