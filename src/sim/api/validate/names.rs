//! What names, labels and keys may look like, and what is said of those that don't.

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn label_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| lower(c) || c == '-')
        && text.starts_with(lower)
        && text.ends_with(lower)
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// A name of at most 63 characters, as namespaces have: what is wrong with it.
pub(super) fn label(text: &str) -> Vec<String> {
    let mut told = Vec::new();
    if text.len() > 63 {
        told.push("must be no more than 63 characters".to_owned());
    }
    if !label_text(text) {
        if subdomain(text).is_empty() {
            told.push("must not contain dots".to_owned());
        } else {
            told.push(format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                 end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
            ));
        }
    }
    told
}

/// A name as most objects have it.
pub(super) fn subdomain(text: &str) -> Vec<String> {
    let mut told = Vec::new();
    if text.len() > 253 {
        told.push("must be no more than 253 characters".to_owned());
    }
    if !text.split('.').all(label_text) {
        told.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
             and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{LABEL}(\\.{LABEL})*')"
        ));
    }
    told
}

/// A name that is part of a path, as RBAC's are.
pub(super) fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

fn qualified_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A key with an optional prefix: of labels, annotations, finalizers.
pub(in crate::sim::api) fn qualified(text: &str) -> Vec<String> {
    const SHAPE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let mut told = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                told.push("prefix part must be non-empty".to_owned());
            } else {
                told.extend(subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {SHAPE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        told.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        told.push("name part must be no more than 63 bytes".to_owned());
    }
    if !qualified_text(name) {
        told.push(format!("name part {SHAPE}"));
    }
    told
}

/// A label's value.
pub(in crate::sim::api) fn label_value(text: &str) -> Vec<String> {
    let mut told = Vec::new();
    if text.len() > 63 {
        told.push("must be no more than 63 bytes".to_owned());
    }
    if !text.is_empty() && !qualified_text(text) {
        told.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
             and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    told
}

/// A key of a ConfigMap or Secret.
pub(super) fn data_key(text: &str) -> Vec<String> {
    let mut told = Vec::new();
    if text.len() > 253 {
        told.push("must be no more than 253 bytes".to_owned());
    }
    let fine =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !fine {
        told.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
             or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    match text {
        "." | ".." => told.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => told.push("must not start with '..'".to_owned()),
        _ => {}
    }
    told
}

/// A name as older kinds take it: it begins with a letter.
pub(in crate::sim::api) fn label_1035(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push("must be no more than 63 bytes".to_owned());
    }
    if !label_text(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, \
             and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
             '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    wrong
}
