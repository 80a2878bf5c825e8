"""What an agent remembers beyond one thread: short texts of an owner, found again by what they mean.

An owner is one user of one agent of one tenant, or all of a tenant's users of an agent. Every question to the store
names one, so nobody reads what another's agent was told.
"""
