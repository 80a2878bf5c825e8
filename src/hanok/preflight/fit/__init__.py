"""What engines need, and whether it is there: flags, memory, time to start, disks, and how GPUs are shared out.

`needs` works out once what each engine takes on each machine that it may be put on; the other modules ask questions
of that. Formulas are those of `hanok.gpu`, so that preflight and `hanok plan` cannot disagree.
"""
