"""What nodes cost at the fewest and at the most replicas (`bill`), and what of that is too much or for nothing."""
