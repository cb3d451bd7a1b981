//! The table of a network: layer, output shape, parameters, multiply-accumulates.

use zoo::grouped;

use crate::layers::kind::Placement;
use crate::network::{Network, trainable};

/// A text table, one line per layer or member of an ensemble and a total, for the terminal and the model card. Parameters are
/// the trainable ones: the running statistics of batch normalisation are none.
pub fn table(network: &Network) -> String {
    let header = ["layer", "output", "parameters", "MACs"].map(String::from);
    let input = ["image".into(), network.input.to_string(), "0".into(), "0".into()];
    let mut rows = vec![header, input];
    rows.extend(network.rows().into_iter().map(row));
    if !network.views().is_empty() {
        let once: u64 = network.placements().iter().map(|placement| placement.macs).sum();
        let names: Vec<&str> = network.views().iter().map(|view| view.name()).collect();
        let again = grouped(network.macs().saturating_sub(once));
        let output = network.output().to_string();
        rows.push([format!("again, {}", names.join(", ")), output, "0".into(), again]);
    }
    rows.push([
        "total".into(),
        String::new(),
        grouped(network.parameter_count() as u64),
        grouped(network.macs()),
    ]);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [a, b, c, d] = [0, 1, 2, 3].map(width);
    let line = |[layer, output, parameters, macs]: &[String; 4]| {
        format!("{layer:<a$}  {output:<b$}  {parameters:>c$}  {macs:>d$}\n")
    };
    rows.iter().map(line).collect()
}

fn row(placement: &Placement) -> [String; 4] {
    let parameters: usize = placement.all().iter().map(|inner| trainable(&inner.parameters)).sum();
    [
        placement.name.clone(),
        placement.output.to_string(),
        grouped(parameters as u64),
        grouped(placement.macs),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Layer, Shape};

    #[test]
    fn rows_add_up_to_the_total() {
        let residual = "- conv2d: {features: 4, kernel_size: 3, bias: false}\n- batch_norm\n- residual: {body: \
            [{conv2d: {features: 8, kernel_size: 1}}, batch_norm]}\n- flatten\n- dense: {features: 3}\n- softmax\n";
        let ensemble = "- conv2d: {features: 4, kernel_size: 3}\n- ensemble: {members: [[flatten, {dense: {features: 3}}], \
            [global_avg_pool, {dense: {features: 5}}, relu, {dense: {features: 3}}]]}\n- softmax\n";
        for (yaml, count) in [(residual, 7), (ensemble, 5)] {
            check(yaml, count);
        }
    }

    fn check(yaml: &str, count: usize) {
        let layers: Vec<Layer> = datasets::yaml::parse(yaml, "x".as_ref()).unwrap();
        let input = Shape::Image { channels: 1, height: 6, width: 6 };
        let table = table(&Network::build(&layers, input, 3).unwrap());
        let number = |line: &str, column: usize| -> u64 {
            line.split_whitespace().rev().nth(column).unwrap().replace(',', "").parse().unwrap()
        };
        let lines: Vec<&str> = table.lines().collect();
        let (total, rows) = lines[1..].split_last().unwrap();
        assert_eq!(rows.len(), count, "{table}");
        for column in [0, 1] {
            let sum: u64 = rows.iter().map(|row| number(row, column)).sum();
            assert_eq!(sum, number(total, column), "{table}");
        }
    }
}
