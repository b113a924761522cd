use stir_core::SettingError;

use super::error::MethodError;

/// Says of which method a setting is.
pub(super) fn of(method: &'static str) -> impl FnOnce(SettingError) -> MethodError {
    move |setting| MethodError::Setting { method, setting }
}
