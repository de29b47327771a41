//! Values: what they share, how they are ordered, and that they read and write as those of `serde_json`.

use super::*;

fn pod() -> Value {
    json!({"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}})
}

#[test]
fn a_copy_shares_until_one_is_changed() {
    let old = pod();
    let mut new = old.clone();
    assert!(new.is_same(&old));
    new["metadata"]["labels"]["app"] = json!("db");
    assert_eq!(old["metadata"]["labels"]["app"], "web");
    assert_eq!(new["metadata"]["labels"]["app"], "db");
    assert!(!new.is_same(&old) && !new["metadata"].is_same(&old["metadata"]));
    assert!(new["spec"].is_same(&old["spec"]), "what isn't on the way to the change stays shared");
    if let Some(containers) = new["spec"]["containers"].as_array_mut() {
        containers.clear();
    }
    assert_eq!(old["spec"]["containers"][0]["name"], "c");
}

#[test]
fn what_is_read_anew_shares_with_what_was_there_where_they_are_equal() {
    let old = json!({"a": {"b": [1, 2]}, "c": [{"d": 1}, {"e": 2}], "g": {}});
    let mut same = json!({"a": {"b": [1, 2]}, "c": [{"d": 1}, {"e": 2}], "g": {}});
    assert!(same.adopt(&old) && same.is_same(&old));
    let new = json!({"a": {"b": [1, 2]}, "b": 1, "c": [{"d": 1}, {"e": 3}]});
    let mut adopted = new.clone();
    // Somebody else holds it: nothing is changed behind their back.
    assert!(!adopted.adopt(&old));
    assert!(!adopted["a"].is_same(&old["a"]));
    drop(new);
    assert!(!adopted.adopt(&old));
    assert!(adopted["a"].is_same(&old["a"]) && adopted["c"][0].is_same(&old["c"][0]));
    assert_eq!(adopted, json!({"a": {"b": [1, 2]}, "b": 1, "c": [{"d": 1}, {"e": 3}]}));
    let mut shorter = json!({"c": [{"d": 1}]});
    assert!(!shorter.adopt(&old));
    assert_eq!(shorter, json!({"c": [{"d": 1}]}));
    let mut fewer = json!({"a": {"b": [1, 2]}});
    assert!(!fewer.adopt(&old));
    assert_eq!(fewer, json!({"a": {"b": [1, 2]}}));
}

#[test]
fn equal_is_what_says_the_same() {
    assert_eq!(pod(), pod());
    assert!(!pod().is_same(&pod()));
    let mut other = pod();
    other["spec"]["containers"][0]["name"] = json!("d");
    assert_ne!(pod(), other);
    assert_eq!(json!(3), 3);
    assert_ne!(json!(3), json!("3"));
    assert_ne!(json!(1), json!(1.0));
    assert_eq!(json!(true), true);
}

#[test]
fn fields_stand_in_the_order_of_their_names_and_the_last_of_a_name_counts() {
    let value = json!({"b": 1, "a": [null, {"z": 1, "y": 2}], "b": 3, "c": {}});
    assert_eq!(value.to_string(), r#"{"a":[null,{"y":2,"z":1}],"b":3,"c":{}}"#);
    let read: Value = serde_json::from_str(r#"{"b":1,"a":2,"b":3,"b":4}"#).expect("JSON");
    assert_eq!(read.to_string(), r#"{"a":2,"b":4}"#);
}

#[test]
fn many_fields_are_found_as_few_are() {
    let mut map = Map::new();
    for n in (0..40).rev() {
        assert_eq!(map.insert(format!("f{n:02}"), json!(n)), None);
    }
    assert_eq!(map.insert("f07", json!("seven")), Some(json!(7)));
    assert_eq!(map.get("f07"), Some(&json!("seven")));
    assert_eq!(map.get("f40"), None);
    assert_eq!(map.insert("f39", json!("last")), Some(json!(39)));
    assert_eq!(map.remove("f39"), Some(json!("last")));
    assert_eq!((map.len(), map.contains_key("f39")), (39, false));
    map.retain(|name, _| name.as_str() < "f03");
    assert_eq!(map.keys().map(|k| k.as_str()).collect::<Vec<_>>(), ["f00", "f01", "f02"]);
    *map.entry("f00").or_insert(Value::Null) = json!("set");
    *map.entry("f01a").or_insert(json!(1)) = json!("new");
    assert_eq!(Value::Object(map), json!({"f00": "set", "f01": 1, "f01a": "new", "f02": 2}));
}

#[test]
fn fields_that_are_shared_come_and_go_in_one_copy_only() {
    let old = json!({"a": 1, "c": 3, "d": 4});
    let (mut more, mut fewer, mut some) = (old.clone(), old.clone(), old.clone());
    more["b"] = json!(2);
    assert_eq!(fewer.as_object_mut().and_then(|fields| fields.remove("c")), Some(json!(3)));
    if let Some(fields) = some.as_object_mut() {
        fields.retain(|name, _| name != "a" && name != "d");
    }
    assert_eq!(more.to_string(), r#"{"a":1,"b":2,"c":3,"d":4}"#);
    assert_eq!(fewer.to_string(), r#"{"a":1,"d":4}"#);
    assert_eq!(some.to_string(), r#"{"c":3}"#);
    assert_eq!(old.to_string(), r#"{"a":1,"c":3,"d":4}"#);
    let Value::Object(fields) = old.clone() else { panic!("an object") };
    assert_eq!(fields.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [1, 3, 4].map(|n| json!(n)));
    assert_eq!(old["d"], 4);
}

#[test]
fn one_object_includes_another_if_it_has_all_its_fields() {
    let map = |value: Value| value.as_object().cloned().unwrap_or_default();
    let all = map(json!({"a": "1", "b": "2", "c": "3"}));
    for (others, expected) in [
        (json!({}), true),
        (json!({"a": "1", "c": "3"}), true),
        (json!({"a": "1", "b": "2", "c": "3"}), true),
        (json!({"a": "2", "b": "2"}), false),
        (json!({"b": "2", "bb": "2"}), false),
        (json!({"c": "3", "d": "4"}), false),
    ] {
        assert_eq!(all.includes(&map(others.clone())), expected, "{others}");
    }
}

#[test]
fn an_index_reads_what_is_missing_as_null_and_writes_it_into_being() {
    let mut value = Value::Null;
    assert!(value["a"]["b"][3].is_null());
    value["a"]["b"] = json!([1]);
    value["a"]["b"][0] = json!(2);
    assert_eq!(value, json!({"a": {"b": [2]}}));
    assert_eq!(value.get("x"), None);
    assert_eq!(value.pointer("/a/b/0"), Some(&json!(2)));
    assert_eq!(json!({"m~/": 1}).pointer("/m~0~1"), Some(&json!(1)));
    assert_eq!(value.pointer("/a/c"), None);
    assert_eq!(value["a"].take(), json!({"b": [2]}));
    assert_eq!(value, json!({"a": null}));
}

#[test]
fn written_in_the_code_are_expressions_too() {
    let (name, none, list) = ("app", None::<i64>, vec!["x".to_owned()]);
    let value = json!({(name): name.len(), "none": none, "list": list, "sum": 1 + 2, "float": 0.5, "nested": [[], {}]});
    let text = r#"{"app":3,"float":0.5,"list":["x"],"nested":[[],{}],"none":null,"sum":3}"#;
    assert_eq!(value.to_string(), text);
}

#[test]
fn values_of_serde_json_are_the_same_in_both_directions() {
    let text = r#"{"a":[1,-1,1.5,18446744073709551615],"b":{"c":null,"d":true},"e":"a text of more than twenty-three bytes \" \n"}"#;
    let theirs: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let ours: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(Value::from(theirs.clone()), ours);
    assert_eq!(serde_json::Value::from(&ours), theirs);
    assert_eq!(ours.to_string(), text);
    assert_eq!(from_value::<Vec<i64>>(&json!([1, 2])).expect("numbers"), [1, 2]);
}
