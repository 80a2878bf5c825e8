"""Scheduling: whether every pod finds a node, with as many replicas as there may be.

`pools` reads where nodes come from, `asks` what pods want, `seating` brings the two together, `packing` counts nodes.
The other modules are checks, each about one subject.
"""
