//! A graph that grows: nodes, constants, and the values of the network's tensors.

use tract_onnx::pb;

/// A graph under construction.
pub(crate) struct Graph {
    pub(super) nodes: Vec<pb::NodeProto>,
    pub(super) constants: Vec<pb::TensorProto>,
    /// Values of the network's tensors, in state-dict order.
    tensors: Vec<Vec<f32>>,
}

/// `y = x * scale + shift`, per channel: batch normalisation in evaluation.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Graph {
    pub(super) fn new(tensors: Vec<Vec<f32>>) -> Graph {
        Graph { nodes: Vec::new(), constants: Vec::new(), tensors }
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
        self.nodes.push(pb::NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![name.into()],
            attribute,
            ..Default::default()
        });
        name.into()
    }

    /// Adds a constant.
    pub(crate) fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.constants.push(super::value::tensor(name, shape, values));
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
