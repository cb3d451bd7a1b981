//! A comparison as one self-contained page.

use base64ct::{Base64, Encoding};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Change, Comparison};

const STYLE: &str = include_str!("page.css");
/// Rows of a table that may be long.
const ROWS: usize = 200;

/// The page: no script, nothing to fetch.
pub fn page(found: &Comparison) -> String {
    let [a, b] = &found.names;
    let picture = format!("data:image/png;base64,{}", Base64::encode_string(&found.picture));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (a) " and " (b) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (a) " and " (b) }
                    p { (summary(found)) }
                    h2 { "Answers" }
                    p { (found.verdict()) }
                    (accuracy(found))
                    @if !found.disagreements.is_empty() {
                        h2 { "Where they disagree" }
                        p.soft {
                            (found.disagreements.len()) " images; right is "
                            span.key style="background:#2f86d6" {} (a)
                            span.key style="background:#d95f02" {} (b)
                            span.key style="background:#7f7f7f" {} "neither"
                        }
                        img src=(picture) alt="the images on which they disagree, framed by who is right";
                        (disagreements(found))
                    }
                    h2 { "Size and speed" }
                    @if !found.sizes.is_empty() { (changes("", &found.sizes, found)) }
                    (speed(found))
                    @if let Some(recipe) = &found.recipe { (section("Recipe", recipe, found)) }
                    (section("Data", &found.data, found))
                    (section("Operators", &found.operators, found))
                    (section("Weights", &found.weights, found))
                    p.soft { (found.same_weights) " constants are the same, value for value." }
                }
            }
        }
    };
    page.into_string() + "\n"
}

/// One sentence.
fn summary(found: &Comparison) -> String {
    let [a, b] = &found.names;
    let (dataset, images) = &found.dataset;
    format!("{a} and {b} on the {} test images of {dataset}.", zoo::grouped(*images as u64))
}

fn accuracy(found: &Comparison) -> Markup {
    let percent = |count: &zoo::Count| format!("{count} = {:.2} %", 100.0 * count.share());
    let [a, b] = &found.names;
    html! {
        div.table {
            table {
                thead { tr { th scope="col" { "class" } th scope="col" { (a) } th scope="col" { (b) } } }
                tbody {
                    tr { td { "all" } @for count in &found.accuracy { td { (percent(count)) } } }
                    @for (label, counts) in &found.classes {
                        tr { td { (label) } @for count in counts { td { (percent(count)) } } }
                    }
                    tr {
                        td { "calibration error" }
                        @for error in found.calibration_error { td { (format!("{error:.4}")) } }
                    }
                }
            }
        }
    }
}

fn disagreements(found: &Comparison) -> Markup {
    let [a, b] = &found.names;
    html! {
        details {
            summary { "all of them" }
            div.table {
                table {
                    thead { tr { @for name in ["image", "is", a, b] { th scope="col" { (name) } } } }
                    tbody {
                        @for one in found.disagreements.iter().take(ROWS) {
                            tr { td { (one.image) } td { (one.actual) } @for answer in &one.answers { td { (answer) } } }
                        }
                    }
                }
            }
        }
    }
}

fn speed(found: &Comparison) -> Markup {
    let [a, b] = &found.names;
    html! {
        div.table {
            table {
                thead {
                    tr {
                        th scope="col" { "images to a call" }
                        th scope="col" { (a) ", µs an image" }
                        th scope="col" { (b) ", µs an image" }
                        th scope="col" { "time of the second by the first" }
                    }
                }
                tbody {
                    @for speed in &found.speed {
                        tr {
                            td { (speed.batch) }
                            @for time in speed.microseconds { td { (format!("{time:.1}")) } }
                            td { (format!("{:.2} ({:.2} to {:.2})", speed.ratio[1], speed.ratio[0], speed.ratio[2])) }
                        }
                    }
                }
            }
        }
    }
}

fn section(title: &str, list: &[Change], found: &Comparison) -> Markup {
    html! {
        h2 { (title) }
        @if list.is_empty() { p { "The same." } } @else { (changes(title, list, found)) }
    }
}

fn changes(what: &str, list: &[Change], found: &Comparison) -> Markup {
    let [a, b] = &found.names;
    let cell = |side: &Option<String>| side.clone().unwrap_or_else(|| "–".into());
    html! {
        div.table {
            table {
                thead { tr { @for name in [what, a, b] { th scope="col" { (name) } } } }
                tbody {
                    @for change in list.iter().take(ROWS) {
                        tr { td { (change.what) } td { (cell(&change.a)) } td { (cell(&change.b)) } }
                    }
                }
            }
        }
        @if list.len() > ROWS { p.soft { "and " (list.len() - ROWS) " more" } }
    }
}
