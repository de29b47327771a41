//! Formats of texts.

use base64::Engine;

/// Whether a text has a format; formats that aren't known here take any text.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "datetime" => date_time(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => uuid(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        _ => true,
    }
}

/// A date alone is a time, too.
fn date_time(text: &str) -> bool {
    let zoned = text.contains(['T', 't']) && text.parse::<jiff::Timestamp>().is_ok();
    zoned || text.parse::<jiff::civil::DateTime>().is_ok_and(|_| text.len() >= 10)
}

fn uuid(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    digits.len() == 32 && digits.iter().all(char::is_ascii_hexdigit)
}
