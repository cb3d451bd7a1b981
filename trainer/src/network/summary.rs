//! The table of a network: layer, output shape, parameters, multiply-accumulates.

use zoo::grouped;

use super::{Network, Node};

/// A text table, one line per layer and a total, for the terminal and the model card.
pub fn table(network: &Network) -> String {
    let header = ["layer", "output", "parameters", "MACs"].map(String::from);
    let input = ["image".into(), network.input.to_string(), "0".into(), "0".into()];
    let mut rows = vec![header, input];
    rows.extend(network.nodes.iter().map(|node| row(network, node)));
    rows.push([
        "total".into(),
        String::new(),
        grouped(network.parameter_count() as u64),
        grouped(network.macs()),
    ]);
    let widths: Vec<usize> =
        (0..4).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 4]| {
        let [layer, output, parameters, macs] = row;
        let (a, b, c, d) = (widths[0], widths[1], widths[2], widths[3]);
        format!("{layer:<a$}  {output:<b$}  {parameters:>c$}  {macs:>d$}\n")
    };
    rows.iter().map(line).collect()
}

fn row(network: &Network, node: &Node) -> [String; 4] {
    let own = |node: &Node| network.parameters_of(node).iter().map(|p| p.numel()).sum::<usize>();
    fn total(node: &Node, own: &dyn Fn(&Node) -> usize) -> usize {
        own(node) + node.body.iter().chain(node.skip.as_deref()).map(|n| total(n, own)).sum::<usize>()
    }
    let parameters = grouped(total(node, &own) as u64);
    [node.name.clone(), node.output.to_string(), parameters, grouped(node.macs)]
}
