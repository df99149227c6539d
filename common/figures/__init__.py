"""Every Matplotlib line of the project, one module for each family of figures.

A function takes arrays, draws, and returns a Figure; nothing is computed and nothing is saved but
by `style.save`.
"""
