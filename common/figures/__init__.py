"""Every Matplotlib line of the project, one folder for each family of figures.

A module shows one kind of result. It has TITLE or `title(result)`, perhaps CAPTION and COLUMNS (of
the table, on the page), and any of `draw(result)`, which returns a Figure, `table(result)`,
`arrays(result)` and `sentences(result)`. `Output.show` writes them.
"""
