"""From a document to passages: which rule holds, and where it cuts.

A strategy is a function from text to *spans* (where a passage begins and ends); `passages.py` makes passages of spans,
so that what all of them promise is kept in one place: nothing but blanks is left out, a passage is the text between its
offsets, and none is longer than declared. `semantic` alone needs an embedder: it hands out units that whoever has one
puts together (`semantic.settle`).
"""
