//! JSONPaths as kubectl takes them.

/// kubectl's forms (`{.status.phase}`, `.status.phase`, `status.phase`) and the standard's own (`$.status.phase`).
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<serde_json_path::JsonPath, String> {
    let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text.trim());
    let inner = inner.strip_prefix('$').unwrap_or(inner);
    let dot = if inner.is_empty() || inner.starts_with(['.', '[']) { "" } else { "." };
    serde_json_path::JsonPath::parse(&format!("${dot}{inner}"))
        .map_err(|e| format!("{text:?} is not a JSONPath: {e}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_that_people_write_is_read() {
        let object = serde_json::json!({"status": {"phase": "Ready", "conditions": [{"type": "Ok"}]}});
        for text in
            ["{.status.phase}", ".status.phase", "status.phase", "$.status.phase", "{$.status['phase']}"]
        {
            let path = parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(path.query(&object).all(), ["Ready"], "{text}");
        }
        assert!(parse("{.status[}").is_err());
    }
}
