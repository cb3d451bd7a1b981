//! Layers one after the other: a network's, or those inside a block.

use std::collections::HashMap;

use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::Graph;

/// A layer with the name of its kind.
pub(crate) trait Named {
    /// Name of the kind in a recipe.
    fn kind(&self) -> &'static str;
}

/// What names of a kind of layer begin with: `conv1`, `dense2`.
pub(crate) fn stem(kind: &str) -> &str {
    kind.strip_suffix("2d").unwrap_or(kind)
}

/// Places layers one after the other; `outer` is the block that they are in.
///
/// # Errors
/// [`crate::Error::Layer`] for the first that does not fit.
pub(crate) fn place<L: LayerKind + Named>(
    layers: &[L],
    input: Shape,
    outer: Option<&Context>,
) -> Result<Vec<Placement>> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut placements: Vec<Placement> = Vec::with_capacity(layers.len());
    let mut input = input;
    for (index, layer) in layers.iter().enumerate() {
        let stem = stem(layer.kind());
        let count = counts.entry(stem).or_default();
        *count += 1;
        let (prefix, number) = match outer {
            Some(outer) => (format!("{}.", outer.name), outer.number.as_slice()),
            None => (String::new(), &[][..]),
        };
        let context = Context {
            number: [number, &[index + 1]].concat(),
            name: format!("{prefix}{stem}{count}"),
            kind: layer.kind(),
            input,
            is_last: outer.is_none() && index + 1 == layers.len(),
        };
        let placement = layer.place(&context)?;
        input = placement.output;
        placements.push(placement);
    }
    Ok(placements)
}

/// What the last layer gives for a batch.
pub(crate) fn forward<L: LayerKind>(
    layers: &[L],
    placements: &[Placement],
    x: &Tensor,
    pass: &Pass<'_>,
) -> Tensor {
    let mut value = x.shallow_clone();
    let layers: Vec<(&L, &Placement)> = layers.iter().zip(placements).collect();
    let mut rest = layers.as_slice();
    while let [(layer, placement), after @ ..] = rest {
        rest = after;
        if let [(relu, _), (pool, _), after @ ..] = rest
            && relu.is_relu()
            && pool.halves()
            && let Some(pooled) = layer.forward_pooled(placement, &value, pass)
        {
            (value, rest) = (pooled, after);
            continue;
        }
        // Pooled first, there is a quarter of the values to compare with zero.
        if let [(pool, placement), after @ ..] = rest
            && layer.may_follow_max_pool()
            && pool.is_max_pool()
        {
            (value, rest) = (pool.forward(placement, &value, pass), after);
        }
        value = layer.forward(placement, &value, pass);
    }
    value
}

/// Adds the nodes of all layers to the graph; returns the name of what the last one gives.
pub(crate) fn export<L: LayerKind>(
    layers: &[L],
    placements: &[Placement],
    x: String,
    graph: &mut Graph,
) -> String {
    let mut value = x;
    let mut rest = layers.iter().zip(placements).peekable();
    while let Some((layer, placement)) = rest.next() {
        let mut folded = None;
        if layer.is_linear()
            && let Some((next, after)) = rest.peek()
        {
            folded = next.affine(after, graph);
        }
        if folded.is_some() {
            rest.next();
        }
        value = layer.export(placement, &value, folded.as_ref(), graph);
    }
    value
}

/// How much of the image a value of the last layer depends on.
pub(crate) fn receptive_field<L: LayerKind>(
    layers: &[L],
    placements: &[Placement],
    before: ReceptiveField,
) -> ReceptiveField {
    let layers = layers.iter().zip(placements);
    layers.fold(before, |field, (layer, placement)| layer.receptive_field(placement, field))
}
