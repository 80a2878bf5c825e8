"""Requests out, to servers that others run: pages that are ingested, what tools ask, where notices are sent.

An address is judged before it is connected to, on the way and at every redirect, and whatever comes back is bounded.
"""
