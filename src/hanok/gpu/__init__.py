"""GPUs as facts: what can be rented (`catalog`), what a model is made of (`anatomy`), what fits (`memory`), how fast it
is (`speed`), and so which machines serve it at what cost (`planning`); and what GPUs do now (`monitor`). Only `load`,
`client` and `monitor`'s `client` and `watch…` touch the world; who needs them imports them.
"""

from hanok.gpu.anatomy import Anatomy, read_anatomy
from hanok.gpu.catalog import Catalog, changes
from hanok.gpu.load import load_catalog, load_model, load_models, read_catalog
from hanok.gpu.memory import GIB, Fit, Split, fit
from hanok.gpu.planning import Cost, Miss, Option, Plan, api_million, api_price, option_on, plan, want
from hanok.gpu.speed import DENSE_ERROR, EXPERTS_ERROR, Rate, Shape

__all__ = [
    "DENSE_ERROR",
    "EXPERTS_ERROR",
    "GIB",
    "Anatomy",
    "Catalog",
    "Cost",
    "Fit",
    "Miss",
    "Option",
    "Plan",
    "Rate",
    "Shape",
    "Split",
    "api_million",
    "api_price",
    "changes",
    "fit",
    "load_catalog",
    "load_model",
    "load_models",
    "option_on",
    "plan",
    "read_anatomy",
    "read_catalog",
    "want",
]
