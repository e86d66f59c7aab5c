# SPDX-License-Identifier: Apache-2.0
"""Rows 12 and 13: bundles that were damaged, and files that carry code."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to prove that a pickle is not read
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl_core.bundle import load_bundle
from meta_rl_core.errors import BundleError, PitayaError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.state_file import read_state_file
from pitaya_nodes.bringup import find_bringup
from tests.faults.tally import Tally
from tests.helpers.bundles import make_random_bundle
from tests.helpers.forgery import FILES, replace_file, rewrite

LONGEST_S = 2.0


def flipped_bits(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 12 a: each case flips one bit of one file."""
    policy = make_random_bundle(folder / "policy").path
    original, tally = load_bundle(policy).hash, Tally()
    whole = {name: (policy / name).read_bytes() for name in FILES}
    same = 0
    for index in range(cases):
        name = FILES[index % len(FILES)]
        damaged = bytearray(whole[name])
        bit = int(generator.integers(8 * len(damaged)))
        damaged[bit // 8] ^= 1 << (bit % 8)
        loaded, complaint, took_s = _load_damaged(policy, name, bytes(damaged))
        if loaded is not None:
            same += 1
            # Such as 'E' for 'e' in a number: other bytes, the same manifest.
            if name != "manifest.json" or loaded != original:
                complaint = f"bit {bit} of {name}: loaded"
        tally.case(complaint, latency_s=took_s)
        (policy / name).write_bytes(whole[name])
    tally.measured = {"flips after which the manifest reads the same": same}
    return tally


def truncations(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 12 b: each case cuts one file at one length, all lengths if so many cases are asked for."""
    del generator
    policy = make_random_bundle(folder / "policy").path
    original, tally = load_bundle(policy).hash, Tally()
    for name in FILES:
        whole = (policy / name).read_bytes()
        count = min(len(whole), -(-cases // len(FILES)))
        for length in np.linspace(0, len(whole) - 1, count).astype(int).tolist():
            loaded, complaint, took_s = _load_damaged(policy, name, whole[:length])
            # Without its last line end the manifest is the same manifest.
            if loaded is not None and (name != "manifest.json" or loaded != original):
                complaint = f"{name} cut at {length} bytes: loaded"
            tally.case(complaint, latency_s=took_s)
        (policy / name).write_bytes(whole)
    return tally


def _load_damaged(policy: Path, name: str, data: bytes) -> tuple[str | None, str, float]:
    """Hash if it was loaded after all, a complaint, and how long it took [s]."""
    (policy / name).write_bytes(data)
    started_s = time.monotonic()
    loaded, complaint = None, ""
    try:
        loaded = load_bundle(policy).hash
    except BundleError:
        pass
    except Exception as error:  # what the row counts
        complaint = f"{name}: {type(error).__name__}: {error}"
    took_s = time.monotonic() - started_s
    if took_s > LONGEST_S:
        complaint = complaint or f"{name}: refused only after {took_s:.1f} s"
    return loaded, complaint, took_s


class Canary:
    """Would leave a directory behind if anybody unpickled it."""

    def __init__(self, path: Path) -> None:
        """Chooses the directory."""
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        """What unpickling would call."""
        return os.mkdir, (self.path, 0o700)


def malicious_files(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 13: each payload at each place that reads files, or as many of these as there are cases."""
    tally, attacks = Tally(), list(_attacks(folder))
    for index in generator.permutation(len(attacks))[:cases].tolist():
        name, harm, read = attacks[index]
        canary = folder / f"canary_{index}"
        target = folder / f"target_{index}"
        harm(target, canary)
        outcome, started_s = "", time.monotonic()
        try:
            read(target)
        except PitayaError:
            pass
        except Exception as error:  # what the row counts
            outcome = f"{name}: {type(error).__name__}: {error}"
        else:
            outcome = f"{name}: was accepted"
        took_s = time.monotonic() - started_s
        if took_s > LONGEST_S:
            outcome = outcome or f"{name}: refused only after {took_s:.1f} s"
        tally.case(f"{name}: its code was run" if canary.exists() else outcome, latency_s=took_s)
        shutil.rmtree(target, ignore_errors=True)
    return tally


Harm = Callable[[Path, Path], None]
Attack = tuple[str, Harm, Callable[[Path], Any]]


def _attacks(folder: Path) -> Iterator[Attack]:
    bundle = make_random_bundle(folder / "whole")
    whole = bundle.path

    def restore(target: Path) -> None:
        Adapter(bundle, 0).restore(read_state_file(target / "belief.json"))

    def bring_up(target: Path) -> None:
        find_bringup(str(target / "graph.yaml"))

    for payload in _PAYLOADS:
        for name in FILES:
            for forged in (False, True):
                yield f"{payload} as {name}", _in_bundle(whole, name, payload, forged), load_bundle
        yield f"{payload} as belief", _as_file(payload, "belief.json"), restore
        yield f"{payload} as bring-up", _as_file(payload, "graph.yaml"), bring_up
    for name in FILES:
        yield f"link as {name}", _link(whole, name), load_bundle
    for entry in ("../weights.safetensors", "/etc/passwd", "extra"):
        yield f"file entry {entry}", _file_entry(whole, entry), load_bundle


def _in_bundle(whole: Path, name: str, payload: str, forged: bool) -> Harm:
    def harm(target: Path, canary: Path) -> None:
        shutil.copytree(whole, target)
        data = _PAYLOADS[payload](canary)
        if forged and name != "manifest.json":
            replace_file(target, name, data)  # with a record and a hash that fit
        else:
            (target / name).write_bytes(data)

    return harm


def _as_file(payload: str, name: str) -> Harm:
    def harm(target: Path, canary: Path) -> None:
        target.mkdir()
        (target / name).write_bytes(_PAYLOADS[payload](canary))

    return harm


def _link(whole: Path, name: str) -> Harm:
    def harm(target: Path, _: Path) -> None:
        shutil.copytree(whole, target)
        (target / name).unlink()
        (target / name).symlink_to(whole / name)

    return harm


def _file_entry(whole: Path, entry: str) -> Harm:
    def harm(target: Path, _: Path) -> None:
        shutil.copytree(whole, target)
        rewrite(target, lambda value: value["files"].update({entry: value["files"]["weights.safetensors"]}))

    return harm


def _torch_archive(canary: Path) -> bytes:
    """As torch.save writes: a zip archive whose data.pkl is a pickle."""
    path = canary.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Canary(canary), 2))
        archive.writestr("archive/version", "3\n")
    data = path.read_bytes()
    path.unlink()
    return data


def _header(text: str) -> bytes:
    """A safetensors file with this header."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


_PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    **{f"pickle protocol {n}": lambda canary, n=n: pickle.dumps(Canary(canary), n) for n in range(6)},
    "torch archive": _torch_archive,
    "npy with a pickle": lambda canary: (
        b"\x93NUMPY\x01\x00v\x00{'descr':'|O','fortran_order':False,'shape':(1,)}\n"
        + pickle.dumps(Canary(canary))
    ),
    "YAML that calls": lambda canary: f"!!python/object/apply:os.mkdir ['{canary}']\n".encode(),
    "YAML that calls in a node": lambda canary: (
        f"nodes:\n  - name: !!python/object/apply:os.mkdir ['{canary}']\n    executable: x\n".encode()
    ),
    "YAML that names a module": lambda _: b"nodes: [!!python/module:os]\n",
    "JSON with __reduce__": lambda canary: json.dumps({"__reduce__": ["os.mkdir", [str(canary)]]}).encode(),
    "expression": lambda canary: f"__import__('os').mkdir({str(canary)!r})".encode(),
    "shell script": lambda canary: f"#!/bin/sh\nmkdir {canary}\n".encode(),
    "shared object": lambda _: b"\x7fELF\x02\x01\x01" + b"\0" * 200,
    "HDF5": lambda _: b"\x89HDF\r\n\x1a\n" + b"\0" * 200,
    "marshalled code": lambda canary: b"\xe3" + f"os.mkdir({str(canary)!r})".encode(),
    "header with metadata that calls": lambda canary: _header(
        json.dumps({"__metadata__": {"format": f"!!python/object/apply:os.mkdir ['{canary}']"}})
    ),
    "header longer than the file": lambda _: (10**12).to_bytes(8, "little") + b"{}",
    "nested 100,000 deep": lambda _: b"[" * 100_000,
    "32 MiB of one number": lambda _: b'{"a": ' + b"9" * (32 << 20) + b"}",
    "billion laughs": lambda _: (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n".encode()
            for i in range(8)
        )
    ),
}
