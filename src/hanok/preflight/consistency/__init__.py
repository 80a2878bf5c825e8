"""Consistency: what one part of a platform says of another, held against what that one is.

Names of models, sizes of vectors, ports, metrics, prices: each valid where it stands, and wrong beside its neighbour.
A check speaks only where image, command or address make certain which component it looks at.
"""
