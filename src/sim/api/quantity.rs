//! Quantities in the form in which the API server gives them back: `0.5` is `500m`, `1024Mi` is `1Gi`, `1000m` is `1`.

/// What the API server says of a text that is no quantity.
pub(super) const PATTERN_MESSAGE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Powers of ten, with their suffixes.
const DECIMAL: [(i32, &str); 10] =
    [(18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "u"), (-9, "n")];
/// Powers of 1024, with their suffixes.
const BINARY: [(u32, &str); 6] = [(6, "Ei"), (5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")];

/// The canonical form; `None` if the text is no quantity.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let sign = if negative && digits != 0 { "-" } else { "" };
    if let Some((power, _)) = BINARY.iter().find(|(_, s)| *s == suffix) {
        return binary(digits, places, *power, sign);
    }
    let decimal = DECIMAL.iter().find(|(_, s)| *s == suffix);
    let (exponent, scientific) = match decimal {
        Some((exponent, _)) => (*exponent, false),
        None => (suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?, true),
    };
    decimal_form(digits, exponent - places, scientific, sign)
}

/// The amount, as near as a float comes.
pub(super) fn value(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    if let Some((power, _)) = BINARY.iter().find(|(_, s)| *s == suffix) {
        return Some(number * 1024_f64.powi(i32::try_from(*power).ok()?));
    }
    let exponent = match DECIMAL.iter().find(|(_, s)| *s == suffix) {
        Some((exponent, _)) => *exponent,
        None => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
    };
    Some(number * 10_f64.powi(exponent))
}

/// Digits × 10^exponent, in the largest unit that leaves a whole number; finer than milli is rounded up, as
/// in lists of resources.
fn decimal_form(mut digits: i128, mut exponent: i32, scientific: bool, sign: &str) -> Option<String> {
    if digits == 0 {
        return Some("0".to_owned());
    }
    while exponent < -3 {
        digits = (digits + 9) / 10;
        exponent += 1;
    }
    while digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    let unit = exponent.div_euclid(3) * 3;
    digits = digits.checked_mul(10_i128.pow(u32::try_from(exponent - unit).ok()?))?;
    if scientific {
        let suffix = if unit == 0 { String::new() } else { format!("e{unit}") };
        return Some(format!("{sign}{digits}{suffix}"));
    }
    let (base, suffix) = DECIMAL.iter().find(|(e, _)| *e <= unit)?;
    let digits = digits.checked_mul(10_i128.pow(u32::try_from(unit - base).ok()?))?;
    Some(format!("{sign}{digits}{suffix}"))
}

fn binary(digits: i128, places: i32, power: u32, sign: &str) -> Option<String> {
    let scale = 10_i128.pow(u32::try_from(places).ok()?);
    let scaled = digits.checked_mul(1024_i128.pow(power))?;
    if scaled % scale != 0 {
        // Not a whole number of bytes: the decimal form.
        return decimal_form(scaled, -places, false, sign);
    }
    let bytes = scaled / scale;
    if bytes == 0 {
        return Some("0".to_owned());
    }
    // Less than 1024 of the unit is written in decimal units.
    if bytes < 1024 {
        return Some(format!("{sign}{bytes}"));
    }
    let (power, suffix) =
        BINARY.iter().find(|(p, _)| bytes % 1024_i128.pow(*p) == 0).copied().unwrap_or((0, ""));
    Some(format!("{sign}{}{suffix}", bytes / 1024_i128.pow(power)))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_come_back_in_the_form_of_the_api_server() {
        let cases = [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("100", "100"),
            ("1000", "1k"),
            ("1500M", "1500M"),
            ("2000M", "2G"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("-1", "-1"),
            ("0.0000000001", "1m"),
            ("0.1Ki", "102400m"),
        ];
        for (given, shown) in cases {
            assert_eq!(canonical(given).as_deref(), Some(shown), "{given}");
        }
        for bad in ["", "x", "1x", "1.2.3", "Gi", "1 Gi"] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
