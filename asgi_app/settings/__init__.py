"""Settings: one frozen value, read once from options, the environment and `.env`; every problem reported at once."""

from asgi_app.settings.model import (
    Consistency,
    ContactPoint,
    LogFormat,
    Problem,
    Secret,
    SettingField,
    Settings,
    SettingsError,
    check_metrics_directory,
    setting_fields,
    settings_table,
)

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
    "setting_fields",
    "settings_table",
]
