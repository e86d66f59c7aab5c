# SPDX-License-Identifier: Apache-2.0
"""The networks' library is built once, whole or not at all, and is missed with a warning that says why."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from meta_rl_core.networks import fused_mlp, native_library
from meta_rl_core.networks.mlp import MLP, use_native
from meta_rl_core.networks.native_library import NativeBuildError, build, load


@pytest.fixture
def fresh() -> Iterator[None]:
    """Whatever was found out about this machine is found out again."""
    for cached in (native_library.native_library, fused_mlp.can_fuse):
        cached.cache_clear()
    yield
    for cached in (native_library.native_library, fused_mlp.can_fuse):
        cached.cache_clear()


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def bfloat16(fresh: None, request: pytest.FixtureRequest) -> bool:
    """What products this processor has."""
    if native_library.native_library(bfloat16=request.param) is None:
        pytest.skip("this processor has no such products")
    return bool(request.param)


def test_it_is_built_once_and_again_when_the_compiler_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "counting"
    # Notes each call, and writes something to the last argument, which is where the library belongs.
    compiler.write_text(
        f'#!/bin/sh\necho called >> {tmp_path}/calls\nfor last; do :; done\necho x > "$last"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    first = build(tmp_path / "cache")
    assert build(tmp_path / "cache") == first
    assert (tmp_path / "calls").read_text().splitlines() == ["called"]
    assert list((tmp_path / "cache").iterdir()) == [first]
    os.utime(compiler, ns=(0, 0))
    assert build(tmp_path / "cache") != first
    assert build(tmp_path / "cache", "-DANOTHER") != build(tmp_path / "cache")


def test_a_machine_without_a_compiler_trains_on_pytorch_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(native_library, "_instructions", lambda: "fpu avx512_bf16")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    network = MLP(3, (8,), 2, generator=torch.Generator().manual_seed(0))
    use_native(network, True)
    values = torch.randn(500, 3)
    with (
        pytest.warns(RuntimeWarning, match=r"plain PyTorch, more slowly: no C\+\+ compiler") as told,
        torch.autocast("cpu", torch.bfloat16),
    ):
        for _ in range(2):
            assert network(values).shape == (500, 2)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("instructions", "bfloat16", "built"),
    [
        ("fpu avx2 fma", False, True),
        ("fpu avx512f", False, True),
        ("fpu avx2", False, False),
        ("fpu avx2 fma", True, False),
        ("fpu avx2 fma avx512f avx512_bf16", True, True),
    ],
)
def test_only_a_processor_with_the_instructions_is_built_for(
    instructions: str, bfloat16: bool, built: bool, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    calls: list[tuple[str, ...]] = []

    def refuse(_: Path, *flags: str) -> Path:
        calls.append(flags)
        raise NativeBuildError("seen")

    monkeypatch.setattr(native_library, "_instructions", lambda: instructions)
    monkeypatch.setattr(native_library, "build", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert not fused_mlp.can_fuse(bfloat16=bfloat16)
    wanted = () if bfloat16 else (native_library.FLOAT32_FLAG,)
    assert calls == [wanted] * built


def test_a_compiler_that_is_too_old_for_the_processors_tiles_is_not_made_do_with(
    monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    class WithoutTiles:
        def pitaya_has_tiles(self) -> int:
            return 0

    monkeypatch.setattr(native_library, "_instructions", lambda: "avx512_bf16 amx_bf16")
    monkeypatch.setattr(native_library, "build", lambda _: Path("networks.so"))
    monkeypatch.setattr(native_library, "load", lambda _: WithoutTiles())
    with pytest.warns(RuntimeWarning, match="does not know the tiles of AMX, as GCC 11"):
        assert not fused_mlp.can_fuse(bfloat16=True)


def test_only_an_openmp_that_is_loaded_lends_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = native_library.openmp_parallel.__wrapped__
    mapped = tmp_path / "maps"
    monkeypatch.setattr(native_library, "_MAPPED_FILES", mapped)
    assert find() is None  # no such file, as on other systems
    mapped.write_text(
        "7f00-7f01 r--p 00000000 fe:00 1    /usr/lib/libm.so.6\n7f02-7f03 rw-p 00000000 00:00 0\n"
    )
    assert find() is None
    mapped.write_text(f"7f00-7f01 r--p 00000000 fe:00 1    {tmp_path}/libgomp.so.1\n")
    assert find() is None  # gone since
    own = next(line for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line)
    mapped.write_text(f"7f00-7f01 r--p 00000000 fe:00 1    /usr/lib/libm.so.6\n{own}\n")
    assert find() == native_library.openmp_parallel()


def test_a_compiler_that_refuses_is_quoted_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "refusing"
    script.write_text("#!/bin/sh\necho 'x.cpp:1: error: no such option' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(NativeBuildError, match=r"refusing does not take fused_mlp.cpp: .*no such option"):
        build(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(NativeBuildError, match=r"cannot build in .*cache"):
        build(tmp_path / "cache")


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "networks.so").write_bytes(b"no library")
    with pytest.raises(NativeBuildError, match=r"cannot load .*networks.so"):
        load(tmp_path / "networks.so")


def test_a_library_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool
) -> None:
    right = fused_mlp._plain
    monkeypatch.setattr(fused_mlp, "_plain", lambda *arguments: 1.1 * right(*arguments))
    with pytest.warns(RuntimeWarning, match="do not compute what PyTorch does"):
        assert not fused_mlp.can_fuse(bfloat16=bfloat16)


def test_it_is_found_to_agree_wherever_it_is_first_asked_for(bfloat16: bool) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert fused_mlp.can_fuse(bfloat16=bfloat16)
