"""What ``meta.fstore`` may say, and the feature views and services that it declares.

Every mistake becomes a Problem that names the file, the node, the key and what to write instead;
all of them are collected, so that a person mends them in one go.
"""

from fstore.declarations.on_demand import is_on_demand, on_demand_view
from fstore.declarations.reading import Declared
from fstore.declarations.services import feature_service
from fstore.declarations.views import disagreements, feature_view

__all__ = [
    "Declared",
    "disagreements",
    "feature_service",
    "feature_view",
    "is_on_demand",
    "on_demand_view",
]
