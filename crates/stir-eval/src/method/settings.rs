use super::error::MethodError;

pub(super) fn positive(method: &'static str, field: &'static str, value: usize) -> Result<(), MethodError> {
    match value {
        0 => Err(MethodError::Setting { method, field, value: "0".into(), bound: "at least 1" }),
        _ => Ok(()),
    }
}

pub(super) fn not_negative(method: &'static str, field: &'static str, value: f64) -> Result<(), MethodError> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(()),
        false => Err(MethodError::Setting { method, field, value: value.to_string(), bound: "finite and >= 0" }),
    }
}
