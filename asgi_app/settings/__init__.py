"""Settings: one frozen value, read once from options, the environment and `.env`. All problems are reported at once."""

from asgi_app.settings.fields import SettingField
from asgi_app.settings.metrics_directory import check_metrics_directory
from asgi_app.settings.settings import Settings, default_note, given_variables, setting_fields, settings_table
from asgi_app.settings.values import Consistency, ContactPoint, LogFormat, Problem, Secret, SettingsError

__all__ = [
    "Consistency",
    "ContactPoint",
    "LogFormat",
    "Problem",
    "Secret",
    "SettingField",
    "Settings",
    "SettingsError",
    "check_metrics_directory",
    "default_note",
    "given_variables",
    "setting_fields",
    "settings_table",
]
