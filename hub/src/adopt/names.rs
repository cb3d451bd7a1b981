//! Names of values that the zoo's form has for its own.

use std::collections::HashSet;

use infer::ADDED;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::graph::{INPUT, OUTPUT};
use super::proto::each_graph;

/// Gives values other names that would be taken for ours, also in the graphs within nodes (`If`, `Loop`), which see those
/// outside. Gives the other name of each.
pub(super) fn reserve(model: &mut ModelProto) -> Result<[(&'static str, String); 2], String> {
    let Some(graph) = &mut model.graph else { return Err("without a graph".into()) };
    let mut taken = HashSet::new();
    each_name(graph, &mut |name| {
        taken.insert(name.clone());
    });
    if let Some(name) = taken.iter().filter(|name| name.starts_with(ADDED)).min() {
        return Err(format!(
            "{name:?}: expected no names that begin with {ADDED:?}: was it adopted already?"
        ));
    }
    Ok([INPUT, OUTPUT].map(|reserved| {
        let others = (2..).map(|number| format!("{ORIGINAL}{reserved}.{number}"));
        let mut others = std::iter::once(format!("{ORIGINAL}{reserved}")).chain(others);
        let other = others.find(|name| !taken.contains(name)).expect("numbers do not end");
        each_name(graph, &mut |name| {
            if name == reserved {
                name.clone_from(&other);
            }
        });
        (reserved, other)
    }))
}

/// How names begin that values get which are called as ours.
const ORIGINAL: &str = "original.";

/// Every name of a value, in graphs within nodes too.
fn each_name(graph: &mut GraphProto, each: &mut dyn FnMut(&mut String)) {
    each_graph(graph, &mut |graph| {
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        values.for_each(|value| each(&mut value.name));
        graph.initializer.iter_mut().for_each(|tensor| each(&mut tensor.name));
        for node in &mut graph.node {
            node.input.iter_mut().chain(&mut node.output).for_each(&mut *each);
        }
    });
}
