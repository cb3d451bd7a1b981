//! `DequantizeLinear` in quantised networks from elsewhere.
//!
//! tract looks behind each for a `QuantizeLinear`, and puts a table of the 256 values in the place of all that lies between. It
//! takes softmax for something that a table can do, though a value of it depends on others: of a network that
//! `onnxruntime.quantization.quantize_static` made, every class then had the probability 1.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;

/// tract's operator without what it makes of its successors.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dequantize(DequantizeLinearF32);

impl Op for Dequantize {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Dequantize {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl TypedOp for Dequantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes_mapping(inputs, outputs)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        self.0.change_axes(model, node, io, change)
    }

    as_op!();
}

/// tract's simplifications, but for that one, of a model as the file has it.
pub(crate) fn declutter(mut model: TypedModel) -> TractResult<TypedModel> {
    super::log_softmax::replace(&mut model);
    for id in 0..model.nodes().len() {
        if let Some(op) = model.node(id).op_as::<DequantizeLinearF32>().cloned() {
            model.node_mut(id).op = Box::new(Dequantize(op));
        }
    }
    model.into_decluttered()
}
