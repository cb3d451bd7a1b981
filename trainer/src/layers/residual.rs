//! `residual`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::chain::{self, Named};
use super::conv2d::Convolution;
use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::padding::Padding;
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// `body(x) + x` (He et al. 2016, arXiv:1512.03385); where the shapes differ, `x` goes through a 1x1
/// convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "Residual")]
#[serde(deny_unknown_fields)]
pub struct Residual<L> {
    /// The layers beside the shortcut.
    pub body: Vec<L>,
}

impl<L: LayerKind + Named> LayerKind for Residual<L> {
    fn place(&self, context: &Context) -> Result<Placement> {
        let body = chain::place(&self.body, context.input, Some(context))?;
        let output = body.last().map_or(context.input, |placement| placement.output);
        let mut skip = None;
        if output != context.input {
            let Some(projection) = projection(context.input, output) else {
                let problem = match output {
                    Shape::Vector(_) => format!("which cannot be added to {}", context.input),
                    Shape::Image { .. } => "which no stride of a 1x1 convolution leads to".to_owned(),
                };
                return Err(context.refuse(format!("its body gives {output}, {problem}")));
            };
            let context = Context { name: format!("{}.skip", context.name), is_last: false, ..context.clone() };
            skip = Some(Box::new(projection.place(&context)?));
        }
        let macs = body.iter().chain(skip.as_deref()).map(|inner| inner.macs).fold(0, u64::saturating_add);
        Ok(Placement { body, skip, macs, ..context.placed(output) })
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let x = pass.branch(x);
        let body = chain::forward(&self.body, &placement.body, &x, pass);
        match self.skip(placement) {
            Some((projection, skip)) => body + projection.forward(skip, &x, pass),
            None => body + x,
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let body = chain::export(&self.body, &placement.body, x.to_owned(), graph);
        let skip = match self.skip(placement) {
            Some((projection, skip)) => projection.export(skip, x, None, graph),
            None => x.to_owned(),
        };
        graph.node("Add", &placement.name, &[&body, &skip], Vec::new())
    }

    /// That of the body: the shortcut sees less.
    fn receptive_field(&self, placement: &Placement, before: ReceptiveField) -> ReceptiveField {
        chain::receptive_field(&self.body, &placement.body, before)
    }

    fn is_random(&self) -> bool {
        self.body.iter().any(LayerKind::is_random)
    }

    fn smallest_batch(&self, placement: &Placement) -> usize {
        let inner = self.body.iter().zip(&placement.body);
        inner.map(|(layer, placement)| layer.smallest_batch(placement)).max().unwrap_or(1)
    }
}

impl<L> Residual<L> {
    /// The convolution on the shortcut, and where it stands.
    fn skip<'a>(&self, placement: &'a Placement) -> Option<(Convolution, &'a Placement)> {
        let skip = placement.skip.as_deref()?;
        let projection = projection(skip.input, skip.output).expect("it was found when the block was placed");
        Some((projection, skip))
    }
}

/// The 1x1 convolution that brings a shortcut from `input` to `output`, with the smallest stride that
/// leads there along rows and columns alike, or else the smallest along each.
fn projection(input: Shape, output: Shape) -> Option<Convolution> {
    let (Shape::Image { height, width, .. }, Shape::Image { channels: features, height: rows, width: columns }) =
        (input, output)
    else {
        return None;
    };
    let leads = |from: usize, stride: usize, to: usize| from.div_ceil(stride) == to;
    let both = (1..=height.max(width)).find(|&stride| leads(height, stride, rows) && leads(width, stride, columns));
    let each = || {
        let smallest = |from: usize, to: usize| Some(from.div_ceil(to)).filter(|&stride| leads(from, stride, to));
        Some([smallest(height, rows)?, smallest(width, columns)?])
    };
    let strides = both.map(|stride| [stride; 2]).or_else(each)?;
    Some(Convolution { features, kernel_size: 1, strides, padding: Padding::Valid, bias: true, groups: 1, dilation: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_lead_where_a_stride_leads() {
        let image = |channels, height, width| Shape::Image { channels, height, width };
        let strides = |input, output| projection(input, output).map(|projection| projection.strides);
        assert_eq!(strides(image(3, 28, 28), image(8, 28, 28)), Some([1, 1]));
        assert_eq!(strides(image(3, 28, 28), image(8, 14, 14)), Some([2, 2]));
        assert_eq!(strides(image(3, 1, 28), image(3, 1, 14)), Some([2, 2]));
        assert_eq!(strides(image(4, 5, 28), image(4, 2, 7)), Some([4, 4]));
        assert_eq!(strides(image(4, 28, 28), image(4, 14, 28)), Some([2, 1]));
        assert_eq!(strides(image(4, 7, 7), image(4, 5, 5)), None);
        assert_eq!(strides(image(4, 7, 7), image(4, 9, 9)), None);
        assert_eq!(strides(image(4, 7, 7), Shape::Vector(4)), None);
    }
}
