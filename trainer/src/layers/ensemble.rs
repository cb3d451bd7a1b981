//! `ensemble`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::chain::{self, Named};
use super::kind::{Context, LayerKind, Mode, Pass, Placement, ReceptiveField};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// Most members.
const MAX_MEMBERS: usize = 32;

/// Networks side by side whose logits are averaged, right before the softmax. In training each member learns on its
/// own, from the loss of its own logits: a loss of the average would let members rely on each other, and their errors
/// would no longer differ (deep ensembles: Lakshminarayanan et al. 2017, arXiv:1612.01474).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "Ensemble")]
#[serde(deny_unknown_fields)]
pub struct Ensemble<L> {
    /// The layers of each member, from what comes in to logits `[classes]`.
    #[schemars(length(min = 2, max = 32))]
    pub members: Vec<Vec<L>>,
}

impl<L: LayerKind + Named> LayerKind for Ensemble<L> {
    /// A placement for each member, in which are those of its layers.
    fn place(&self, context: &Context) -> Result<Placement> {
        if context.number.len() > 1 {
            return Err(context.refuse("an ensemble may not stand inside another block"));
        }
        if !(2..=MAX_MEMBERS).contains(&self.members.len()) {
            let found = self.members.len();
            return Err(context.refuse(format!("{found} members: expected 2 to {MAX_MEMBERS}")));
        }
        let members = self.members.iter().enumerate().map(|(index, member)| {
            let context = Context {
                number: [context.number.as_slice(), &[index + 1]].concat(),
                name: format!("{}.member{}", context.name, index + 1),
                is_last: false,
                ..context.clone()
            };
            if member.is_empty() {
                return Err(context.refuse("a member without layers"));
            }
            let body = chain::place(member, context.input, Some(&context))?;
            let output = body.last().map_or(context.input, |placement| placement.output);
            let macs = body.iter().map(|inner| inner.macs).fold(0, u64::saturating_add);
            Ok(Placement { body, macs, ..context.placed(output) })
        });
        let members: Vec<Placement> = members.collect::<Result<_>>()?;
        let output = members[0].output;
        for member in &members {
            match member.output {
                Shape::Image { .. } => {
                    let problem = format!("{} gives {}, not [classes]", member.name, member.output);
                    return Err(context.refuse(problem));
                }
                Shape::Vector(_) if member.output != output => {
                    let problem = format!("{} gives {}, {} {output}", member.name, member.output, members[0].name);
                    return Err(context.refuse(problem));
                }
                Shape::Vector(_) => {}
            }
        }
        let macs = members.iter().map(|member| member.macs).fold(0, u64::saturating_add);
        Ok(Placement { body: members, macs, ..context.placed(output) })
    }

    /// In training the members' logits one after the other for each image, `[N * members, classes]`; in evaluation their
    /// mean, `[N, classes]`.
    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let x = pass.leaf(x);
        let members = self.members.iter().zip(&placement.body);
        let mut logits = members.map(|(layers, member)| chain::forward(layers, &member.body, &x, pass));
        match pass.mode {
            Mode::Train => Tensor::stack(&logits.collect::<Vec<_>>(), 1).flatten(0, 1),
            Mode::Evaluate => {
                let first = logits.next().expect("an ensemble has members");
                logits.fold(first, |sum, logits| sum + logits) * f64::from(self.share())
            }
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let Placement { name, output, body, .. } = placement;
        let mut sum: Option<String> = None;
        for (layers, member) in self.members.iter().zip(body) {
            let logits = chain::export(layers, &member.body, x.to_owned(), graph);
            sum = Some(match sum {
                None => logits,
                Some(sum) => graph.node("Add", &format!("{}.sum", member.name), &[&sum, &logits], Vec::new()),
            });
        }
        let sum = sum.expect("an ensemble has members");
        let classes = output.numel();
        graph.with_constant("Mul", name, &sum, &[1, classes], &vec![self.share(); classes])
    }

    /// The widest of its members'.
    fn receptive_field(&self, placement: &Placement, before: ReceptiveField) -> ReceptiveField {
        let members = self.members.iter().zip(&placement.body);
        let fields = members.map(|(layers, member)| chain::receptive_field(layers, &member.body, before));
        fields.max_by_key(|field| field.size).unwrap_or(before)
    }

    fn is_random(&self) -> bool {
        self.members.iter().flatten().any(LayerKind::is_random)
    }

    fn smallest_batch(&self, placement: &Placement) -> usize {
        let members = self.members.iter().zip(&placement.body);
        let layers = members.flat_map(|(layers, member)| layers.iter().zip(&member.body));
        layers.map(|(layer, placement)| layer.smallest_batch(placement)).max().unwrap_or(1)
    }
}

impl<L> Ensemble<L> {
    /// What the sum of the members' logits is multiplied with.
    fn share(&self) -> f32 {
        1.0 / self.members.len() as f32
    }
}
