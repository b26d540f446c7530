"""Panels, members, oracles and files that several tests share; no test is here."""
