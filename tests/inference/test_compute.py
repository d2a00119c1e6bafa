"""Where a model runs, in which precision, and why."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from biofm.core import OptionError, hardware
from biofm.inference import Compute, choose_compute, place
from biofm.nn import Encoder

SetFlags = Callable[[str], None]


@pytest.fixture
def set_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetFlags:
    """Makes this a Linux machine whose processor has these flags."""

    def set_to(flags: str) -> None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        monkeypatch.setattr(platform, "system", lambda: "Linux")
        monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")

    return set_to


def test_auto_is_float32_where_the_processor_has_no_bfloat16(set_flags: SetFlags) -> None:
    set_flags("fpu sse2 avx512f")

    compute = choose_compute("cpu", "auto")

    assert compute.dtype is torch.float32
    assert compute.reason == "the processor has no avx512_bf16 and no amx_bf16"


def test_auto_is_bfloat16_where_the_processor_has_it(set_flags: SetFlags) -> None:
    set_flags("fpu avx512_bf16 amx_bf16")

    compute = choose_compute("cpu", "auto")

    assert compute.dtype is torch.bfloat16
    assert compute.reason == "the processor has avx512_bf16 and amx_bf16"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_dtype_that_was_asked_for_is_taken_whatever_the_processor_has(
    name: str, set_flags: SetFlags
) -> None:
    set_flags("fpu")

    compute = choose_compute("cpu", name)

    assert (compute.dtype_name, compute.reason) == (name, "set by dtype or by the command's default")


def test_an_unknown_dtype_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(OptionError) as fault:
        choose_compute("cpu", "int8")
    assert str(fault.value) == "--dtype: no such dtype: int8. Give auto, float32, bfloat16, float16"


def test_an_empty_dtype_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(OptionError) as fault:
        choose_compute("cpu", "")
    assert str(fault.value) == "--dtype: no dtype is named. Give auto, float32, bfloat16, float16"


@pytest.mark.parametrize(
    ("gpus", "has_mps", "there"),
    [(0, False, "cpu"), (2, False, "cpu, cuda, cuda:0, cuda:1"), (0, True, "cpu, mps")],
)
@pytest.mark.parametrize(("name", "what"), [("gpu", "no such device: gpu"), ("", "no device is named")])
def test_an_unknown_device_is_an_error_that_lists_those_of_this_machine(
    name: str, what: str, gpus: int, has_mps: bool, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    with pytest.raises(OptionError) as fault:
        choose_compute(name, "auto")
    assert str(fault.value) == (
        f"--device: {what}. Give auto, cpu, cuda, cuda:0 or mps; this machine has {there}"
    )


# A device that torch knows the name of but that holds no numbers must not pass either.
@pytest.mark.parametrize("name", ["meta", "cuda:99"])
def test_a_device_that_cannot_be_used_is_an_error_of_one_line(name: str) -> None:
    with pytest.raises(OptionError) as fault:
        choose_compute(name, "auto")
    message = str(fault.value)
    assert message.startswith(f"--device: device {name} cannot be used here (")
    assert "). Give auto, cpu, cuda, cuda:0 or mps; this machine has cpu" in message
    assert len(message.splitlines()) == 1
    assert len(message) < 250


def test_a_machine_without_an_apple_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        OptionError, match=r"^--device: device mps cannot be used here \(torch finds no Apple"
    ):
        choose_compute("mps", "auto")


def test_placing_converts_a_copy_and_leaves_the_stored_weights_alone(encoder: Encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}

    placed = place(encoder, Compute(torch.device("cpu"), torch.bfloat16, ""))

    assert {weight.dtype for weight in placed.parameters()} == {torch.bfloat16}
    for name, tensor in encoder.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])
    assert placed.get_buffer("rotary.frequencies").dtype == torch.float32


def test_placing_where_nothing_changes_copies_no_weights(encoder: Encoder) -> None:
    placed = place(encoder, Compute(torch.device("cpu"), torch.float32, ""))

    shared = zip(placed.parameters(), encoder.parameters(), strict=True)
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in shared)
