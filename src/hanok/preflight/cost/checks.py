"""The checks of cost and availability, in the order in which they are asked."""

from hanok.preflight.cost import disruption, hygiene, money, replicas, scaling

MODULES = (
    money,
    replicas,
    disruption,
    scaling,
    hygiene,
)
