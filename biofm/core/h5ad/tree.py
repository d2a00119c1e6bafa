"""The tree of an HDF5 file is checked here, so that HDF5 opens no other file and trusts no stated size.

HDF5 follows links to other files, and reads data that lie in other files (external storage, virtual
datasets), wherever the file says: a stranger's file could make any file of this machine an input. Therefore
every object is checked by its properties alone before any of its data are read. References are refused too,
because they lead to objects that no group lists. So are unknown filters: HDF5 would load their code from its
folder of plugins.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, NoReturn

from biofm.core.errors import InputError

MOST_OBJECTS = 100_000
"""The most groups, datasets and attributes: to check them takes seconds. AnnData files have some hundred."""
MOST_ATTRIBUTES = 1_000
"""The most attributes of one object: HDF5 sorts them again for each one that is opened."""
MOST_LEVELS = 32
MOST_TYPE_LEVELS = 8
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""The filters that h5py always has, by their numbers (https://github.com/HDFGroup/hdf5_plugins)."""
LARGEST_RATIO = 1032
"""How many bytes one compressed byte of gzip can hold at most (https://zlib.net/zlib_tech.html)."""

TRUST = "If you trust its source, write the file again: anndata.read_h5ad(...).write_h5ad(...)"


def check_tree(file: Any, where: str, n_file_bytes: int) -> None:
    """Check every object of an ``h5py.File``. Afterwards any object may be opened by its name.

    Args:
        file: The open file.
        where: The name of the file in messages.
        n_file_bytes: The size of the file.

    Raises:
        InputError: An object is not allowed; the message names it.
    """
    _Walk(where, n_file_bytes).look_at(file)


class _Walk:
    def __init__(self, where: str, n_file_bytes: int) -> None:
        self._where = where
        self._n_file_bytes = n_file_bytes
        self._n_objects = 0

    def look_at(self, file: Any) -> None:
        from h5py import h5g, h5o

        root = h5g.open(file.id, b"/")
        info = h5o.get_info(root)
        self._check_attributes(root, "/", info.num_attrs)
        seen, waiting = {info.addr}, [(root, "", 1)]
        while waiting:
            group, place, level = waiting.pop()
            for name, path in self._members(group, place):
                info = h5o.get_info(group, name)
                if info.type == h5o.TYPE_GROUP:
                    if info.addr in seen:
                        self._refuse(path, "two paths lead to this group: reading may never end", TRUST)
                    if level == MOST_LEVELS:
                        self._refuse(path, f"groups are nested more than {MOST_LEVELS} levels deep", TRUST)
                    seen.add(info.addr)
                    member = h5g.open(group, name)
                    waiting.append((member, path, level + 1))
                    self._check_attributes(member, path, info.num_attrs)
                elif info.type == h5o.TYPE_DATASET:
                    self._check_dataset(group, name, path, info.num_attrs)

    def _members(self, group: Any, place: str) -> Iterator[tuple[bytes, str]]:
        """Yield the names in a group with their paths. Raise InputError if one is a link."""
        from h5py import h5l

        self._count(group.get_num_objs(), place or "/")
        for name in group:
            path = f"{place}/{name.decode(errors='backslashreplace')}"
            kind = group.links.get_info(name).type
            if kind == h5l.TYPE_SOFT:
                self._refuse(path, "this is a link within the file: reading may never end", TRUST)
            if kind != h5l.TYPE_HARD:
                self._refuse(path, "this is a link to another file, which biofm does not open", TRUST)
            yield name, path

    def _check_dataset(self, group: Any, name: bytes, path: str, n_attributes: int) -> None:
        from h5py import h5d

        dataset = h5d.open(group, name)
        properties = dataset.get_create_plist()
        # This comes before the shape: HDF5 opens the files behind a virtual dataset to find its shape.
        if properties.get_layout() == h5d.VIRTUAL:
            self._refuse(path, "this is a virtual dataset: its data are in other files", TRUST)
        if properties.get_external_count():
            self._refuse(path, "this dataset has external storage: its data are in other files", TRUST)
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        for code in codes:
            if code not in FILTERS:
                what = f"its data are compressed by a filter that biofm does not read (number {code})"
                self._refuse(path, what, 'Write the file again with compression="gzip"')
        self._check_attributes(dataset, path, n_attributes)
        kind, stored = dataset.get_type(), dataset.get_storage_size()
        self._check_type(kind, path)
        shape = dataset.get_space().shape
        n_bytes = prod(shape) * kind.get_size() if shape is not None else 0
        if stored > self._n_file_bytes or n_bytes > stored * (LARGEST_RATIO if codes else 1):
            what = f"its shape {shape} needs {n_bytes:,} bytes, but the file holds {stored:,}"
            self._refuse(path, what, "The file is damaged or incomplete: create it again")

    def _check_attributes(self, owner: Any, path: str, n_attributes: int) -> None:
        from h5py import h5a

        if n_attributes > MOST_ATTRIBUTES:
            self._refuse(path, f"it has {n_attributes:,} attributes, more than {MOST_ATTRIBUTES:,}", TRUST)
        self._count(n_attributes, path)
        names: list[bytes] = []
        h5a.iterate(owner, names.append)
        for name in names:
            attribute = h5a.open(owner, name)
            kind, shape = attribute.get_type(), attribute.get_space().shape
            self._check_type(kind, path)
            if shape is not None and prod(shape) * kind.get_size() > self._n_file_bytes:
                what = f"an attribute of shape {shape} is larger than the file"
                self._refuse(path, what, "The file is damaged: create it again")

    def _check_type(self, kind: Any, path: str, level: int = 0) -> None:
        from h5py import h5t

        if level > MOST_TYPE_LEVELS:
            self._refuse(path, f"its type is nested more than {MOST_TYPE_LEVELS} levels deep", TRUST)
        family = kind.get_class()
        if family == h5t.REFERENCE:
            self._refuse(path, "it holds a reference to another object, which biofm does not follow", TRUST)
        if family == h5t.COMPOUND:
            for i in range(kind.get_nmembers()):
                self._check_type(kind.get_member_type(i), path, level + 1)
        elif family in (h5t.ARRAY, h5t.VLEN):
            self._check_type(kind.get_super(), path, level + 1)

    def _count(self, n: int, path: str) -> None:
        self._n_objects += n
        if self._n_objects > MOST_OBJECTS:
            self._refuse(path, f"the file holds more than {MOST_OBJECTS:,} objects", TRUST)

    def _refuse(self, path: str, what: str, remedy: str) -> NoReturn:
        raise InputError(what, where=f"{self._where}, {path}", remedy=remedy)
