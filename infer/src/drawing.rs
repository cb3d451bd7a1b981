//! A network as a picture: operators from top to bottom, with shapes and parameters, as SVG that suits light and dark pages.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::network::{Outline, OutlineNode};

/// Width of the column of operators, and of the room for arcs beside it.
const WIDTH: usize = 340;
const ARCS: usize = 120;
/// Height of an operator, and of the space below.
const HEIGHT: usize = 40;
const SPACE: usize = 14;
/// More operators than this are not drawn: nobody would look at them.
const MOST: usize = 1500;

/// Draws the network of an ONNX file that takes `[N, C, H, W]`.
///
/// # Errors
/// If the file is not read here.
#[cfg(feature = "adopted")]
pub fn of(onnx: &[u8], shape: datasets::ImageShape) -> Result<String, String> {
    Ok(svg(&crate::network::outline(onnx)?, &crate::network::shapes(onnx, shape)?))
}

/// Draws a graph. `shapes` has what is known of values, by name, such as `N x 10`.
pub fn svg(outline: &Outline, shapes: &BTreeMap<String, String>) -> String {
    let nodes = outline.nodes.get(..MOST.min(outline.nodes.len())).unwrap_or(&[]);
    let rows = nodes.len() + 1 + usize::from(nodes.len() < outline.nodes.len());
    let (width, height) = (WIDTH + ARCS + 20, rows * (HEIGHT + SPACE) + 10);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"operators of the network\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>\n\
         .box {{ fill: #eef1f4; stroke: #8a929b }} .name {{ font-weight: bold }} text {{ fill: #1c1e21 }}\n\
         .soft {{ fill: #5d636b; font-size: 12px }} path {{ fill: none; stroke: #8a929b; stroke-width: 1.5 }}\n\
         .weights {{ fill: #dbe8f6 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .box {{ fill: #24282d }} text {{ fill: #e6e7e9 }} .soft {{ fill: #a0a6ae }} .weights {{ fill: #1d3450 }}\n\
         }}\n\
         </style>\n"
    );
    // The row in which each value is made.
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for input in &outline.inputs {
        made.insert(input, 0);
    }
    let inputs = outline.inputs.join(", ");
    let shape = outline.inputs.first().and_then(|name| shapes.get(name)).cloned().unwrap_or_default();
    box_of(&mut out, 0, &inputs, &shape, false);
    for (index, node) in nodes.iter().enumerate() {
        let row = index + 1;
        for source in node.inputs.iter().filter_map(|name| made.get(name.as_str())) {
            edge(&mut out, *source, row);
        }
        let parameters = parameters(outline, node);
        let shape = node.outputs.first().and_then(|name| shapes.get(name)).cloned().unwrap_or_default();
        let mut what = vec![shape];
        what.extend(interesting(node));
        what.extend((parameters > 0).then(|| format!("{} parameters", zoo::grouped(parameters))));
        what.retain(|part| !part.is_empty());
        box_of(&mut out, row, &node.operator, &what.join(" · "), parameters > 0);
        made.extend(node.outputs.iter().map(|name| (name.as_str(), row)));
    }
    if nodes.len() < outline.nodes.len() {
        let more = format!("and {} more operators", outline.nodes.len() - nodes.len());
        box_of(&mut out, rows - 1, &more, "", false);
    }
    out + "</svg>\n"
}

fn top(row: usize) -> usize {
    5 + row * (HEIGHT + SPACE)
}

fn box_of(out: &mut String, row: usize, name: &str, what: &str, weights: bool) {
    let y = top(row);
    let class = if weights { "box weights" } else { "box" };
    let (first, second) = (y + 17, y + 33);
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"10\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"5\"/>\
         <text class=\"name\" x=\"20\" y=\"{first}\">{}</text><text class=\"soft\" x=\"20\" y=\"{second}\">{}</text>",
        escape(name),
        escape(what)
    )
    .expect("writing into a string cannot fail");
}

/// Straight to the next row; around the rows between by an arc.
fn edge(out: &mut String, from: usize, to: usize) {
    let (start, end) = (top(from) + HEIGHT, top(to));
    let path = if to == from + 1 {
        let x = 10 + WIDTH / 2;
        format!("M{x} {start}V{end}")
    } else {
        let x = 10 + WIDTH;
        let bulge = x + 20 + ((to - from) * 10).min(ARCS - 20);
        let (start, end) = (start - HEIGHT / 2, end + HEIGHT / 2);
        format!("M{x} {start}C{bulge} {start} {bulge} {end} {x} {end}")
    };
    writeln!(out, "<path d=\"{path}\"/>").expect("writing into a string cannot fail");
}

/// Values of the constants that an operator takes.
fn parameters(outline: &Outline, node: &OutlineNode) -> u64 {
    let constants = node.inputs.iter().filter_map(|name| outline.constants.get(name));
    let count = |shape: &[i64]| shape.iter().map(|&length| length.max(0) as u64).product::<u64>();
    constants.filter(|constant| constant.values.is_some()).map(|constant| count(&constant.shape)).sum()
}

/// What of the attributes says how an operator looks at its input.
fn interesting(node: &OutlineNode) -> Vec<String> {
    let wanted = ["kernel_shape=", "strides=", "group=", "dilations="];
    let is_said = |text: &&String| {
        wanted.iter().any(|start| text.starts_with(start))
            && !["strides=[1, 1]", "dilations=[1, 1]", "group=1"].contains(&text.as_str())
    };
    node.attributes.iter().filter(is_said).map(|text| text.replace("kernel_shape", "kernel")).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::OutlineConstant;

    #[test]
    fn operators_shapes_parameters_and_shortcuts_are_drawn() {
        let node = |operator: &str, inputs: &[&str], output: &str| OutlineNode {
            name: String::new(),
            operator: operator.into(),
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            outputs: vec![output.into()],
            attributes: vec!["kernel_shape=[3, 3]".into(), "strides=[1, 1]".into()],
        };
        let constant = OutlineConstant { shape: vec![8, 1, 3, 3], values: Some(vec![0.0; 72]) };
        let outline = Outline {
            nodes: vec![
                node("Conv", &["image", "w"], "a"),
                node("Relu <x>", &["a"], "b"),
                node("Add", &["b", "a"], "c"),
            ],
            constants: [("w".to_owned(), constant)].into(),
            inputs: vec!["image".into()],
            outputs: vec!["c".into()],
        };
        let shapes = [("a".to_owned(), "N x 8 x 26 x 26".to_owned())].into();
        let svg = svg(&outline, &shapes);
        assert!(svg.contains("N x 8 x 26 x 26 · kernel=[3, 3] · 72 parameters"), "{svg}");
        assert!(svg.contains("Relu &lt;x>") && !svg.contains("strides"));
        assert_eq!(
            (svg.matches("<rect").count(), svg.matches("<path").count(), svg.matches('C').count()),
            (4, 4, 2)
        );
    }
}
