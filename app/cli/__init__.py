"""The operator's commands: `flask users`, `sign`, `read`, `usage`, `models`, `db` and `doctor`."""

from __future__ import annotations

from flask import Flask

from app.cli.maintenance import db_group, doctor_command, models_group
from app.cli.pictures import read_command, sign_command
from app.cli.usage import usage_group
from app.cli.users import users_group


def init_app(app: Flask) -> None:
    for command in (
        users_group,
        sign_command,
        read_command,
        usage_group,
        models_group,
        db_group,
        doctor_command,
    ):
        app.cli.add_command(command)
