//! What differs between two trees, lists or graphs.

use std::collections::{BTreeMap, BTreeSet};

use infer::{Outline, OutlineNode};
use serde::Serialize;
use serde_json::Value;

/// Something that differs; `None` where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is: a field's path, a file, an operator, a constant.
    pub what: String,
    /// As it is in the first.
    pub a: Option<String>,
    /// As it is in the second.
    pub b: Option<String>,
}

/// Entries that differ.
pub(super) fn of_lists(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differ
        .map(|name| Change { what: name.clone(), a: a.get(name).cloned(), b: b.get(name).cloned() })
        .collect()
}

/// Fields of two trees that differ, by their paths.
pub(super) fn of_values(a: &Value, b: &Value) -> Vec<Change> {
    let leaves = |value: &Value| {
        let mut found = BTreeMap::new();
        collect(value, String::new(), &mut found);
        found
    };
    of_lists(&leaves(a), &leaves(b))
}

fn collect(value: &Value, path: String, found: &mut BTreeMap<String, String>) {
    let join = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| collect(value, join(key), found));
        }
        Value::Array(list) if list.iter().any(|entry| entry.is_object() || entry.is_array()) => {
            // Two digits, so that the tenth stands after the ninth.
            list.iter()
                .enumerate()
                .for_each(|(index, value)| collect(value, join(&format!("{:02}", index + 1)), found));
        }
        Value::String(text) => {
            found.insert(path, text.clone());
        }
        other => {
            found.insert(path, other.to_string());
        }
    }
}

/// Operators that differ, by name: what they do, their attributes, and the shapes of their constants.
pub(super) fn operators(a: &Outline, b: &Outline) -> Vec<Change> {
    of_lists(&described(a), &described(b))
}

fn described(outline: &Outline) -> BTreeMap<String, String> {
    let describe = |node: &OutlineNode| {
        let shapes = node.inputs.iter().filter_map(|name| outline.constants.get(name));
        let shapes: Vec<String> = shapes.map(|constant| format!("{:?}", constant.shape)).collect();
        [vec![node.operator.clone()], node.attributes.clone(), shapes].concat().join(" ")
    };
    let name = |node: &OutlineNode| {
        let output = node.outputs.first().cloned().unwrap_or_default();
        if node.name.is_empty() { output } else { node.name.clone() }
    };
    outline.nodes.iter().map(|node| (name(node), describe(node))).collect()
}

/// Constants that differ, and how many do not.
pub(super) fn weights(a: &Outline, b: &Outline) -> (Vec<Change>, usize) {
    let names: BTreeSet<&String> = a.constants.keys().chain(b.constants.keys()).collect();
    let mut same = 0;
    let mut changes = Vec::new();
    for name in names {
        let shape =
            |outline: &Outline| outline.constants.get(name).map(|constant| format!("{:?}", constant.shape));
        let (one, other) = (shape(a), shape(b));
        let values =
            |outline: &Outline| outline.constants.get(name).and_then(|constant| constant.values.clone());
        match (values(a), values(b)) {
            (Some(first), Some(second)) if one == other => {
                let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
                let size = norm(&mut first.iter().map(|&value| f64::from(value)));
                let pairs = first.iter().zip(&second);
                let distance = norm(&mut pairs.map(|(&one, &two)| f64::from(one) - f64::from(two)));
                if first.iter().map(|v| v.to_bits()).eq(second.iter().map(|v| v.to_bits())) {
                    same += 1;
                } else {
                    let by = format!("differs by {:.3} of its norm", distance / size.max(1e-30));
                    changes.push(Change { what: name.clone(), a: one, b: Some(by) });
                }
            }
            _ if one == other && a.constants.get(name) == b.constants.get(name) => same += 1,
            _ => changes.push(Change { what: name.clone(), a: one, b: other }),
        }
    }
    (changes, same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trees_differ_by_path() {
        let a = json!({ "epochs": 3, "network": [{ "conv2d": { "features": 8 } }, "relu"], "ema": 0.9 });
        let b = json!({ "epochs": 5, "network": [{ "conv2d": { "features": 8 } }, "tanh"], "seed": 1 });
        let found: Vec<String> = of_values(&a, &b)
            .into_iter()
            .map(|c| format!("{}: {:?} {:?}", c.what, c.a.unwrap_or_default(), c.b.unwrap_or_default()))
            .collect();
        assert_eq!(
            found,
            [r#"ema: "0.9" """#, r#"epochs: "3" "5""#, r#"network.02: "relu" "tanh""#, r#"seed: "" "1""#]
        );
        assert_eq!(of_values(&a, &a), []);
    }
}
