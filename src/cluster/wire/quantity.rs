//! Resource quantities: `500m`, `2`, `1.5Gi`, `1e3`.

use crate::cluster::lean::Value;

/// A quantity in thousandths, exactly, rounded up; `None` if it is none, or negative.
pub(super) fn thousandths(quantity: &Value) -> Option<u64> {
    let text = match quantity {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string().into(),
        _ => return None,
    };
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (factor, divisor) = scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let value: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = divisor.checked_mul(10_u128.checked_pow(fraction.len() as u32)?)?;
    u64::try_from(value.checked_mul(factor)?.div_ceil(divisor)).ok()
}

/// What a suffix multiplies by, in thousandths, and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1000 << (10 * power), 1));
    let decimal = |power: u32| Some((10_u128.checked_pow(3 * power + 3)?, 1));
    match suffix {
        "n" => Some((1, 1_000_000)),
        "u" => Some((1, 1000)),
        "m" => Some((1, 1)),
        "" => decimal(0),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10_u128.checked_pow(power.unsigned_abs())?;
            Some(if power < 0 { (1000, size) } else { (size.checked_mul(1000)?, 1) })
        }
    }
}

/// A quantity in whole units, rounded up.
pub(super) fn units(quantity: &Value) -> Option<u64> {
    thousandths(quantity).map(|t| t.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_exactly_and_rounded_up() {
        for (text, expected) in [
            (json!("500m"), Some(500)),
            (json!("2"), Some(2000)),
            (json!(2), Some(2000)),
            (json!("0.1"), Some(100)),
            (json!(".5"), Some(500)),
            (json!("1.5Gi"), Some(1_610_612_736_000)),
            (json!("128974848"), Some(128_974_848_000)),
            (json!("129e6"), Some(129_000_000_000)),
            (json!("1e-1"), Some(100)),
            (json!("100u"), Some(1)),
            (json!("1n"), Some(1)),
            (json!("64Ki"), Some(65_536_000)),
            (json!("-1"), None),
            (json!("much"), None),
            (json!(null), None),
        ] {
            assert_eq!(thousandths(&Value::of(&text)), expected, "{text}");
        }
        assert_eq!(units(&Value::of(&json!("1500m"))), Some(2));
    }
}
