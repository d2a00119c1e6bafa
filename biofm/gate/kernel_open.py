"""The system call ``openat2`` of Linux, which opens a file and follows no link out of a folder."""

import errno
import os

OPENAT2 = 437  # The number is the same on every processor that Python runs on.
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
AGAIN = 8  # How often the call is repeated if something on the way was renamed meanwhile.


def openat2(folder: int, name: str, flags: int, mode: int) -> int:
    """Open a name below an opened folder, and return its descriptor.

    Args:
        folder: The descriptor of the folder.
        name: The relative name. Links and ``..`` may not lead out of the folder.
        flags: What ``os.open`` takes.
        mode: The permissions of a file that is created.

    Raises:
        OSError: The file cannot be opened; with EXDEV if the name leads out of the folder.
    """
    import ctypes  # Only policies that restrict folders need it.

    created = mode if flags & os.O_CREAT else 0  # Without O_CREAT the kernel refuses a mode.
    how = (ctypes.c_uint64 * 3)(flags, created, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_long(OPENAT2), ctypes.c_int(folder), ctypes.c_char_p(os.fsencode(name)))
    for _ in range(AGAIN):
        found = library.syscall(*arguments, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        if found >= 0:
            return int(found)
        error = ctypes.get_errno()
        if error not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(error, os.strerror(error), name)
