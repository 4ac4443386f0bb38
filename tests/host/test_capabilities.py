"""The arithmetic fits the machine: every kind of CPU is known by its own description, and caps are believed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from twofold.host import capabilities
from twofold.host.capabilities import ChosenArithmetic, Gpu, Processor, parse_processor
from twofold.plugins import loading, protocols, specs
from twofold.settings.sections import Part

X86 = "processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {name}\nflags\t\t: fpu sse sse2 {flags}\nbugs\t\t: mds\n"
AVX2_INTEL = X86.format(vendor="GenuineIntel", name="Intel(R) Core(TM) i7-8650U", flags="avx f16c avx2 bmi2")
AVX2_AMD = X86.format(vendor="AuthenticAMD", name="AMD EPYC 7763", flags="avx f16c avx2 sha_ni vaes")
ALDER_LAKE = X86.format(vendor="GenuineIntel", name="12th Gen Intel(R) Core(TM) i5-1240P", flags="avx avx2 avx_vnni")
SKYLAKE_X = X86.format(
    vendor="GenuineIntel", name="Intel(R) Xeon(R) Gold 6130", flags="avx avx2 avx512f avx512dq avx512bw avx512vl"
)
SAPPHIRE = X86.format(
    vendor="GenuineIntel",
    name="Intel(R) Xeon(R) Platinum 8481C",
    flags="avx avx2 avx_vnni avx512f avx512bw avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8",
)
ZEN4 = X86.format(vendor="AuthenticAMD", name="AMD EPYC 9R14", flags="avx avx2 avx512f avx512bw avx512_bf16")
GRAVITON2 = (
    "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes fphp asimdhp\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
)
GRAVITON3 = GRAVITON2.replace("asimdhp", "asimdhp sve i8mm bf16").replace("0xd0c", "0xd40")
APPLE_M1 = "machdep.cpu.brand_string: Apple M1\nhw.optional.arm.FEAT_BF16: 0\nhw.optional.arm.FEAT_FP16: 1\n"
APPLE_M2 = (
    "machdep.cpu.brand_string: Apple M2\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 1\n"
    "hw.optional.arm.FEAT_FP16: 1\n"
)
INTEL_MAC = "machdep.cpu.brand_string: Intel(R) Core(TM) i9\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n"


def linux(text: str, **environment: str) -> Processor:
    return parse_processor(text, architecture="x86_64", system="Linux", environment=environment)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing remembered."""
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"):
        monkeypatch.delenv(name, raising=False)
    capabilities._on_cpu.cache_clear()
    capabilities._warn.cache_clear()
    return tmp_path / "cache"


def pretend(monkeypatch: pytest.MonkeyPatch, cpu: Processor) -> None:
    monkeypatch.setattr(capabilities, "processor", lambda: cpu)
    monkeypatch.setattr(capabilities, "gpus", lambda: ())


# ---------------------------------------------------------------- kinds of CPU


@pytest.mark.parametrize(
    ("text", "caps", "dtype"),
    [
        (AVX2_INTEL, {}, "f32"),
        (AVX2_AMD, {}, "f32"),
        (ALDER_LAKE, {}, "f32"),
        (SKYLAKE_X, {}, "f32"),
        (SAPPHIRE, {}, "bf16"),
        (ZEN4, {}, "bf16"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "f32"),
        (SAPPHIRE, {"DNNL_MAX_CPU_ISA": "AVX2"}, "f32"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "avx2_vnni"}, "f32"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "f32"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "bf16"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "ALL"}, "bf16"),
        (SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": "no such set"}, "bf16"),
        (ZEN4, {"ATEN_CPU_CAPABILITY": "avx2"}, "f32"),
        (ZEN4, {"ATEN_CPU_CAPABILITY": "default"}, "f32"),
        (ZEN4, {"ATEN_CPU_CAPABILITY": "avx512"}, "bf16"),
        (ZEN4, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "bf16"),
        (AVX2_AMD, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "f32"),
    ],
)
def test_x86_flags_under_linux_decide_after_the_caps(
    text: str, caps: dict[str, str], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, linux(text, **caps))
    monkeypatch.setattr(capabilities, "measure", lambda _: pytest.fail("flags are trusted here"))
    assert capabilities.arithmetic().dtype == dtype
    assert capabilities.arithmetic("openvino").dtype == dtype


def test_a_cap_stands_in_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, linux(ZEN4, ATEN_CPU_CAPABILITY="avx2"))
    assert capabilities.arithmetic().because == "this CPU has no bf16 instructions under ATEN_CPU_CAPABILITY=avx2"


@pytest.mark.parametrize(
    ("text", "architecture", "system", "model", "instructions"),
    [
        (GRAVITON2, "aarch64", "Linux", "Arm Neoverse-N1", ("fphp",)),
        (GRAVITON3, "aarch64", "Linux", "Arm Neoverse-V1", ("bf16", "i8mm", "fphp")),
        (APPLE_M1, "arm64", "Darwin", "Apple M1", ("fphp",)),
        (APPLE_M2, "arm64", "Darwin", "Apple M2", ("bf16", "i8mm", "fphp")),
        (INTEL_MAC, "x86_64", "Darwin", "Intel(R) Core(TM) i9", ("avx2",)),
        ("model name: Intel64 Family 6\nflags: avx2", "AMD64", "Windows", "Intel64 Family 6", ("avx2",)),
        ("", "riscv64", "Linux", "", ()),
    ],
)
@pytest.mark.parametrize(("bf16", "dtype"), [(150.0, "bf16"), (110.0, "f32"), (4.0, "f32")])
def test_elsewhere_a_measurement_decides(  # noqa: PLR0917
    text: str,
    architecture: str,
    system: str,
    model: str,
    instructions: tuple[str, ...],
    bf16: float,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = parse_processor(text, architecture=architecture, system=system, environment={})
    assert (cpu.model, cpu.instructions) == (model, instructions)
    pretend(monkeypatch, cpu)
    monkeypatch.setattr(capabilities, "measure", lambda _: {"f32": 100.0, "bf16": bf16, "f16": 5.0})
    assert capabilities.arithmetic().dtype == dtype
    assert capabilities.arithmetic("openvino").dtype == "f32", "OpenVINO has no bf16 kernels there"


def test_without_torch_nothing_is_measured_and_f32_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = parse_processor(APPLE_M2, architecture="arm64", system="Darwin", environment={})
    pretend(monkeypatch, cpu)
    monkeypatch.setattr(capabilities, "torch_version", lambda: "")
    monkeypatch.setattr(capabilities.children, "running", lambda *_, **__: pytest.fail("no child"))
    assert capabilities.arithmetic() == ChosenArithmetic(dtype="f32", because="bf16 could not be measured on this CPU")


@pytest.mark.parametrize(
    ("capability", "dtype"), [((8, 0), "bf16"), ((9, 0), "bf16"), ((7, 5), "f32"), ((6, 1), "f32")]
)
def test_a_gpu_decides_by_its_capability(
    capability: tuple[int, int], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, linux(AVX2_AMD))
    monkeypatch.setattr(capabilities, "gpus", lambda: (Gpu(name="A GPU", capability=capability, bytes=2**33),))
    monkeypatch.setattr(capabilities, "_torch_cuda", lambda: True)
    assert capabilities.arithmetic().dtype == dtype
    assert capabilities.arithmetic("cpu").dtype == "f32", "what runs on the CPU goes by the CPU"
    monkeypatch.setattr(capabilities, "_torch_cuda", lambda: False)
    assert capabilities.arithmetic().dtype == "f32", "a torch without CUDA computes on the CPU"


# ---------------------------------------------------------------- measurements


def test_a_real_measurement_is_kept_and_wins_over_the_flags(apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    speeds = capabilities.measure()
    assert speeds is not None
    assert min(speeds[name] for name in ("f32", "bf16", "f16")) > 0
    assert capabilities.measured() == pytest.approx(speeds)
    (path,) = (apart / "machine").iterdir()
    path.write_text(json.dumps({"gflops": {"f32": 100.0, "bf16": 124.0, "f16": 1.0}}), encoding="utf-8")
    capabilities._on_cpu.cache_clear()
    assert capabilities.arithmetic("cpu") == ChosenArithmetic(
        dtype="f32", because="bf16 was measured 1.2 times as fast as f32 on this CPU"
    )
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert capabilities.measured() is None, "another cap is another machine"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"gflops": {"f32": 0, "bf16": 1}}', '{"gflops": {"f32": "x"}}'])
def test_a_damaged_measurement_is_no_measurement(text: str, apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = linux(ZEN4)
    pretend(monkeypatch, cpu)
    path = capabilities._place(cpu, apart)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert capabilities.measured() is None
    assert capabilities.arithmetic().dtype == "bf16"


def test_a_measurement_that_fails_is_told_and_leaves_f32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, parse_processor(GRAVITON3, architecture="aarch64", system="Linux", environment={}))
    monkeypatch.setattr(capabilities, "torch_version", lambda: "2.9")
    monkeypatch.setattr(capabilities, "_MEASURE", "twofold.no_such_module")
    with caplog.at_level(logging.WARNING):
        assert capabilities.arithmetic().dtype == "f32"
    assert "could not be measured" in caplog.text


# ---------------------------------------------------------------- cores and memory


def system_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root


def test_the_tightest_limit_of_cgroups_of_version_2_counts(tmp_path: Path) -> None:
    root = system_files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user/job",
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/fs/cgroup/user/cpu.max": "150000 100000",
            "sys/fs/cgroup/user/job/cpu.max": "400000 100000",
            "sys/fs/cgroup/user/memory.max": "1048576",
            "sys/fs/cgroup/user/job/memory.max": "max",
        },
    )
    assert capabilities.cpu_quota(root) == 1.5
    assert capabilities.memory_bytes(root) == 1048576


def test_limits_of_cgroups_of_version_1_are_read_inside_a_container(tmp_path: Path) -> None:
    root = system_files(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152",
        },
    )
    assert capabilities.cpu_quota(root) == 0.5
    assert capabilities.memory_bytes(root) == 2097152


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    root = system_files(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n1:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert capabilities.cpu_quota(root) == 0
    assert capabilities.memory_bytes(root) == capabilities._physical_bytes() > 2**28


def test_a_quota_lowers_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(capabilities, "cpu_quota", lambda: 1.5)
    assert capabilities.cores() == 2
    monkeypatch.setattr(capabilities, "cpu_quota", lambda: 0.0)
    assert capabilities.cores() == 64


# ---------------------------------------------------------------- options, keys and warnings


@pytest.mark.parametrize(("text", "dtype"), [(ZEN4, "bf16"), (AVX2_AMD, "f32")])
@pytest.mark.parametrize(
    ("kind", "name", "option"),
    [
        ("trainers", "lora", "dtype"),
        ("trainers", "qlora", "dtype"),
        ("trainers", "full", "dtype"),
        ("trainers", "difficulty", "dtype"),
        ("trainers", "contrastive", "dtype"),
        ("embedders", "minilm", "precision"),
        ("embedders", "torch", "precision"),
    ],
)
def test_the_resolved_arithmetic_stands_in_the_options_of_keys(  # noqa: PLR0917
    kind: protocols.Kind, name: str, option: str, text: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    pretend(monkeypatch, linux(text))
    assert specs.of_part(kind, Part(name=name))["options"][option] == dtype
    assert specs.of_part(kind, Part(name=name, options={option: "auto"}))["options"][option] == dtype
    assert specs.of_part(kind, Part(name=name, options={option: "f32"}))["options"][option] == "f32"


@pytest.mark.parametrize("runtime", ["openvino", "transformers"])
def test_the_key_of_a_generator_says_what_is_computed(
    runtime: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {}
    for text in (ZEN4, AVX2_AMD):
        pretend(monkeypatch, linux(text))
        made[text] = loading.make("generators", "local", {"model": f"path:{tiny}", "runtime": runtime})
    assert [made[text].description["dtype"] for text in made] == ["bf16", "f32"]
    assert made[ZEN4].key != made[AVX2_AMD].key
    explicit = loading.make("generators", "local", {"model": f"path:{tiny}", "runtime": runtime, "dtype": "f32"})
    assert explicit.key == made[AVX2_AMD].key


def test_bf16_that_is_slow_is_obeyed_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, linux(AVX2_AMD))
    with caplog.at_level(logging.WARNING):
        found = [loading.options("trainers", "lora", {"dtype": "bf16"}) for _ in range(3)]
    assert {options.dtype for options in found} == {"bf16"}  # type: ignore[attr-defined]
    assert [record.message for record in caplog.records] == [
        'bf16 was asked for and is slow here: this CPU has no bf16 instructions; "auto" takes f32'
    ]


def test_openvino_cannot_obey_and_its_key_says_f32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openvino")
    pretend(monkeypatch, linux(AVX2_AMD))
    with caplog.at_level(logging.WARNING):
        options = loading.options("embedders", "minilm", {"precision": "bf16"})
    assert options.precision == "f32"  # type: ignore[attr-defined]
    assert "OpenVINO computes in f32" in caplog.text


def test_auto_is_silent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pretend(monkeypatch, linux(AVX2_AMD))
    with caplog.at_level(logging.INFO):
        loading.options("trainers", "lora", {})
    assert not caplog.records


def test_a_child_reads_back_what_its_parent_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, linux(ZEN4))
    handed = loading.options("trainers", "lora", {}).model_dump(mode="json")
    pretend(monkeypatch, linux(AVX2_AMD))
    assert loading.options("trainers", "lora", handed).dtype == "bf16"  # type: ignore[attr-defined]


def test_gpus_are_asked_of_the_driver_and_none_is_no_error() -> None:
    assert all(gpu.capability > (0, 0) and gpu.bytes > 0 for gpu in capabilities.gpus())
