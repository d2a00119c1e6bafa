"""Made-up proteins and relatives of them, as the splits are tested with."""

from tests.datasets.conftest import generator, mutate, random_protein

__all__ = ["generator", "mutate", "random_protein"]
