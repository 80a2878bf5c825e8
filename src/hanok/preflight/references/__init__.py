"""References: every name that a manifest uses must be defined by something.

The idea that makes it simple: one `Inventory` knows what stands in the tree, what controllers make of it, and who may
make more (a Helm release, a Flux Kustomization of files that are not here). A name that nothing could define is an
error; one that somebody may define is said once, and leaves the verdict open.
"""
