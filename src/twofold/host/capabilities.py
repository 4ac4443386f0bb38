"""Capabilities of this machine: instructions, usable cores and memory, accelerators, and the arithmetic to use.

One place decides between bf16 and f32. On x86 under Linux the processor's flags are trusted: bf16 where it has
AVX-512-BF16 or AMX-BF16, since without them it is emulated and many times slower than f32. Elsewhere a measurement of
about a second in a child process decides, and is kept in the cache under the machine's `fingerprint`.

Settings that make one kind of machine behave like another are respected: with ``ONEDNN_MAX_CPU_ISA=AVX2`` or
``ATEN_CPU_CAPABILITY=avx2`` a machine with AVX-512-BF16 counts as an AVX2 machine. ``ONEDNN_DEFAULT_FPMATH_MODE``
concerns the rounding of f32 and changes nothing here.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import math
import os
import platform
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from twofold.files import writing
from twofold.hashing import digest
from twofold.host import children
from twofold.host.cache import cache_root
from twofold.types import Json

_log = logging.getLogger(__name__)

Dtype = Literal["bf16", "f32"]
Device = Literal["auto", "cpu", "cuda", "openvino"]
"""``auto``: the device that torch trains on, a GPU where one is usable; ``openvino``: the CPU through OpenVINO."""

FASTER = 1.25
"""bf16 must be measured this many times as fast as f32, so that `auto` has .8 of the best pace: below it, its rounding
buys little."""
CUDA_BF16 = (8, 0)
"""Compute capability from which NVIDIA GPUs multiply bf16 in hardware (Ampere)."""
_MEASURE = "twofold.training.speed"
"""The module that measures: run with ``python -m``, it prints JSON."""
_PATIENCE = 120
"""Longest time for a measurement, in seconds; importing torch from a cold disk can take half a minute."""

_PROBE_SECONDS = 0.15
"""Length of the probe in `crowded`."""
_ALONE = 0.8
"""Least share of its time that a computing thread gets on an idle machine (measured: .97; beside two others: .5)."""

_LEVELS = {
    "avx2": 2,
    "avx_vnni": 3,
    "avx512f": 4,
    "avx512_bf16": 5,
    "avx512_fp16": 6,
    "amx_bf16": 7,
}
"""x86 instruction sets in the order in which the caps below cut them off."""
_CAPS = {
    "ONEDNN_MAX_CPU_ISA": {
        "SSE41": 1,
        "AVX": 1,
        "AVX2": 2,
        "AVX2_VNNI": 3,
        "AVX2_VNNI_2": 3,
        "AVX512_CORE": 4,
        "AVX512_CORE_VNNI": 4,
        "AVX512_CORE_BF16": 5,
        "AVX512_CORE_FP16": 6,
        "AVX10_1_512": 6,
    },
    "ATEN_CPU_CAPABILITY": {"DEFAULT": 1, "AVX2": 2},
}
"""Environment variable → value → highest level that remains usable; other values have no effect."""
_ARM = ("bf16", "i8mm", "fphp")
"""Flags of Arm processors that matter for arithmetic."""
_ARM_PARTS = {
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The CPU as this process may use it."""

    architecture: str
    """``x86_64``, ``arm64``, or the system's name for another architecture."""
    system: str
    """``Linux``, ``Darwin`` or ``Windows``."""
    model: str
    """Name of the CPU; empty where the system does not report it."""
    instructions: tuple[str, ...]
    """Instruction sets that matter for arithmetic and that `caps` do not disable."""
    caps: tuple[str, ...]
    """Settings in force that disable instructions, as ``NAME=value``."""

    @property
    def trusted(self) -> bool:
        """Do the flags decide? On other systems a flag says little about speed, and bf16 is measured."""
        return self.architecture == "x86_64" and self.system == "Linux"

    @property
    def bf16(self) -> bool:
        """Does the CPU multiply bf16 in hardware, according to its flags?"""
        return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(self.instructions))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A CUDA device, as the driver describes it."""

    name: str
    capability: tuple[int, int]
    bytes: int
    """Memory of the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenArithmetic:
    """An arithmetic and the reason for its use."""

    dtype: Dtype
    because: str
    """The reason, as a continuation of "bf16, because …"."""


# ---------------------------------------------------------------- the processor


def processor() -> Processor:
    """This machine's CPU under the caps of this process's environment."""
    system = platform.system()
    return parse_processor(_description(system), architecture=platform.machine(), system=system, environment=os.environ)


def parse_processor(text: str, *, architecture: str, system: str, environment: Mapping[str, str]) -> Processor:
    """Parse a system's description of its CPU.

    Args:
        text: ``/proc/cpuinfo``, the output of ``sysctl machdep.cpu hw.optional``, or on Windows lines in the form of
            ``/proc/cpuinfo``.
        architecture: As `platform.machine` names it.
        system: As `platform.system` names it.
        environment: Environment variables, which may contain the caps.
    """
    architecture = {"amd64": "x86_64", "aarch64": "arm64"}.get(architecture.lower(), architecture.lower())
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, mark, value = line.partition(":")
        if mark:
            fields.setdefault(name.strip(), value.strip())
    present = _darwin_flags(fields) if system == "Darwin" else _flags(fields)
    known = _LEVELS if architecture == "x86_64" else dict.fromkeys(_ARM, 0)
    caps = {}
    for name, levels in _CAPS.items() if architecture == "x86_64" else ():
        # oneDNN still reads the variables that it had under its former name
        value = environment.get(name, "") or environment.get(name.replace("ONEDNN", "DNNL"), "")
        if value.upper() in levels:
            caps[f"{name}={value}"] = levels[value.upper()]
    highest = min(caps.values(), default=math.inf)
    part = (fields.get("CPU implementer", ""), fields.get("CPU part", ""))
    model = fields.get("model name") or fields.get("machdep.cpu.brand_string") or _ARM_PARTS.get(part)
    return Processor(
        architecture=architecture,
        system=system,
        model=model or " ".join(filter(None, part)),
        instructions=tuple(name for name, level in known.items() if name in present and level <= highest),
        caps=tuple(caps),
    )


def _flags(fields: Mapping[str, str]) -> set[str]:
    return set((fields.get("flags") or fields.get("Features") or "").lower().split())


def _darwin_flags(fields: Mapping[str, str]) -> set[str]:
    arm = {"bf16": "FEAT_BF16", "i8mm": "FEAT_I8MM", "fphp": "FEAT_FP16"}
    flags = {name for name, key in arm.items() if fields.get(f"hw.optional.arm.{key}") == "1"}
    intel = {"avx2": "avx2_0", "avx512f": "avx512f"}
    return flags | {name for name, key in intel.items() if fields.get(f"hw.optional.{key}") == "1"}


@lru_cache(maxsize=1)
def _description(system: str) -> str:
    try:
        if system == "Darwin":
            command = ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"]
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
        if system == "Windows":
            # PF_AVX2_INSTRUCTIONS_AVAILABLE and PF_AVX512F_INSTRUCTIONS_AVAILABLE of winnt.h.
            has = ctypes.CDLL("kernel32").IsProcessorFeaturePresent
            flags = " ".join(name for name, number in (("avx2", 40), ("avx512f", 41)) if has(number))
            return f"model name: {platform.processor()}\nflags: {flags}"
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            lines: list[str] = []
            for line in file:  # the first processor's block; all are alike
                if not line.strip() and any("lags" in have or "Features" in have for have in lines):
                    break
                lines.append(line)
            return "".join(lines)
    except (OSError, AttributeError, subprocess.SubprocessError):
        return ""


# ---------------------------------------------------------------- cores and memory


def cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer under a cgroup's quota."""
    # macOS and Windows have no such call
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    # rounded up: a thread can use the part of a core that is left over
    return max(1, min(count, math.ceil(quota))) if quota else count


def crowded() -> bool:
    """Do other processes use this machine's cores now? Computing threads then get less than `_ALONE` of their time.

    The answer is False where a GPU computes, which other processes on the cores slow down little.
    """
    if uses_cuda():
        return False
    shares, block = [0.0] * cores(), bytes(1 << 20)

    def compute(number: int) -> None:
        began, used = time.perf_counter(), time.thread_time()
        while time.perf_counter() < began + _PROBE_SECONDS:
            hashlib.sha256(block)  # releases the interpreter's lock, so that the threads run in parallel
        shares[number] = (time.thread_time() - used) / (time.perf_counter() - began)

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(len(shares))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(shares) / len(shares) < _ALONE


def cpu_quota(root: Path = Path("/")) -> float:
    """Quota of the cgroups (version 1 or 2) above this process, in cores; 0 for no limit.

    Args:
        root: The directory that contains ``proc`` and ``sys``.
    """
    limits = []
    for folder in _groups(root, "cpu"):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit():
            limits.append(int(words[0]) / int(words[1]))
        # -1 where there is no limit
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            limits.append(int(quota) / int(period))
    return min((limit for limit in limits if limit > 0), default=0.0)


def memory_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may use: the machine's, or less under a cgroup's limit; 0 where it is unknown.

    Args:
        root: The directory that contains ``proc`` and ``sys``.
    """
    limits = [_physical_bytes()]
    for folder in _groups(root, "memory"):
        texts = [_read(folder / name) for name in ("memory.max", "memory.limit_in_bytes")]
        limits += [int(text) for text in texts if text.isdigit()]
    return min((limit for limit in limits if limit > 0), default=0)


def _physical_bytes() -> int:
    if hasattr(os, "sysconf"):
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (OSError, ValueError):
            return 0

    class Status(ctypes.Structure):  # MEMORYSTATUSEX of sysinfoapi.h: two 32-bit fields, then seven of 64 bits
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("sizes", ctypes.c_uint64 * 7)]

    status = Status(length=ctypes.sizeof(Status))
    try:
        ctypes.CDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status))
    except (OSError, AttributeError):
        return 0
    return int(status.sizes[0])


def _groups(root: Path, controller: str) -> list[Path]:
    """Folders of this process's cgroups for a controller, from its own to the root, under both versions."""
    mount, folders = root / "sys" / "fs" / "cgroup", []
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if number == "0" and not controllers:
            top = mount
        elif controller in controllers.split(","):
            top = mount / (controllers if (mount / controllers).is_dir() else controller)
        else:
            continue
        inner = top / place.lstrip("/")
        # Inside a container the path may be the host's, which is not mounted here: the top is then the group itself.
        folders += [folder for folder in (inner, *inner.parents) if folder == top or top in folder.parents]
    return folders


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


# ---------------------------------------------------------------- accelerators


@lru_cache(maxsize=1)
def gpus() -> tuple[Gpu, ...]:
    """The CUDA devices visible to this process, from the driver, without importing torch."""
    name = "nvcuda" if platform.system() == "Windows" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
        if driver.cuInit(0) != 0:
            return ()
        count = ctypes.c_int()
        driver.cuDeviceGetCount(ctypes.byref(count))
        return tuple(_gpu(driver, number) for number in range(count.value))
    except (OSError, AttributeError):
        return ()


def _gpu(driver: ctypes.CDLL, number: int) -> Gpu:
    device, size, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(128)
    major, minor = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)  # the first version of the call counts in 32 bits
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return Gpu(name=name.value.decode("utf-8", "replace"), capability=(major.value, minor.value), bytes=int(size.value))


def has_mps() -> bool:
    """Has the machine an Apple GPU? Twofold reports it but does not use it, as this was never tested."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def uses_cuda() -> bool:
    """Does torch compute on a GPU here? That takes a driver with a device, and a torch built for CUDA."""
    return bool(_torch_cuda() and gpus())


@lru_cache(maxsize=1)
def _torch_cuda() -> bool:
    """Was the installed torch built for CUDA? Read from its ``version.py``: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return False
    text = _read(Path(spec.origin).with_name("version.py"))
    return bool(re.search(r"^cuda\b[^=\n]*=\s*['\"]", text, re.MULTILINE))


# ---------------------------------------------------------------- the arithmetic


def arithmetic(device: Device = "auto") -> ChosenArithmetic:
    """The arithmetic to use by default, and the reason.

    Except on x86 under Linux, the first call on a machine with torch measures, which takes some seconds.

    Args:
        device: The computing device.
    """
    if device == "cuda" or (device == "auto" and uses_cuda()):
        return _on_cuda(gpus())
    return _on_cpu(processor(), device=device, cache=cache_root())


def _on_cuda(devices: tuple[Gpu, ...]) -> ChosenArithmetic:
    weakest = min((gpu.capability for gpu in devices), default=CUDA_BF16)
    if weakest >= CUDA_BF16:
        return ChosenArithmetic(dtype="bf16", because="the GPU multiplies it in hardware")
    version = ".".join(map(str, weakest))
    return ChosenArithmetic(
        dtype="f32",
        because=f"the GPU (compute capability {version}) has no bf16, and f16 would need its loss scaled to train",
    )


@lru_cache(maxsize=16)
def _on_cpu(cpu: Processor, *, device: Device, cache: Path) -> ChosenArithmetic:
    if device == "openvino":
        # OpenVINO has its own kernels, with bf16 on x86 only: torch's measurement says nothing about them
        if cpu.bf16 and cpu.architecture == "x86_64":
            return ChosenArithmetic(dtype="bf16", because=_has(cpu))
        return ChosenArithmetic(dtype="f32", because=_lacks(cpu))
    speeds = measured(cpu, cache=cache)
    if speeds is None and not cpu.trusted:
        speeds = measure(cpu)
    if speeds is not None:
        times = speeds["bf16"] / speeds["f32"]
        return ChosenArithmetic(
            dtype="bf16" if times >= FASTER else "f32",
            because=f"bf16 was measured {times:.2g} times as fast as f32 on this CPU",
        )
    if not cpu.trusted:
        return ChosenArithmetic(dtype="f32", because="bf16 could not be measured on this CPU")
    return (
        ChosenArithmetic(dtype="bf16", because=_has(cpu))
        if cpu.bf16
        else ChosenArithmetic(dtype="f32", because=_lacks(cpu))
    )


def _has(cpu: Processor) -> str:
    return f"this CPU has {', '.join(name for name in cpu.instructions if 'bf16' in name)}"


def _lacks(cpu: Processor) -> str:
    under = f" under {' and '.join(cpu.caps)}" if cpu.caps else ""
    return f"this CPU has no bf16 instructions{under}"


# ---------------------------------------------------------------- measurements


def fingerprint(cpu: Processor | None = None) -> str:
    """Digest of everything that determines this machine's speed: CPU, caps, cores and torch's version."""
    cpu = cpu or processor()
    made_of = {
        "cpu": [cpu.architecture, cpu.system, cpu.model, cpu.instructions, cpu.caps],
        "threads": [cores(), os.environ.get("OMP_NUM_THREADS", "")],
        "torch": torch_version(),
    }
    return digest("machine", made_of)


@lru_cache(maxsize=1)
def torch_version() -> str:
    """Version of the installed torch; empty if there is none."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def measured(cpu: Processor | None = None, *, cache: Path | None = None) -> dict[str, float] | None:
    """GFLOP/s of a core by dtype (``f32``, ``bf16``, ``f16``) that an earlier measurement of this machine found."""
    try:
        record = json.loads(_place(cpu or processor(), cache).read_text(encoding="utf-8"))
        speeds = {name: float(value) for name, value in record["gflops"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return speeds if speeds.get("f32", 0) > 0 and "bf16" in speeds else None


def measure(cpu: Processor | None = None) -> dict[str, float] | None:
    """Measure GFLOP/s of a core by dtype in a child process and store them; None without torch or after a failure."""
    cpu = cpu or processor()
    if not torch_version():
        return None
    try:
        with tempfile.TemporaryFile() as output:
            with children.running(_MEASURE, (), stdout=output, stderr=subprocess.DEVNULL) as child:
                child.wait(_PATIENCE)
            output.seek(0)
            measurement: Json = json.loads(output.read())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _log.warning("the speed of this CPU could not be measured (%s); f32 is used", type(error).__name__)
        return None
    place = _place(cpu, None)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        writing.write(place, json.dumps({**measurement, "model": cpu.model, "caps": cpu.caps}), shared=True)
    except OSError as error:
        _log.info("the measurement cannot be kept: %s", error)
    # what was resolved before stood on no measurement
    _on_cpu.cache_clear()
    return {name: float(value) for name, value in measurement["gflops"].items()}


def _place(cpu: Processor, cache: Path | None) -> Path:
    return (cache or cache_root()) / "machine" / f"{fingerprint(cpu).partition(':')[2]}.json"


# ---------------------------------------------------------------- options that resolve themselves


def resolve(value: Literal["auto", "bf16", "f32"], device: Device = "auto") -> Dtype:
    """The arithmetic that a setting means on `device`.

    An explicit ``bf16`` is used even where it is slow, with one warning; OpenVINO then computes in f32.
    """
    if value == "f32":
        return "f32"
    chosen = arithmetic(device)
    if value == "auto":
        return chosen.dtype
    if chosen.dtype == "f32":
        _warn(chosen.because, openvino=device == "openvino")
        return "f32" if device == "openvino" else "bf16"
    return "bf16"


@lru_cache(maxsize=8)  # once a process
def _warn(because: str, *, openvino: bool) -> None:
    if openvino:
        _log.warning("bf16 was asked for, OpenVINO computes in f32: %s", because)
    else:
        _log.warning('bf16 was asked for and is slow here: %s; "auto" takes f32', because)


def _resolver(device: Device) -> Callable[[Literal["auto", "bf16", "f32"]], Literal["auto", "bf16", "f32"]]:
    return lambda value: resolve(value, device)


Arithmetic = Annotated[Literal["auto", "bf16", "f32"], AfterValidator(_resolver("auto")), Field(validate_default=True)]
"""Type of an option: at validation ``auto`` becomes torch's fastest arithmetic here (GPU or CPU), so that keys and
records contain the real one (decision 9)."""
CpuArithmetic = Annotated[
    Literal["auto", "bf16", "f32"], AfterValidator(_resolver("cpu")), Field(validate_default=True)
]
"""The same for parts that torch always computes on the CPU."""
OpenVinoArithmetic = Annotated[
    Literal["auto", "bf16", "f32"], AfterValidator(_resolver("openvino")), Field(validate_default=True)
]
"""The same for parts that OpenVINO computes."""
