//! Stories made from a seed: kinds × verbs × patch types × mutations.

use serde_json::{Value, json};

use super::kinds::{Kind, Kinds};
use super::story::{Step, Story};

/// All generated stories.
pub fn stories(kinds: &Kinds) -> Vec<Story> {
    kinds.0.iter().map(every_verb).collect()
}

fn step(action: &str) -> Step {
    Step { action: action.to_owned(), ..Step::default() }
}

fn with_body(action: &str, content: &str, body: Value) -> Step {
    Step { content: Some(content.to_owned()).filter(|c| !c.is_empty()), body: Some(body), ..step(action) }
}

/// An object's whole life by every verb, with each patch type, dry runs and preconditions.
fn every_verb(kind: &Kind) -> Story {
    let plural = &kind.plural;
    let name = kind.least["metadata"]["name"].as_str().unwrap_or("a").to_owned();
    let one = format!("{plural}/{name}");
    let at = |rest: &str| format!("{one}{rest}");
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let mut steps = vec![
        step(&format!("GET {}", at(""))),
        Step { like: Some(plural.clone()), ..step(&format!("POST {plural}?dryRun=All")) },
        step(&format!("GET {}", at(""))),
        Step { like: Some(plural.clone()), keep: Some("made".to_owned()), ..step(&format!("POST {plural}")) },
        Step { like: Some(plural.clone()), ..step(&format!("POST {plural}")) },
        step(&format!("GET {}", at(""))),
        with_body(&format!("PATCH {}", at("?dryRun=All")), "merge", label("x", json!("dry"))),
        with_body(&format!("PATCH {}", at("")), "merge", label("x", json!("merge"))),
        with_body(&format!("PATCH {}", at("")), "strategic", label("y", json!("strategic"))),
        with_body(
            &format!("PATCH {}", at("")),
            "json",
            json!([{"op": "add", "path": "/metadata/labels/z", "value": "json"}]),
        ),
        with_body(
            &format!("PATCH {}", at("")),
            "json",
            json!([{"op": "test", "path": "/metadata/labels/z", "value": "other"}]),
        ),
        with_body(&format!("PATCH {}", at("")), "merge", label("x", Value::Null)),
        with_body(&format!("PATCH {}", at("")), "merge", label("y", json!("strategic"))),
        with_body(&format!("PATCH {}", at("")), "merge", label("bad value", json!("-x-"))),
        with_body(&format!("PATCH {}", at("")), "merge", json!({"metadata": {"resourceVersion": "1"}})),
        with_body(&format!("PATCH {}", at("")), "merge", json!({"metadata": {"name": "other"}})),
        with_body(&format!("PATCH {}", at("")), "text/plain", json!({})),
        Step {
            raw: Some("{not json".to_owned()),
            content: Some("merge".to_owned()),
            ..step(&format!("PATCH {}", at("")))
        },
        step(&format!("GET {plural}?labelSelector=y%3Dstrategic,z&fieldSelector=metadata.name%3D{name}")),
        Step {
            events: Some(5),
            ..step(&format!(
                "GET {plural}?watch=1&resourceVersion=${{made.rv}}&fieldSelector=metadata.name%3D{name}"
            ))
        },
        with_body(
            &format!("PATCH {}", at("")),
            "merge",
            json!({"metadata": {"finalizers": ["test.virtroll.dev/hold"]}}),
        ),
        with_body(
            &format!("DELETE {}", at("")),
            "",
            json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}),
        ),
        with_body(&format!("DELETE {}", at("")), "", json!({"preconditions": {"resourceVersion": "1"}})),
        step(&format!("DELETE {}", at("?dryRun=All"))),
        step(&format!("DELETE {}", at("?gracePeriodSeconds=0"))),
        step(&format!("GET {}", at(""))),
        with_body(&format!("PATCH {}", at("")), "merge", label("x", json!("late"))),
        step(&format!("DELETE {}", at(""))),
        with_body(&format!("PATCH {}", at("")), "merge", json!({"metadata": {"finalizers": null}})),
        step(&format!("GET {}", at(""))),
        step(&format!("DELETE {}", at(""))),
    ];
    for step in &mut steps {
        step.action = step.action.replace("NAME", &name);
    }
    Story { story: format!("generated: every verb on {plural}"), managed: false, forgetful: false, steps }
}
