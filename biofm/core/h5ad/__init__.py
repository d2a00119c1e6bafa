"""``.h5ad`` files from strangers: the whole tree of a file is checked before any of its data are read."""

from biofm.core.h5ad.embeddings import Embeddings, open_embeddings

__all__ = ["Embeddings", "open_embeddings"]
