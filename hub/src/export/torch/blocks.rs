//! Layers that hold others: residual blocks and ensembles.

use serde_json::{Map, Value};

use super::{Modules, no_bias};
use crate::error::Result;

/// Most members of an ensemble, as `trainer` has it.
const MAX_MEMBERS: usize = 32;

impl Modules<'_> {
    /// `body(x) + x`, or a convolution of `x` where the shapes differ.
    pub(super) fn residual(
        &mut self,
        fields: &Map<String, Value>,
        name: &str,
        shape: Vec<usize>,
        depth: usize,
        forward: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let body = fields.get("body").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let before = format!("before_{}", name.replace('.', "_"));
        self.lines.push(format!("self.{name} = nn.Module()"));
        forward.push(format!("{before} = x"));
        let output = self.chain(body, &format!("{name}."), shape.clone(), depth + 1, forward)?;
        if output == shape {
            forward.push(format!("x = x + {before}  # {name}"));
            return Ok(output);
        }
        let skip = format!("{name}.skip");
        let [features, ..]: [usize; 4] = self.shape_of(&format!("{skip}.weight"))?;
        let steps = self.steps(&shape, &output, name)?;
        let bias = no_bias(self.shapes.contains_key(&format!("{skip}.bias")));
        let stride = match steps {
            [1, 1] => String::new(),
            [down, across] => format!(", stride=({down}, {across})"),
        };
        self.lines.push(format!("self.{skip} = nn.Conv2d({}, {features}, (1, 1){stride}{bias})", shape[0]));
        forward.push(format!("x = x + self.{skip}({before})  # {name}"));
        Ok(output)
    }

    /// The mean of what its members say.
    pub(super) fn ensemble(
        &mut self,
        fields: &Map<String, Value>,
        name: &str,
        shape: &[usize],
        depth: usize,
        forward: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let members = fields.get("members").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if !(2..=MAX_MEMBERS).contains(&members.len()) {
            let found = format!("{} members, expected 2 to {MAX_MEMBERS}", members.len());
            return Err(self.refuse(name, &found));
        }
        let [before, logits] = ["before", "logits"].map(|what| format!("{what}_{}", name.replace('.', "_")));
        self.lines.push(format!("self.{name} = nn.Module()"));
        forward.push(format!("{before}, {logits} = x, []"));
        let mut outputs = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let member_name = format!("{name}.member{}", index + 1);
            let Some(layers) = member.as_array() else {
                return Err(self.refuse(&member_name, &member.to_string()));
            };
            self.lines.push(format!("self.{member_name} = nn.Module()"));
            forward.push(format!("x = {before}  # {member_name}"));
            outputs.push(self.chain(
                layers,
                &format!("{member_name}."),
                shape.to_vec(),
                depth + 1,
                forward,
            )?);
            forward.push(format!("{logits}.append(x)"));
        }
        if outputs.iter().any(|output| output.len() != 1 || *output != outputs[0]) {
            return Err(self.refuse(name, &format!("members that give {outputs:?}")));
        }
        forward.push(format!("x = sum({logits}) / len({logits})  # {name}"));
        Ok(outputs.swap_remove(0))
    }

    /// The steps of the 1x1 convolution that leads from one shape to another: the smallest along rows and columns alike,
    /// or else along each.
    fn steps(&self, from: &[usize], to: &[usize], name: &str) -> Result<[usize; 2]> {
        let (&[_, height, width], &[_, rows, columns]) = (from, to) else {
            return Err(self.refuse(name, "a block of vectors of different lengths"));
        };
        let leads = |from: usize, step: usize, to: usize| from.div_ceil(step) == to;
        let both =
            (1..=height.max(width)).find(|&step| leads(height, step, rows) && leads(width, step, columns));
        Ok(both.map_or([height.div_ceil(rows.max(1)), width.div_ceil(columns.max(1))], |step| [step; 2]))
    }
}
