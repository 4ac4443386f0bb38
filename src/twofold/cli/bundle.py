"""`twofold bundle`: programs, weights and project in one file, for a machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.backup import left_out
from twofold.cli.session import Run, require_known

if TYPE_CHECKING:
    from twofold.deployment.bundle import BundleReport

_UNCHECKED = "signature not checked: --key PUBLIC names the key that must have signed it"


def bundle(
    run: Run,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle, a tar; a new file.")],
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="Arm that is to answer; by default the verdict's.")
    ] = "",
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="PART",
            help="Take along data (documents, examples), keys, feedback, traffic or audit. Repeatable.",
        ),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            "--extra",
            metavar="EXTRA",
            help="Take along the packages of a further extra, such as train or documents. Repeatable.",
        ),
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option("--wheels", metavar="DIR", help="Take the wheels of this folder; pip fetches none.")
    ] = None,
    no_programs: Annotated[
        bool, typer.Option("--no-programs", help="Weights and project only, for a machine that has Twofold.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign with this private key of OpenSSH.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only read an existing bundle, and check every file, and the platform.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC", help="With --verify: public key (.pub) that must have signed it."),
    ] = None,
) -> None:
    """Write one file that installs programs, weights and project on a machine without a network; or check it.

    Exit code 3: the disk, pip or the key refuses, or the bundle that is checked is damaged, signed by another key, or
    for another platform.
    """
    from twofold.deployment import bundle as deployed
    from twofold.deployment.snapshot import PARTS
    from twofold.errors import ConfigError

    if verify:
        checked = deployed.verified(file, key=key)
        run.result(checked.to_json(), "\n".join(_lines("whole, and for this machine", checked, unsigned=_UNCHECKED)))
        return
    if key is not None:
        raise ConfigError("--key checks a bundle, and none is checked", cure="Add --verify; to sign, use --sign.")
    if wheels is not None and no_programs:
        raise ConfigError("--wheels and --no-programs cannot be combined", cure="Leave one of the two out.")
    if run.overrides:
        raise ConfigError(
            "--set changes nothing in a bundle, which has twofold.toml as it stands",
            cure="Change twofold.toml, or leave --set out.",
        )
    for part in parts or ():
        require_known("--with", part, PARTS)
    contents = deployed.Contents(
        arm=arm,
        parts=parts or (),
        extras=extra or (),
        wheels=wheels,
        programs=not no_programs,
        key=sign,
    )
    with run.progress() as progress:
        report = deployed.bundle(run.directory, file, contents, progress=progress)
    for warning in report.warnings:
        run.note(f"warning: {warning}")
    run.result(report.to_json(), "\n".join(_lines("bundled", report, unsigned="not signed")))


def _lines(done: str, report: BundleReport, *, unsigned: str) -> list[str]:
    """What is printed of a bundle; `unsigned` says what it means that no signature was made or checked."""
    sizes = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in report.bytes.items())
    lines = [f"{done}: {report.file}, {sizes}", f"sha256 {report.sha256}"]
    if report.requirement:
        place = report.platform
        native = f"{place['system']} on {place['machine']}, " if place["native"] else ""
        glibc = f", glibc {place['glibc']} or later" if place.get("glibc") else ""
        lines.append(f"programs: {report.requirement}, for {native}{place['implementation']} {place['python']}{glibc}")
    if report.check:
        lines.append(f"the arm {report.check['arm']} is asked at the installation: {report.check['question']}")
    else:
        lines.append("no question is asked at the installation: the model behind the endpoint is another machine's")
    lines.append("signed" if report.signed else unsigned)
    lines += left_out(report.left_out)
    # Without programs the installer runs with a Python that has Twofold already, and must be told so.
    option = "" if report.requirement else "--no-programs "
    name = Path(report.file).name
    install = f"tar -xf {name} install.py && python3 install.py {option}{name} FOLDER"
    return [*lines, f"to install: {install}"]
