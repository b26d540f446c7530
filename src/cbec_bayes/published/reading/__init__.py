"""Printed tables as they are pasted: from a file of any usual form to the tidy rows that the audit is made from.

One module per step: `formats` makes grids of texts, `cells` reads one text, `notes` what the words around a table say,
`layout` which cell is what, `tidy` writes the rows and paper.toml.
"""
