//! JSON written in the code.

/// A value as JSON writes it. Expressions stand where values do, and, in parentheses, where names do.
macro_rules! json {
    (@fields [$($done:tt)*]) => {
        $crate::sim::json::Value::from([$($done)*])
    };
    (@fields [$($done:tt)*] ($name:expr) : $($rest:tt)+) => {
        $crate::sim::json::json!(@field [$($done)*] ($name) $($rest)+)
    };
    (@fields [$($done:tt)*] $name:tt : $($rest:tt)+) => {
        $crate::sim::json::json!(@field [$($done)*] ($name) $($rest)+)
    };
    (@field [$($done:tt)*] ($name:expr) null $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@fields [
            $($done)* ($crate::sim::json::Text::from($name), $crate::sim::json::Value::Null),
        ] $($($rest)*)?)
    };
    (@field [$($done:tt)*] ($name:expr) [$($items:tt)*] $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@fields [
            $($done)* ($crate::sim::json::Text::from($name), $crate::sim::json::json!([$($items)*])),
        ] $($($rest)*)?)
    };
    (@field [$($done:tt)*] ($name:expr) {$($fields:tt)*} $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@fields [
            $($done)* ($crate::sim::json::Text::from($name), $crate::sim::json::json!({$($fields)*})),
        ] $($($rest)*)?)
    };
    (@field [$($done:tt)*] ($name:expr) $value:expr $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@fields [
            $($done)* ($crate::sim::json::Text::from($name), $crate::sim::json::json!($value)),
        ] $($($rest)*)?)
    };
    (@items [$($done:tt)*]) => {
        $crate::sim::json::Value::from([$($done)*])
    };
    (@items [$($done:tt)*] null $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@items [$($done)* $crate::sim::json::Value::Null,] $($($rest)*)?)
    };
    (@items [$($done:tt)*] [$($items:tt)*] $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@items [$($done)* $crate::sim::json::json!([$($items)*]),] $($($rest)*)?)
    };
    (@items [$($done:tt)*] {$($fields:tt)*} $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@items [$($done)* $crate::sim::json::json!({$($fields)*}),] $($($rest)*)?)
    };
    (@items [$($done:tt)*] $value:expr $(, $($rest:tt)*)?) => {
        $crate::sim::json::json!(@items [$($done)* $crate::sim::json::json!($value),] $($($rest)*)?)
    };
    (null) => {
        $crate::sim::json::Value::Null
    };
    ([]) => {
        $crate::sim::json::Value::Array($crate::sim::json::List::default())
    };
    ({}) => {
        $crate::sim::json::Value::Object($crate::sim::json::Map::new())
    };
    ([$($items:tt)+]) => {
        $crate::sim::json::json!(@items [] $($items)+)
    };
    ({$($fields:tt)+}) => {
        $crate::sim::json::json!(@fields [] $($fields)+)
    };
    ($value:expr) => {
        $crate::sim::json::ToValue::to_value(&$value)
    };
}

pub(in crate::sim) use json;
