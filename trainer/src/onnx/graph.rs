//! A graph that grows: nodes, constants, and the values of the network's tensors.

use tract_onnx::pb;

/// A graph under construction.
pub(crate) struct Graph {
    pub(super) nodes: Vec<pb::NodeProto>,
    pub(super) constants: Vec<pb::TensorProto>,
    /// Values of the network's tensors, in state-dict order.
    tensors: Vec<Vec<f32>>,
    /// Comes before names of nodes and of their constants of integers: `mirrored/`. Branches share the network's constants.
    branch: String,
}

/// `y = x * scale + shift`, per channel: batch normalisation in evaluation.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Graph {
    pub(super) fn new(tensors: Vec<Vec<f32>>) -> Graph {
        Graph { nodes: Vec::new(), constants: Vec::new(), tensors, branch: String::new() }
    }

    /// Begins a branch: the network's nodes again, from another input. Without a name, the nodes that follow are of none.
    pub(crate) fn branch(&mut self, name: &str) {
        self.branch = if name.is_empty() { String::new() } else { format!("{name}/") };
    }

    /// Values of tensor number `index` of the network, row-major.
    pub(crate) fn tensor(&self, index: usize) -> &[f32] {
        &self.tensors[index]
    }

    /// Adds a node with one output, named like the node; returns that name.
    pub(crate) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<pb::AttributeProto>,
    ) -> String {
        let name = format!("{}{name}", self.branch);
        self.nodes.push(pb::NodeProto {
            name: name.clone(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![name.clone()],
            attribute,
            ..Default::default()
        });
        name
    }

    /// Adds a constant.
    pub(crate) fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        if self.constants.iter().all(|constant| constant.name != name) {
            self.constants.push(super::value::tensor(name, shape, values));
        }
    }

    /// Adds a list of integers; returns its name.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let name = format!("{}{name}", self.branch);
        self.constants.push(super::value::integers(&name, values));
        name
    }

    /// Adds a node of two inputs, the second a constant.
    pub(crate) fn with_constant(
        &mut self,
        op: &str,
        name: &str,
        input: &str,
        shape: &[usize],
        values: &[f32],
    ) -> String {
        let constant = format!("{name}.constant");
        self.constant(&constant, shape, values);
        self.node(op, name, &[input, &constant], Vec::new())
    }
}
