//! What an audit leaves behind: `issues.csv` and, longer, `ranking.csv`, `report.html` with a contact sheet, `probabilities.safetensors`.

use std::path::Path;

use datasets::{Dataset, Samples};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use safetensors::tensor::{Dtype, TensorView};

use super::{Audit, Issue};
use crate::error::{Error, Result};

/// The table that people edit.
const ISSUES: &str = "issues.csv";
/// Images that are shown.
const SHOWN: usize = 240;
/// Pairs of classes in the table.
const PAIRS: usize = 12;
/// Largest table of origins.
const MAX_BYTES: u64 = 1 << 30;

/// Where every training image is from, if the dataset was imported.
pub(super) fn origins(dataset: &Dataset, images: usize) -> Result<Vec<String>> {
    let path = dataset.dir.join("images.csv");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = datasets::files::read_text(&path, MAX_BYTES).map_err(Error::io(&path))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let broken = |error: csv::Error| Error::run(&path, error.to_string());
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|field| field == name);
        found.ok_or_else(|| Error::run(&path, format!("no column {name:?}; there are {header:?}")))
    };
    let [split, origin] = [column("split")?, column("origin")?];
    let mut origins = Vec::with_capacity(images);
    for row in reader.records() {
        let row = row.map_err(broken)?;
        if &row[split] != "test" {
            origins.push(row[origin].to_owned());
        }
    }
    if origins.len() != images {
        let problem = format!("{} training images, expected {images}", origins.len());
        return Err(Error::run(&path, problem));
    }
    Ok(origins)
}

/// Writes all files.
pub(super) fn write(audit: &Audit, samples: &Samples, probabilities: &[f32]) -> Result<()> {
    let dir = &audit.path;
    let named = Audit { path: audit.dataset.clone().into(), ..audit.clone() };
    let json = serde_json::to_string_pretty(&named).map_err(|error| Error::run(dir, error.to_string()))?;
    let issues = table(audit.issues.iter(), dir)?;
    keep_edited(&dir.join(ISSUES), &issues)?;
    for (name, bytes) in [
        (ISSUES, issues),
        ("ranking.csv", table(audit.issues.iter().chain(&audit.next), dir)?),
        ("report.html", page(audit, samples).into_bytes()),
        ("report.json", (json + "\n").into_bytes()),
        ("probabilities.safetensors", tensors(audit, samples, probabilities, dir)?),
    ] {
        zoo::write_atomic(&dir.join(name), &bytes)?;
    }
    Ok(())
}

/// What a person deleted rows of is not lost: it is kept under the next free name.
fn keep_edited(path: &Path, new: &[u8]) -> Result<()> {
    let is_known = !path.exists() || datasets::files::read(path, MAX_BYTES).is_ok_and(|old| old == new);
    if is_known {
        return Ok(());
    }
    let names = (1..).map(|number| format!("issues.before-{number}.csv"));
    let free = names.map(|name| path.with_file_name(name)).find(|kept| !kept.exists());
    let kept = free.expect("there are more numbers than files");
    std::fs::rename(path, &kept).map_err(Error::io(path))
}

/// What `trainer import --exclude` and `--relabel` take.
fn table<'a>(issues: impl Iterator<Item = &'a Issue>, dir: &Path) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::run(dir, error.to_string());
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record(["rank", "index", "class", "suggested", "self_confidence", "sha256", "origin"])
        .map_err(failed)?;
    for (rank, issue) in issues.enumerate() {
        table
            .write_record([
                &(rank + 1).to_string(),
                &issue.index.to_string(),
                &issue.class,
                &issue.suggested,
                &format!("{:.6}", issue.self_confidence),
                &issue.sha256.to_string(),
                issue.origin.as_deref().unwrap_or_default(),
            ])
            .map_err(failed)?;
    }
    table.into_inner().map_err(|error| Error::run(dir, error.to_string()))
}

/// `probabilities` `[N, classes]` and `labels` `[N]`, in the order of the training split.
fn tensors(audit: &Audit, samples: &Samples, probabilities: &[f32], dir: &Path) -> Result<Vec<u8>> {
    let failed = |error: safetensors::SafeTensorError| Error::run(dir, error.to_string());
    let bytes: Vec<u8> = probabilities.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![samples.len(), audit.classes.len()];
    let tensors = [
        ("labels", TensorView::new(Dtype::U8, vec![samples.len()], &samples.labels).map_err(failed)?),
        ("probabilities", TensorView::new(Dtype::F32, shape, &bytes).map_err(failed)?),
    ];
    safetensors::serialize(tensors, None).map_err(failed)
}

fn page(audit: &Audit, samples: &Samples) -> String {
    let issues = audit.issues.len();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (audit.dataset) ": labels that are probably wrong" }
                style { (PreEscaped(import::STYLE)) }
            }
            body {
                main {
                    h1 { (audit.dataset) ": labels that are probably wrong" }
                    p {
                        (zoo::grouped(issues as u64)) " of " (zoo::grouped(audit.images as u64)) " training images ("
                        (format!("{:.2}", 100.0 * issues as f64 / audit.images.max(1) as f64)) " %), the least probable first. "
                        "Networks that had not seen an image gave " (zoo::grouped(audit.agreed as u64)) " of them their label."
                    }
                    p.soft {
                        "Each image was judged by one of " (audit.folds) " networks, fitted to the other parts; by confident learning "
                        "(Northcutt et al. 2021). Look before you correct: some are only hard. " code { "trainer import --exclude" }
                        " and " code { "--relabel" } " take issues.csv, with the rows deleted that you do not agree with; ranking.csv goes on where it ends."
                    }
                    (pairs(audit))
                    section {
                        h2 { "The first " (issues.min(SHOWN)) }
                        div.tiles { @for issue in audit.issues.iter().take(SHOWN) { (figure(issue, samples)) } }
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn figure(issue: &Issue, samples: &Samples) -> Markup {
    let pixels = [samples.image(issue.index).to_vec()];
    let caption = format!("{}, or {}?", issue.class, issue.suggested);
    html! {
        figure {
            @if let Some(address) = import::sheet(&pixels, samples.shape, 1) { img src=(address) alt=(caption); }
            figcaption {
                (caption) " " (format!("{:.4}", issue.self_confidence)) br; "no. " (issue.index)
                @if let Some(origin) = &issue.origin { br; (origin) }
            }
        }
    }
}

/// Which class is taken for which.
fn pairs(audit: &Audit) -> Markup {
    let mut pairs: Vec<(u64, &str, &str)> = Vec::new();
    for (given, row) in audit.confident_joint.iter().enumerate() {
        for (other, &count) in row.iter().enumerate().filter(|(other, count)| *other != given && **count > 0)
        {
            pairs.push((count, &audit.classes[given], &audit.classes[other]));
        }
    }
    pairs.sort_by(|a, b| b.cmp(a));
    html! {
        @if !pairs.is_empty() {
            div.table {
                table {
                    thead { tr { @for name in ["labelled", "probably", "images, estimated"] { th scope="col" { (name) } } } }
                    tbody {
                        @for (count, given, other) in pairs.iter().take(PAIRS) {
                            tr { td { (given) } td { (other) } td { (count) } }
                        }
                    }
                }
            }
        }
    }
}
