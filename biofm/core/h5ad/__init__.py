"""``.h5ad`` files read as a stranger's: through one open file, looked at whole before anything is read."""

from biofm.core.h5ad.embeddings import Embeddings, open_embeddings

__all__ = ["Embeddings", "open_embeddings"]
