"""What a machine can enforce, also where a layer is missing: this machine with the layer hidden."""

import pytest

from biofm.gate.confinement import ALL_LAYERS, Layer, enforcement, seccomp
from tests.conftest import StartProcess
from tests.gate.confinement.conftest import Scene


def test_this_machine_enforces_every_layer() -> None:
    found = enforcement()
    assert (found.layers, found.is_whole, found.notice) == (ALL_LAYERS, True, "")
    assert found.landlock_version >= 1


def test_without_libseccomp_the_notice_names_it_and_no_worker_is_called_confined(
    monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    monkeypatch.setattr(seccomp, "LIBRARY", "libseccomp-hidden.so.2")
    found = enforcement()
    assert (found.layers, found.is_whole) == (ALL_LAYERS - {Layer.SECCOMP}, False)
    assert "libseccomp-hidden.so.2: cannot open shared object file" in found.notice
    assert "install the package libseccomp2" in found.notice
    assert scene.attempt("read_granted", layers=found.layers) == "the granted text"
    assert scene.ends[0].layers == ("landlock", "limits")


def test_on_another_architecture_the_list_of_calls_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    assert enforcement().layers == ALL_LAYERS - {Layer.SECCOMP}
    assert "is not made for s390x" in enforcement().notice


# Seccomp itself takes Landlock away, as the filters of some containers do.
WITHOUT_LANDLOCK = """
import errno
from biofm.core.errors import RefusedError
from biofm.gate.confinement import Grant, confine, enforcement, seccomp
library = seccomp.load_library()
state = library.seccomp_init(seccomp.ALLOW)
assert library.seccomp_rule_add_array(state, seccomp.ERRNO | errno.ENOSYS, 444, 0, None) == 0
assert library.seccomp_load(state) == 0
print(enforcement().notice)
print(*sorted(enforcement().layers), enforcement().landlock_version)
try:
    confine(Grant(cpu_s=60, memory_bytes=4 * 10**9, file_bytes=0))
except RefusedError as error:
    print(error)
"""


def test_where_the_kernel_has_no_landlock_the_notice_says_so_and_nothing_is_confined_by_halves(
    start_python: StartProcess,
) -> None:
    out, err = start_python(WITHOUT_LANDLOCK).communicate()
    notice, layers, refusal = out.splitlines()
    assert "the kernel offers no Landlock (Function not implemented)" in notice, err
    assert layers == "limits seccomp 0"
    assert refusal.startswith("the worker cannot be confined: Function not implemented")


OLDER = """
import sys
from biofm.gate.confinement import Grant, confine, landlock
version = int(sys.argv[1])
landlock.landlock_version = lambda: version
confine(Grant(cpu_s=60, memory_bytes=4 * 10**9, file_bytes=0, ports=(80,) if sys.argv[2:] else ()))
for path in ("/etc/passwd", "/proc/self/mem"):
    try:
        open(path, "rb")
    except PermissionError as error:
        print(error.errno)
"""


@pytest.mark.parametrize("version", range(1, 8))
def test_every_version_of_landlock_refuses_files(version: int, start_python: StartProcess) -> None:
    out, err = start_python(OLDER, version).communicate()
    assert out.split() == ["13", "13"], err


def test_a_version_without_ports_does_not_grant_one(start_python: StartProcess) -> None:
    out, err = start_python(OLDER, 3, "port").communicate()
    assert out == ""
    assert "RefusedError: the worker cannot be confined: this version of Landlock knows no TCP ports" in err
