"""Rendering of results: tables, figures, one HTML page. Nothing is computed here."""
